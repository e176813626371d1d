#!/usr/bin/env python3
"""A server that is warm: a Python script and a C agent from the request to the end of their event
streams, and what a second executor brings to agents that only compute. $SHANNON_BIN and
$SHANNON_BUILD name what is measured; one JSON line a figure."""

import http.client
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench_program import call, figure, started, stop

RUNS = 40
COMPUTING = 8
PRIMES = "6"


class Client:
    def __init__(self, server, data):
        self.address = server.address
        self.key = (data / "api-key").read_text().strip()

    def register(self, name, body):
        call(self.address, self.key, "POST", f"/api/v1/modules?name={name}", body)

    def submit(self, agent, args=()):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        body = {"query": "go", "agent": agent, "args": list(args)}
        connection.request("POST", "/api/v1/tasks", json.dumps(body), {"X-API-Key": self.key})
        answer = connection.getresponse()
        row = json.loads(answer.read())
        if answer.status != 200:
            sys.exit(f"bench_server: {agent} was answered {answer.status}: {row}")
        return row["task_id"]

    def finish(self, task):
        """Read its stream to the end."""
        connection = http.client.HTTPConnection(self.address, timeout=120)
        connection.request("GET", f"/api/v1/tasks/{task}/stream", None, {"X-API-Key": self.key})
        stream = connection.getresponse()
        for line in stream:
            if line.startswith(b"event: done"):
                break
        connection.close()

    def timed(self, agent):
        begun = time.perf_counter()
        self.finish(self.submit(agent))
        return (time.perf_counter() - begun) * 1e3


def print_without_image(binary, build, folder, env):
    """The same script under the interpreter itself, which is started anew each time."""
    data = folder / "plain"
    plain = dict(env, SHANNON_PYTHON_WASM=str(build / "share/shannon/python.wasm"))
    server, _ = started(binary, data, plain)
    client = Client(server, data)
    client.register("print", b"print(1)\n")
    for _ in range(2):
        client.timed("print")
    figure("python_print_warm_server_without_image",
           statistics.median(client.timed("print") for _ in range(RUNS)), "ms", None,
           f"request to end of stream, median of {RUNS}")
    stop(server)


def warm(binary, build, folder, env):
    data = folder / "warm"
    server, _ = started(binary, data, env)
    client = Client(server, data)
    client.register("print", b"print(1)\n")
    client.register("hello", (build / "guests" / "hello.wasm").read_bytes())
    for agent in ("print", "print", "hello"):
        client.timed(agent)
    both = [(client.timed("print"), client.timed("hello")) for _ in range(RUNS)]
    stop(server)
    figure("python_print_warm_server", statistics.median(p for p, _ in both), "ms", 20,
           f"request to end of stream, median of {RUNS}")
    figure("c_hello_warm_server", statistics.median(c for _, c in both), "ms", None,
           f"request to end of stream, median of {RUNS}")


def computing(binary, build, folder, env, executors):
    """Seconds for COMPUTING agents that count primes."""
    data = folder / f"executors{executors}"
    server, _ = started(binary, data, dict(env, SHANNON_SERVER_EXECUTORS=str(executors)))
    client = Client(server, data)
    client.register("sieve", (build / "bench/guests/sieve.wasm").read_bytes())
    client.finish(client.submit("sieve", ["1"]))
    begun = time.perf_counter()
    for task in [client.submit("sieve", [PRIMES]) for _ in range(COMPUTING)]:
        client.finish(task)
    took = time.perf_counter() - begun
    stop(server)
    return took


def main():
    binary, build = os.environ.get("SHANNON_BIN"), os.environ.get("SHANNON_BUILD")
    if not binary or not build:
        sys.exit("bench_server: set SHANNON_BIN and SHANNON_BUILD, as `make bench` does")
    folder = Path(tempfile.mkdtemp(prefix="shannon-bench-", dir=build))
    env = {key: value for key, value in os.environ.items() if not key.startswith("SHANNON_")}
    env["SHANNON_SERVER_LOG"] = "error"
    try:
        warm(binary, Path(build), folder, env)
        print_without_image(binary, Path(build), folder, env)
        if os.cpu_count() > 1:
            rounds = [(computing(binary, Path(build), folder, env, 1),
                       computing(binary, Path(build), folder, env, 2)) for _ in range(3)]
            one, two = min(r[0] for r in rounds), min(r[1] for r in rounds)
            figure("two_executors_against_one", two / one, "x", 0.65,
                   f"time for {COMPUTING} computing agents: {one:.2f} s on one executor, {two:.2f} s on two")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
