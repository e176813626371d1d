"""Runs modules under the Python packages `wasmtime` and `extism`, for bench_rivals.py: one JSON line
in, one out, so that the two sides can take turns. A request is {"rival": "wasmtime" | "extism",
"module", "args", "dir", "runs", "call"?}; the answer {"start_ns": [...], "run_ns": [...]}. Nothing
is metered here: no fuel, no epochs."""

import json
import sys
import time

import wasmtime
from extism.extism import CompiledPlugin, Plugin

ENGINE = wasmtime.Engine()
MODULES, PLUGINS = {}, {}


def run_wasmtime(ask):
    module = MODULES.get(ask["module"])
    if module is None:
        module = MODULES[ask["module"]] = wasmtime.Module.from_file(ENGINE, ask["module"])
    linker = wasmtime.Linker(ENGINE)
    linker.define_wasi()
    start, run = [], []
    for _ in range(ask["runs"]):
        begun = time.perf_counter_ns()
        store = wasmtime.Store(ENGINE)
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["guest", *ask["args"]]
        if ask["dir"]:
            wasi.preopen_dir(ask["dir"], "/", wasmtime.DirPerms.READ_WRITE,
                             wasmtime.FilePerms.READ_WRITE)
        store.set_wasi(wasi)
        entry = linker.instantiate(store, module).exports(store)["_start"]
        started = time.perf_counter_ns()
        try:
            entry(store)
        except wasmtime.ExitTrap as end:
            if end.code:
                raise
        start.append(started - begun)
        run.append(time.perf_counter_ns() - started)
    return {"start_ns": start, "run_ns": run}


def run_extism(ask):
    compiled = PLUGINS.get(ask["module"])
    if compiled is None:
        manifest = {"wasm": [{"path": ask["module"]}]}
        compiled = PLUGINS[ask["module"]] = CompiledPlugin(manifest)
    start, run = [], []
    for _ in range(ask["runs"]):
        begun = time.perf_counter_ns()
        plugin = Plugin(compiled)
        started = time.perf_counter_ns()
        plugin.call(ask["call"], b"")
        start.append(started - begun)
        run.append(time.perf_counter_ns() - started)
        del plugin
    return {"start_ns": start, "run_ns": run}


def main():
    for line in sys.stdin:
        ask = json.loads(line)
        answer = {"wasmtime": run_wasmtime, "extism": run_extism}[ask["rival"]](ask)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
