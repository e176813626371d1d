#!/usr/bin/env python3
"""Durable steps that do nothing, one after the other, each kept before the next: ours, Restate, DBOS
(SQLite, and PostgreSQL where it is installed) and LangGraph's SQLite checkpointer, in turns on the same
disk in the same minutes. What cannot be had is named and left out. The packages are pinned in peers/
and go below $SHANNON_BUILD."""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent / "peers"
sys.path.insert(0, str(HERE.parents[1] / "scripts"))
import pinned  # noqa: E402

STEPS = 300
ROUNDS = 3
PATIENCE_S = 120


def say(name, value, unit, note=None):
    row = {"name": name, "value": round(value, 3), "unit": unit}
    print(json.dumps(row | ({"note": note} if note else {})), flush=True)


def missing(who, why):
    print(f"SKIPPED SKIPPED SKIPPED: {who}: {why}", file=sys.stderr, flush=True)
    say(f"{who}_missing", 1, "", why[-160:])


def installed(who, make, *where):
    """What make(*where) of `pinned` installs, or None."""
    try:
        return make(*where)
    except pinned.Missing as why:
        missing(who, str(why))
        return None


def result(command, folder, timeout=PATIENCE_S):
    done = subprocess.run([str(c) for c in command], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    raise RuntimeError(done.stderr.strip()[-300:] or f"status {done.returncode}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.loads(answer.read())


def wait_for(url):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"nothing answers at {url}")


class Restate:
    def __init__(self, tools, folder):
        ports = [free_port() for _ in range(4)]
        env = dict(os.environ, RESTATE_BASE_DIR=str(folder / "restate"),
                   RESTATE_INGRESS__BIND_ADDRESS=f"127.0.0.1:{ports[0]}",
                   RESTATE_ADMIN__BIND_ADDRESS=f"127.0.0.1:{ports[1]}",
                   RESTATE_BIND_ADDRESS=f"127.0.0.1:{ports[2]}",
                   RESTATE_ADVERTISED_ADDRESS=f"http://127.0.0.1:{ports[2]}",
                   RESTATE_LOG_FILTER="error", DO_NOT_TRACK="1")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
                 "start_new_session": True}
        self.processes = [
            subprocess.Popen([tools / "node_modules/.bin/restate-server"], cwd=folder, env=env,
                             **quiet),
            subprocess.Popen(["node", "restate_steps.mjs", str(ports[3])], cwd=tools, **quiet)]
        self.ingress = f"http://127.0.0.1:{ports[0]}"
        admin = f"http://127.0.0.1:{ports[1]}"
        wait_for(f"{admin}/health")
        deadline = time.monotonic() + 60
        while True:
            try:
                post(f"{admin}/deployments", {"uri": f"http://127.0.0.1:{ports[3]}"})
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        post(f"{self.ingress}/bench/steps", 20)  # warm

    def steps(self):
        return post(f"{self.ingress}/bench/steps", STEPS)

    def close(self):
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)


class Postgres:
    """A cluster of its own, in `folder`, on a unix socket there; never as root."""

    def __init__(self, folder):
        found = shutil.which("postgres") or next(
            iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")))), None)
        if not found:
            raise RuntimeError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        programs = Path(found).resolve().parent
        self.port, self.folder = free_port(), folder / "pg"
        self.folder.mkdir()
        self.as_user = []
        if os.geteuid() == 0:
            for path in (folder, self.folder):
                shutil.chown(path, "nobody")
            self.as_user = ["setpriv", "--reuid=nobody", "--clear-groups"]
        data = str(self.folder / "data")
        subprocess.run([*self.as_user, str(programs / "initdb"), "-D", data, "-U", "bench", "-A",
                        "trust"], check=True, capture_output=True, cwd=self.folder)
        self.process = subprocess.Popen(
            [*self.as_user, str(programs / "postgres"), "-D", data, "-k", str(self.folder), "-p",
             str(self.port), "-c", "listen_addresses=127.0.0.1"], cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.1)
        time.sleep(1)

    def url(self):
        return f"postgresql://bench@127.0.0.1:{self.port}/bench_dbos"

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def ours(build):
    rows = {}
    done = subprocess.run([str(build / "bench/bench_engine")], cwd=build, stdout=subprocess.PIPE,
                          text=True, timeout=300, check=True,
                          env=dict(os.environ, SHANNON_BUILD=str(build)))
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            rows[row["name"]] = row["value"]
    return rows


def sides(build, folder):
    """{name: function that makes STEPS steps and gives the nanoseconds of each}, and what to close."""
    found, close = {}, []
    place = build / "bench/peers"
    python = installed("dbos", pinned.python, place / "venv", HERE / "requirements.txt")
    tools = installed("restate", pinned.npm, place / "node", HERE)
    if python:
        found["dbos_sqlite"] = lambda: result(
            [python, HERE / "dbos_steps.py", f"sqlite:///{folder}/dbos.sqlite", STEPS], folder)
        found["langgraph_sqlite"] = lambda: result(
            [python, HERE / "langgraph_steps.py", folder / "graph.sqlite", STEPS], folder)
        try:
            postgres = Postgres(folder)
            close.append(postgres)
            found["dbos_postgres"] = lambda: result(
                [python, HERE / "dbos_steps.py", postgres.url(), STEPS], folder)
        except (RuntimeError, OSError, subprocess.SubprocessError) as why:
            missing("dbos_postgres", str(why))
    if tools:
        try:
            restate = Restate(tools, folder)
            close.append(restate)
            found["restate"] = restate.steps
        except (RuntimeError, OSError) as why:
            missing("restate", str(why))
    return found, close


def main():
    if "SHANNON_BUILD" not in os.environ:
        sys.exit("bench_peers: set SHANNON_BUILD, as `make bench` does")
    build = Path(os.environ["SHANNON_BUILD"]).resolve()
    folder = Path(tempfile.mkdtemp(prefix="shannon-peers-", dir=build))
    folder.chmod(0o755)
    close = []
    try:
        found, close = sides(build, folder)
        times, own = {name: [] for name in found}, []
        for _ in range(ROUNDS):
            own.append(ours(build))
            for name in list(found):
                try:
                    times[name] += found[name]()
                except (RuntimeError, OSError, subprocess.SubprocessError) as why:
                    missing(name, str(why))
                    del found[name]
        mine = statistics.median(rows["sequential_step_p50"] for rows in own)
        say("shannon_step_p50", mine, "ms", "a WebAssembly agent, one event and one sync a step")
        for name in found:
            p50 = statistics.median(times[name]) / 1e6
            say(f"{name}_step_p50", p50, "ms")
            say(f"shannon_against_{name}", mine / p50, "x")
    finally:
        for thing in close:
            thing.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
