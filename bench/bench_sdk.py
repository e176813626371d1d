#!/usr/bin/env python3
"""The same agent in each language that has a compiler here: how large its module is, how long it takes
to compile once, to start and end on a warm server, and what its steps cost. $SHANNON_BIN and
$SHANNON_BUILD name what is measured; one JSON line a figure. With --table: a table for docs/sdk.md."""

import json
import pathlib
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/sdk"), str(ROOT / "tests/crash")]
import toolchains  # noqa: E402
from toolchains import LANGUAGES, harness  # noqa: E402
from harness import ScriptedModel, Server  # noqa: E402

RUNS = 15
COLUMNS = (("size", "KB"), ("compile once", "ms"), ("start", "ms"), ("fuel of a start", "M"),
           ("fuel of the steps", "M"))


class Language:
    def __init__(self, server, name):
        self.server, self.name = server, name
        self.agents = {kind: toolchains.build(name, source(name), kind)
                       for kind, source in (("steps", toolchains.steps),
                                            ("features", toolchains.features))}

    def timed(self, agent, request):
        begun = time.perf_counter()
        task = self.server.submit({"agent": agent, "query": "q", "input": request})
        events = self.server.wait_for_end(task)
        assert events[-1]["type"] == "WorkflowCompleted", events[-1]
        return (time.perf_counter() - begun) * 1e3, events[-1]["body"]["fuel"] / 1e6

    def measure(self):
        begun = time.perf_counter()
        for kind, module in self.agents.items():
            self.server.add_module(module, f"{self.name}-{kind}")
        # Of two modules; the interpreter of a script is compiled by its first run.
        compiled = (time.perf_counter() - begun) * 1e3 / 2
        first, fuel = self.timed(f"{self.name}-features", {"mode": "next"})
        # The fastest: what it takes where nothing else wants the processor.
        start = min(self.timed(f"{self.name}-features", {"mode": "next"})[0] for _ in range(RUNS))
        _, steps = self.timed(f"{self.name}-steps", {"query": "q"})
        module = self.agents["steps"]
        if self.name == "python":
            compiled, module = first - start, harness.BUILD / "share/shannon/python.wasm"
        return module.stat().st_size / 1e3, compiled, start, fuel, steps


def measured():
    with harness.temporary_folder() as folder:
        model = ScriptedModel(folder)
        server = Server(pathlib.Path(folder) / "data", **model.environment())
        try:
            for name in (*LANGUAGES, "tinygo"):
                try:
                    yield name, Language(server, name).measure()
                except unittest.SkipTest:  # it has said why
                    continue
        finally:
            server.stop()
            model.stop()


def main():
    table = "--table" in sys.argv
    if table:
        print("| language | " + " | ".join(f"{name}, {unit}" for name, unit in COLUMNS) + " |")
        print("|---|" + "---:|" * len(COLUMNS))
    for name, values in measured():
        if table:
            print(f"| {name} | " + " | ".join(f"{v:,.3g}" if v < 1000 else f"{v:,.0f}"
                                              for v in values) + " |", flush=True)
            continue
        for (what, unit), value in zip(COLUMNS, values):
            print(json.dumps({"name": f"{name} {what}", "value": value, "unit": unit}), flush=True)


if __name__ == "__main__":
    main()
