#!/usr/bin/env python3
"""An MCP client's round trips over stdin and stdout: what the protocol costs alone (ping), a durable
run of a small module, and run_python with a warm interpreter (bench_program.py has the same script
in a new process). One JSON line a figure."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

RUNS = 30
WAT = '(module (memory (export "memory") 1) (func (export "_start")))'


class Client:
    def __init__(self, binary, folder):
        self.process = subprocess.Popen([binary, "mcp", "--data-dir", str(folder)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
        self.asked = 0
        self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})

    def ask(self, method, params):
        self.asked += 1
        message = {"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params}
        self.process.stdin.write(json.dumps(message) + "\n")
        answer = json.loads(self.process.stdout.readline())
        assert answer.get("id") == self.asked, answer  # else it is the time of another one
        return answer["result"]

    def call(self, name, **arguments):
        result = self.ask("tools/call", {"name": name, "arguments": arguments})
        assert not result["isError"], result
        return result["structuredContent"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def median_ms(step):
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        step()
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


def figure(name, value, note=None):
    row = {"name": name, "value": round(value, 3), "unit": "ms"}
    if note:
        row["note"] = note
    print(json.dumps(row), flush=True)


def main():
    binary = os.environ.get("SHANNON_BIN", "build/release/bin/shannon")
    folder = Path(tempfile.mkdtemp(prefix="shannon-bench-mcp-"))
    client = Client(binary, folder / "data")
    try:
        while client.call("run_python", code="print(1)", wait_s=600)["status"] != "completed":
            pass  # compiled now
        client.call("run_wasm", wat=WAT)
        figure("mcp_ping", median_ms(lambda: client.ask("ping", {})), f"median of {RUNS}")
        figure("mcp_run_wasm_warm", median_ms(lambda: client.call("run_wasm", wat=WAT)),
               "registered, journaled, run, answered")
        figure("mcp_run_python_warm",
               median_ms(lambda: client.call("run_python", code="print(1)")))
    finally:
        client.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
