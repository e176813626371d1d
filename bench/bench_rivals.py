#!/usr/bin/env python3
"""The sandbox beside what a user would run instead: Wasmtime's own WASI (PyPI `wasmtime`) and Extism
(PyPI `extism`), on the same modules, taking turns. Ours is metered, theirs is not. The packages are
pinned in requirements.txt and go into a virtual environment below $SHANNON_BUILD; where they cannot
be had, that is said and nothing is measured."""

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))
import pinned  # noqa: E402

PYTHON_LOOP = "s = 0\nfor i in range({0}):\n    s = (s * 31 + i) % 1000003\nprint(s)\n"
ROUNDS = 7
CALLS = 20000
STARTS = 500
SECONDS = 240


def figure(name, value, unit, goal=None, note=None):
    row = {"name": name, "value": round(value, 3), "unit": unit}
    if goal is not None:
        row["goal"] = goal
    if note:
        row["note"] = note
    print(json.dumps(row), flush=True)


def rivals_python(build):
    try:
        return pinned.python(build / "bench/rivals", HERE / "requirements.txt")
    except pinned.Missing as why:
        figure("rivals_missing", 1, "", None, str(why)[-200:])
        sys.exit(0)


class Sides:
    """Ours is a process for each question, theirs one that answers all; both time inside."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.theirs = subprocess.Popen([str(rivals_python(build)), str(HERE / "rivals.py")],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def module(self, name):
        if name == "python":
            return str(self.build / "share/shannon/python.wasm")
        return str(self.build / "bench/guests" / f"{name}.wasm")

    def ours(self, name, args, runs):
        work = tempfile.mkdtemp(dir=self.folder)
        done = subprocess.run([str(self.build / "bench/guest_run"),
                               str(self.build / "bench/aot"), str(runs), work, self.module(name),
                               *args], stdout=subprocess.PIPE, text=True,
                              timeout=SECONDS, check=True)
        shutil.rmtree(work)
        return json.loads(done.stdout[done.stdout.rindex('{"start_ns"'):])

    def rival(self, rival, name, args, runs, call=None):
        work = tempfile.mkdtemp(dir=self.folder)
        ask = {"rival": rival, "module": self.module(name), "args": args, "dir": work,
               "runs": runs, "call": call}
        self.theirs.stdin.write(json.dumps(ask) + "\n")
        self.theirs.stdin.flush()
        while not (line := self.theirs.stdout.readline()).startswith('{"start_ns"'):
            if not line:
                sys.exit("bench_rivals: the rivals' process is gone")
        shutil.rmtree(work)
        return json.loads(line)

    def close(self):
        self.theirs.stdin.close()
        self.theirs.wait(timeout=20)


def fastest(answers, what):
    """The least disturbed run: these machines are shared."""
    return min(min(a[what]) for a in answers)


def wasi_calls(sides):
    """A call's price is what N of them add to a run that makes none."""
    for op, label in (("read", "read_4k"), ("write", "write_4k"), ("fstat", "fstat"),
                      ("open", "open_and_close")):
        ours, theirs = [], []
        for _ in range(3):
            none = fastest([sides.ours("wasi_calls", ["none", "0"], 3)], "run_ns")
            some = fastest([sides.ours("wasi_calls", [op, str(CALLS)], 3)], "run_ns")
            ours.append((some - none) / CALLS / 1e3)
            none = fastest([sides.rival("wasmtime", "wasi_calls", ["none", "0"], 3)], "run_ns")
            some = fastest([sides.rival("wasmtime", "wasi_calls", [op, str(CALLS)], 3)], "run_ns")
            theirs.append((some - none) / CALLS / 1e3)
        figure(f"wasi_{label}", min(ours), "us")
        figure(f"wasi_{label}_wasmtime", min(theirs), "us")
        figure(f"wasi_{label}_against_wasmtime", min(ours) / min(theirs), "x", 1)


def metered(sides):
    """Wall clock of whole runs that compute: ours with fuel, Wasmtime's without."""
    ratios = []
    for name, args in (("sha256", ["16"]), ("nbody", ["2000000"]), ("sieve", ["6"]),
                       ("python", ["-S", "-c", PYTHON_LOOP.format(100000)])):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(sides.ours(name, args, 1))
            theirs.append(sides.rival("wasmtime", name, args, 1))
        ratio = fastest(ours, "run_ns") / fastest(theirs, "run_ns")
        ratios.append(ratio)
        figure(f"{name}_metered_against_unmetered", ratio, "x", 1.35,
               f"{fastest(ours, 'run_ns') / 1e6:.0f} ms against "
               f"{fastest(theirs, 'run_ns') / 1e6:.0f} ms")
    figure("metered_geometric_mean", math.exp(statistics.mean(map(math.log, ratios))), "x", 1.25)


def start_and_call(sides):
    """An instance that does nothing, from nothing to its end; the module is compiled already."""
    def whole(answer):
        return statistics.median(map(sum, zip(answer["start_ns"], answer["run_ns"]))) / 1e3
    ours = whole(sides.ours("empty", [], STARTS))
    wasmtime = whole(sides.rival("wasmtime", "empty", [], STARTS))
    extism = whole(sides.rival("extism", "empty", [], STARTS, "run"))
    figure("start_and_call", ours, "us", None, "through the C interface")
    figure("start_and_call_wasmtime", wasmtime, "us", None, "through its Python package")
    figure("start_and_call_extism", extism, "us", None, "through its Python package")
    figure("start_and_call_against_wasmtime", ours / wasmtime, "x", 1)
    figure("start_and_call_against_extism", ours / extism, "x", 1)


def main():
    build = os.environ.get("SHANNON_BUILD")
    if not build:
        sys.exit("bench_rivals: set SHANNON_BUILD, as `make bench` does")
    with tempfile.TemporaryDirectory(prefix="shannon-bench-", dir=build) as folder:
        sides = Sides(Path(build), folder)
        try:
            start_and_call(sides)
            wasi_calls(sides)
            metered(sides)
        finally:
            sides.close()


if __name__ == "__main__":
    main()
