"""Drives the real program for tests: starts it, talks to it, sees it die. Waits are bounded and end
with what was seen; nothing sleeps in the hope that something has happened."""

import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SHANNON_BUILD", SOURCE / "build/dev"))
BIN = os.environ.get("SHANNON_BIN", str(BUILD / "bin/shannon"))
FINAL = ("WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled")
WAIT_S = 120


class Refused(AssertionError):
    """The server answered a question with an error; it was asked for what it should have given."""

    def __init__(self, status, reply):
        super().__init__(f"{status}: {reply}")
        self.status = status
        self.code = reply["error"]["code"]


class Died(Exception):
    """The server's process ended while it started, or while something was asked of it. `killed`: by
    SIGKILL, and not by something that it met."""

    def __init__(self, message, process):
        super().__init__(message)
        self.killed = process.wait(WAIT_S) == -signal.SIGKILL


def guest(name):
    path = BUILD / "guests" / name
    if not path.exists():
        raise FileNotFoundError(f"{path}: build the guests first (make test does)")
    return path


def clean_environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SHANNON_", "XDG_"))}
    for keep in ("SHANNON_PYTHON_WASM",):
        if keep in os.environ:
            env[keep] = os.environ[keep]
    env.update({"HOME": "/nonexistent", "XDG_DATA_HOME": str(BUILD / "data-home"),
                "OPENAI_API_KEY": "test-key"})
    env.update({k: str(v) for k, v in more.items()})
    return env


class Lines:
    """The output of a process, collected by a thread; wait_for finds a line in it."""

    def __init__(self, pipe):
        self.text = []
        self.closed = False
        self.changed = threading.Condition()
        threading.Thread(target=self.collect, args=(pipe,), daemon=True).start()

    def collect(self, pipe):
        for raw in pipe:
            with self.changed:
                self.text.append(raw.decode("utf-8", "replace"))
                self.changed.notify_all()
        pipe.close()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def wait_for(self, pattern, seconds=WAIT_S):
        def found():
            for line in self.text:
                match = re.search(pattern, line)
                if match:
                    return match
            return None

        with self.changed:
            self.changed.wait_for(lambda: found() or self.closed, seconds)
            return found()

    def all(self):
        with self.changed:
            return "".join(self.text)


