"""The same guest under Wasmtime's own WASI and under ours; what both print and leave behind."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import queue
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "crash"), str(HERE.parent / "lib"),
                str(HERE.parents[1] / "scripts")]
import harness  # noqa: E402
import pinned  # noqa: E402
import skips  # noqa: E402

ENVIRONMENT = {"A": "1", "B": "x=y", "EMPTY": "", "LANG": "C.UTF-8"}
JOBS = 2


def oracle_python(otherwise=skips.skip):
    """The interpreter of a virtual environment under the build folder that has the oracle."""
    try:
        return pinned.python(harness.BUILD / "oracle", HERE / "requirements.txt")
    except pinned.Missing as why:
        return otherwise(f"without Wasmtime for Python there is nothing to compare with: {why}")


def tree(top):
    """Names, types, sizes, contents and link targets below a folder."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, top)
            if os.path.islink(path):
                found[key] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[key] = ("folder",)
            else:
                with open(path, "rb") as f:
                    digest = hashlib.sha256(f.read()).hexdigest()
                found[key] = ("file", os.path.getsize(path), digest)
    return found


class Case:
    """`wasm` names a test guest, or is the path of a module."""

    def __init__(self, wasm, *args, stdin=b""):
        self.wasm = wasm if isinstance(wasm, pathlib.Path) else harness.guest(wasm)
        self.args, self.stdin = [str(a) for a in args], stdin

    def __str__(self):
        given = f" <{len(self.stdin)} bytes" if self.stdin else ""
        return " ".join([self.wasm.name, *self.args]) + given


class Outcome:
    def __init__(self, status, stdout, stderr, left, trap=""):
        self.status, self.stdout, self.stderr = status, stdout, stderr
        self.left, self.trap = left, trap


def run_oracle(python, folder, cases):
    """Outcomes in the order of the cases. What reads its input gets a process of its own."""
    folder.mkdir()
    entries = []
    for i, case in enumerate(cases):
        (folder / f"root{i}").mkdir()
        entries.append({"wasm": str(case.wasm), "args": [case.wasm.name, *case.args],
                        "env": ENVIRONMENT, "dirs": [[str(folder / f"root{i}"), "/"]],
                        "stdout": str(folder / f"out{i}"), "stderr": str(folder / f"err{i}")})
    quiet = [i for i, case in enumerate(cases) if not case.stdin]
    batches = [quiet] + [[i] for i, case in enumerate(cases) if case.stdin]
    results = {}
    for n, batch in enumerate(filter(None, batches)):
        ask, answer = folder / f"cases{n}.json", folder / f"results{n}.json"
        ask.write_text(json.dumps([entries[i] for i in batch]))
        subprocess.run([python, HERE / "oracle.py", ask, answer], check=True, timeout=300,
                       input=cases[batch[0]].stdin)
        results.update(zip(batch, json.loads(answer.read_text())))
    return [Outcome(results[i]["status"], (folder / f"out{i}").read_bytes(),
                    (folder / f"err{i}").read_bytes(), tree(folder / f"root{i}"),
                    results[i]["trap"]) for i in range(len(cases))]


def run_ours(folder, data_dirs, cases, flags=(), mapped=True):
    """The same under `shannon run`; a data directory serves one run at a time."""
    folder.mkdir()
    free = queue.SimpleQueue()
    for data in data_dirs:
        free.put(data)

    def one(i):
        case, root, data = cases[i], folder / f"root{i}", free.get()
        root.mkdir()
        command = ["run", "--data-dir", data, *flags]
        command += [f"--env={k}={v}" for k, v in ENVIRONMENT.items()]
        command += ["--dir", f"{root}::/"] if mapped else []
        try:
            done = harness.shannon(*command, case.wasm, "--", *case.args, stdin=case.stdin,
                                   timeout=300)
        finally:
            free.put(data)
        return Outcome(done.returncode, done.stdout, done.stderr, tree(root))

    with concurrent.futures.ThreadPoolExecutor(len(data_dirs)) as pool:
        return list(pool.map(one, range(len(cases))))
