"""Runs modules under Wasmtime's own WASI preview 1, with the Python package `wasmtime`.

  oracle.py CASES.json RESULTS.json

Each case: {"wasm", "args", "env", "dirs": [[host, guest]], "stdout", "stderr"}; the last two are
files. A result is the exit status (134 after a trap) and the trap's text. One process runs all
cases, so that each module is compiled once. Standard input is the process's own: Wasmtime reads it
on a thread that outlives the guest, so only one case of a process may depend on it. (Its stdin_file
is of no use here: at the end of the file it gives up, "max blocking attempts exceeded".)"""

import json
import sys

import wasmtime


def run(engine, module, case):
    """gives (exit status, trap)"""
    wasi = wasmtime.WasiConfig()
    wasi.argv = case["args"]
    wasi.env = list(case["env"].items())
    wasi.inherit_stdin()
    wasi.stdout_file = case["stdout"]
    wasi.stderr_file = case["stderr"]
    for host, guest in case["dirs"]:
        wasi.preopen_dir(host, guest, wasmtime.DirPerms.READ_WRITE, wasmtime.FilePerms.READ_WRITE)
    store = wasmtime.Store(engine)
    store.set_wasi(wasi)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    try:
        linker.instantiate(store, module).exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        return end.code, ""
    except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
        return 134, str(trap)
    return 0, ""


def main():
    cases = json.load(open(sys.argv[1], encoding="utf-8"))
    engine = wasmtime.Engine()
    modules, results = {}, []
    for case in cases:
        if case["wasm"] not in modules:
            modules[case["wasm"]] = wasmtime.Module.from_file(engine, case["wasm"])
        status, trap = run(engine, modules[case["wasm"]], case)
        results.append({"status": status, "trap": trap})
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        json.dump(results, out)


if __name__ == "__main__":
    main()
