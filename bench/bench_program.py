#!/usr/bin/env python3
"""The program as a person meets it: a script and a C agent from a new process, the server's start,
its memory when idle beside SurrealDB alone, its size. $SHANNON_BIN and $SHANNON_BUILD name what is
measured; one JSON line a figure."""

import http.client
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 15
STARTS = 5
SLEEPERS = 1000
TOUCHED_KB = 4
IDLE_SECONDS = 2
ALLOWED_ABOVE_SURREALDB_MB = 30


def figure(name, value, unit, goal=None, note=None):
    row = {"name": name, "value": round(value, 3), "unit": unit}
    if goal is not None:
        row["goal"] = round(goal, 3)
    if note:
        row["note"] = note
    print(json.dumps(row), flush=True)


def timed(command, env):
    """Milliseconds of wall clock, and of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1e3, used * 1e3


def cold_runs(binary, build, folder, env):
    """A new process each time; what it runs was compiled by the run before."""
    script = folder / "print.py"
    script.write_text("print(1)\n")
    hello = build / "guests" / "hello.wasm"
    python = [binary, "run", "--ephemeral", str(script)]
    agent = [binary, "run", "--ephemeral", str(hello)]
    first, _ = timed(python, env)
    time.sleep(2.5)  # a file of the last two seconds is not taken for settled
    timed(python, env)
    timed(agent, env)
    # One after the other, so that both meet the same minutes.
    both = [(timed(python, env), timed(agent, env)) for _ in range(RUNS)]
    middle = statistics.median(p[0] for p, _ in both)
    figure("python_print_new_process", middle, "ms", 100, f"median of {RUNS}; --ephemeral")
    figure("python_print_processor_time", statistics.median(p[1] for p, _ in both), "ms", None,
           "of the same runs: what a machine with nothing else to do comes close to")
    figure("c_hello_new_process", statistics.median(c[0] for _, c in both), "ms", None,
           f"median of {RUNS}; --ephemeral")
    figure("c_hello_processor_time", statistics.median(c[1] for _, c in both), "ms")
    figure("python_compile_once", (first - middle) / 1e3, "s", None,
           "the first script on a machine, beyond what later ones take")


def started(binary, folder, env):
    """The server, its address and how long it took to answer /health."""
    begun = time.perf_counter()
    server = subprocess.Popen([binary, "serve", "--json", "--listen", "127.0.0.1:0", "--data-dir",
                               str(folder)], env=env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    address = json.loads(server.stdout.readline())["url"].split("//")[1]
    server.address = address
    call(address, "", "GET", "/health")
    return server, (time.perf_counter() - begun) * 1e3


def call(address, key, method, path, body=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, body, {"X-API-Key": key})
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        sys.exit(f"bench_program: {method} {path} answered {status}, expected 200")


def stop(server):
    server.send_signal(signal.SIGTERM)
    if server.wait(timeout=20) != 0:
        sys.exit(f"bench_program: the server left with {server.returncode}, expected 0")


def memory_mb(pid):
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        fields[name] = value.split()
    return int(fields["VmRSS"][0]) * 1024 / 1e6, int(fields["RssAnon"][0]) * 1024 / 1e6


def surrealdb_alone(build, folder):
    """Resident MB of a small program that only opens the same database."""
    done = subprocess.run([str(build / "bench" / "bench_store"), "--idle", str(folder)], text=True,
                          stdout=subprocess.PIPE, check=True)
    rows = {row["name"]: row["value"] for row in map(json.loads, done.stdout.splitlines())}
    return rows["rss_surrealdb_alone"], rows["rss_anonymous_surrealdb_alone"]


def server(binary, build, folder, env):
    data = folder / "data"
    first, took = started(binary, data, env)
    stop(first)
    figure("server_ready_new_data_directory", took, "ms", None,
           "makes the database and compiles the shipped agents")
    times = []
    for _ in range(STARTS):
        running, took = started(binary, data, env)
        times.append(took)
        stop(running)
    figure("server_ready", statistics.median(times), "ms", 400,
           f"from spawn to /health, median of {STARTS}")
    running, _ = started(binary, data, env)
    time.sleep(IDLE_SECONDS)
    resident, anonymous = memory_mb(running.pid)
    stop(running)
    alone, alone_anonymous = surrealdb_alone(build, folder)
    figure("surrealdb_alone_rss", alone, "MB", None, "a program that only opens the same database")
    figure("server_idle_rss", resident, "MB", alone + ALLOWED_ABOVE_SURREALDB_MB,
           f"{IDLE_SECONDS} s after it was ready")
    figure("surrealdb_alone_rss_anonymous", alone_anonymous, "MB")
    figure("server_idle_rss_anonymous", anonymous, "MB")


def sleepers(binary, build, folder, env):
    """What a sleeping workflow costs the server: its agent, the engine's state, its rows."""
    data = folder / "sleepers"
    running, _ = started(binary, data, env)
    key = (data / "api-key").read_text().strip()
    address = running.address
    call(address, key, "POST", "/api/v1/modules?name=sleeper",
         (build / "guests" / "signal.wasm").read_bytes())
    task = json.dumps({"query": "sleep", "agent": "sleeper"}).encode()
    call(address, key, "POST", "/api/v1/tasks", task)
    time.sleep(1)
    before, _ = memory_mb(running.pid)
    for _ in range(SLEEPERS):
        call(address, key, "POST", "/api/v1/tasks", task)
    time.sleep(1)
    after, _ = memory_mb(running.pid)
    stop(running)
    figure("sleeping_workflow", (after - before) * 1e6 / 1024 / SLEEPERS, "KB", 32 + TOUCHED_KB,
           f"mean of {SLEEPERS}, in the server; {TOUCHED_KB} KB are the page that its guest touched")


def size(binary, folder):
    stripped = folder / "stripped"
    subprocess.run(["strip", "-o", str(stripped), binary], check=True)
    figure("binary_stripped", stripped.stat().st_size / 1e6, "MB")


def main():
    binary = os.environ.get("SHANNON_BIN")
    build = os.environ.get("SHANNON_BUILD")
    if not binary or not build:
        sys.exit("bench_program: set SHANNON_BIN and SHANNON_BUILD, as `make bench` does")
    folder = Path(tempfile.mkdtemp(prefix="shannon-bench-"))
    env = {key: value for key, value in os.environ.items() if not key.startswith("SHANNON_")}
    env["SHANNON_DATA_DIR"] = str(folder / "cache")
    env["SHANNON_SERVER_LOG"] = "error"
    try:
        cold_runs(binary, Path(build), folder, env)
        server(binary, Path(build), folder, env)
        sleepers(binary, Path(build), folder, env)
        size(binary, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