class ScriptedModel:
    def __init__(self, folder, script=None):
        self.log = pathlib.Path(folder) / f"requests-{time.monotonic_ns()}.log"
        command = [sys.executable, str(SOURCE / "tests/lib/scripted_llm.py"), "--port", "0",
                   "--log", str(self.log)]
        if script is not None:
            path = self.log.with_suffix(".json")
            path.write_text(json.dumps(script))
            command += ["--script", str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def environment(self):
        return {"SHANNON_LLM_BASE_URL": f"http://127.0.0.1:{self.port}/v1",
                "SHANNON_LLM_MODEL": "scripted"}

    def requests(self):
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class ScriptedWeb:
    def __init__(self, folder, script, bind="127.0.0.1", prefix=()):
        self.log = pathlib.Path(folder) / f"web-{time.monotonic_ns()}.log"
        path = self.log.with_suffix(".json")
        path.write_text(json.dumps(script))
        self.process = subprocess.Popen(
            [*prefix, sys.executable, str(SOURCE / "tests/lib/scripted_web.py"),
             "--script", str(path), "--log", str(self.log), "--bind", bind],
            stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def requests(self):
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Server:
    """`shannon serve` on a data directory. It may die by SIGKILL at any moment: then Died is raised."""

    def __init__(self, data_dir, **environment):
        self.data_dir = pathlib.Path(data_dir)
        env = clean_environment(**{"SHANNON_SERVER_LISTEN": "127.0.0.1:0", **environment})
        self.process = subprocess.Popen([BIN, "serve", "--data-dir", str(data_dir)], env=env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.output = Lines(self.process.stdout)
        match = self.output.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")
        if not match:
            if self.process.poll() is None and not self.output.closed:
                self.kill()
                raise AssertionError("the server named no port:\n" + self.output.all())
            raise Died(self.output.all(), self.process)
        self.port = int(match.group(1))

    def wait(self, seconds=WAIT_S):
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        return self.wait()

    def stop(self):
        """SIGTERM, as an operator does; it has to be quick and clean."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(30)

    def request(self, method, path, body=None, headers=None, timeout=60):
        """gives (status, parsed body, headers)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            key = (self.data_dir / "api-key").read_text().strip()
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data,
                               {"X-API-Key": key, "Content-Type": "application/json",
                                **(headers or {})})
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else None, dict(reply.getheaders())
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, socket.timeout) or self.process.poll() is None and \
                    not self.dying():
                raise AssertionError(f"{method} {path}: {error!r}\n{self.output.all()}") from error
            raise Died(f"{error!r}\n{self.output.all()}", self.process) from error
        finally:
            connection.close()

    def dying(self):
        """A broken connection may be seen a moment before the process can be waited for."""
        try:
            self.process.wait(10)
            return True
        except subprocess.TimeoutExpired:
            return False

    def add_module(self, path, name):
        data = pathlib.Path(path).read_bytes()
        member = {"source": data.decode()} if str(path).endswith(".py") else \
            {"module": base64.b64encode(data).decode()}
        status, body, _ = self.request("POST", "/api/v1/modules", {"name": name, **member},
                                       timeout=300)
        assert status == 200, (status, body)
        return body

    def submit(self, body, key=None):
        headers = {"Idempotency-Key": key} if key else {}
        status, reply, _ = self.request("POST", "/api/v1/tasks", body, headers,
                                        timeout=300)  # a first script has its interpreter compiled
        assert status == 200, (status, reply)
        return reply["task_id"]

    def journal(self, task):
        events, after = [], 0
        while True:
            status, page, _ = self.request("GET", f"/api/v1/tasks/{task}/journal?after={after}")
            if status != 200:
                raise Refused(status, page)
            events += page["events"]
            if not page["more"] or not page["events"]:
                return events
            after = events[-1]["seq"]

    def wait_until(self, task, predicate, seconds=WAIT_S):
        """Read the journal as it grows until predicate(events); gives the events."""
        events, after, end = [], 0, time.monotonic() + seconds
        while time.monotonic() < end:
            path = f"/api/v1/tasks/{task}/journal?after={after}&wait=5"
            status, page, _ = self.request("GET", path)
            assert status == 200, (status, page)
            events += page["events"]
            after = events[-1]["seq"] if events else 0
            if predicate(events):
                return events
        raise AssertionError(f"{task} did not get there within {seconds} s; its journal ends with "
                             f"{events[-3:]}\n{self.output.all()}")

    def wait_for_end(self, task, seconds=WAIT_S):
        return self.wait_until(task, lambda ev: ev and ev[-1]["type"] in FINAL, seconds)

    def task(self, task):
        status, body, _ = self.request("GET", f"/api/v1/tasks/{task}")
        assert status == 200, (status, body)
        return body

    def verify(self, task):
        status, body, _ = self.request("POST", f"/api/v1/tasks/{task}/verify", {}, timeout=120)
        assert status == 200, (status, body)
        return body


def copy_tree(source, target):
    """A data directory as it is on disk, modes included; its socket is left out."""
    def skip(folder, names):
        return [n for n in names if n in ("sock", "lock", "ballast")] if pathlib.Path(folder) == \
            pathlib.Path(source) else []

    shutil.copytree(source, target, ignore=skip, symlinks=True)
    shutil.copymode(source, target)


def temporary_folder():
    return tempfile.TemporaryDirectory(prefix="shannon-test-", ignore_cleanup_errors=True)


def shannon(*args, stdin=b"", timeout=120, env=None, check=None, binary=None):
    """Run a command to its end; gives CompletedProcess with bytes."""
    done = subprocess.run([binary or BIN, *map(str, args)], input=stdin, capture_output=True,
                          timeout=timeout, env=env or clean_environment())
    if check is not None:
        assert done.returncode == check, (args, done)
    return done
