#!/usr/bin/env python3
"""The server from outside: the real binary, real sockets, no other library than Python's own.

$SHANNON_BIN names the binary, $SHANNON_BUILD the build folder (its guests/ hold sample agents).
"""

import base64
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
import unittest

BIN = os.environ.get("SHANNON_BIN", "build/dev/bin/shannon")
BUILD = os.environ.get("SHANNON_BUILD", "build/dev")
os.environ["XDG_DATA_HOME"] = os.path.abspath(os.path.join(BUILD, "data-home"))
LIMIT = 60  # seconds that anything may take before the test calls it lost

HELLO_WAT = b"""(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""

# Sleeps far longer than any test: whoever runs it is always "running".
SLEEP_WAT = b"""(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3600000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""


class Server:
    """One `shannon serve` on a free port and its own data directory."""

    def __init__(self, folder, env=None, args=()):
        self.folder = folder
        self.process = subprocess.Popen(
            [BIN, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder, "--json", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the server did not start: %r" % self.process.wait(LIMIT))
        self.facts = json.loads(line)
        self.port = int(self.facts["url"].rsplit(":", 1)[1])
        with open(os.path.join(folder, "api-key"), encoding="ascii") as f:
            self.key = f.read().strip()

    def request(self, method, path, body=None, headers=None, key=True):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        headers = dict(headers or {})
        if key:
            headers.setdefault("X-API-Key", self.key)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response, data

    def json(self, method, path, body=None, headers=None):
        response, data = self.request(method, path, body, headers)
        return response.status, json.loads(data)

    def raw(self, data):
        """Sends bytes, gives the status line's code (None when the server just closed)."""
        with socket.create_connection(("127.0.0.1", self.port), LIMIT) as s:
            s.settimeout(LIMIT)
            try:
                s.sendall(data)
                answer = s.recv(4096)
            except ConnectionError:
                return None
            return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/") else None

    def wait_task(self, task_id):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            status, task = self.json("GET", "/api/v1/tasks/" + task_id)
            assert status == 200, task
            if task["status"] not in ("TASK_STATUS_QUEUED", "TASK_STATUS_RUNNING"):
                return task
            time.sleep(0.02)
        raise AssertionError("task %s did not end" % task_id)

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(LIMIT)
        self.process.stdout.close()
        return code  # stopping twice is harmless


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="shannon-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.server = Server(cls.folder)
        cls.addClassCleanup(cls.server.stop)
        for name, wat in (("hello", HELLO_WAT), ("sleeper", SLEEP_WAT)):
            status, module = cls.server.json("POST", "/api/v1/modules?name=" + name, wat)
            assert status == 200, module

    def submit(self, body, headers=None, want=200):
        response, data = self.server.request("POST", "/api/v1/tasks", body, headers)
        self.assertEqual(response.status, want, data)
        return response, json.loads(data)

    def assert_error(self, status, code, answer, text=""):
        got_status, body = answer
        self.assertEqual((got_status, body["error"]["code"]), (status, code), body)
        self.assertIn(text, body["error"]["message"])


class Service(Base):
    def test_health_needs_no_key(self):
        for path, want in (("/health", "healthy"), ("/readiness", "ready")):
            response, data = self.server.request("GET", path, key=False)
            self.assertEqual((response.status, json.loads(data)["status"]), (200, want))

    def test_everything_else_needs_the_key(self):
        for path in ("/api/v1/tasks", "/metrics", "/api/v1/tools", "/api/v1/modules"):
            response, data = self.server.request("GET", path, key=False)
            self.assertEqual(response.status, 401, data)
            response, _ = self.server.request("GET", path, headers={"X-API-Key": "x" * 64})
            self.assertEqual(response.status, 401)
            response, _ = self.server.request("GET", path + "?api_key=" + self.server.key, key=False)
            self.assertEqual(response.status, 401, "a key in the query is for streams only")
        bearer = {"Authorization": "Bearer " + self.server.key}
        self.assertEqual(
            self.server.request("GET", "/api/v1/tasks", headers=bearer, key=False)[0].status, 200
        )

    def test_key_file_is_private(self):
        mode = os.stat(os.path.join(self.folder, "api-key")).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.folder, "sock")).st_mode), 0o600)

    def test_foreign_hosts_and_origins_are_refused(self):
        for name, value, want in (
            ("Host", "evil.example", 403),
            ("Host", "localhost:%d" % self.server.port, 200),
            ("Origin", "http://evil.example", 403),
            ("Origin", "null", 403),
            ("Origin", "tauri://localhost", 200),
        ):
            response, data = self.server.request("GET", "/api/v1/tasks", headers={name: value})
            self.assertEqual(response.status, want, (name, value, data))
        self.assertEqual(response.getheader("Access-Control-Allow-Origin"), "tauri://localhost")

    def test_smuggling_shapes_are_refused(self):
        host = b"Host: 127.0.0.1:%d\r\n" % self.server.port
        post = b"POST /api/v1/tasks HTTP/1.1\r\n" + host
        for name, head in (
            ("two lengths", post + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
            ("length and chunked", post + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("xchunked", post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
            ("two hosts", post + host + b"\r\n"),
            ("no host", b"GET /health HTTP/1.1\r\n\r\n"),
        ):
            self.assertIn(self.server.raw(head), (400, None), name)
        self.assertEqual(self.server.raw(b"GET /health HTTP/1.1\r\n" + host + b"\r\n"), 200)

    def test_oversized_bodies_are_refused_before_they_are_read(self):
        head = (
            "POST /api/v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-API-Key: %s\r\n"
            "Content-Length: %d\r\n\r\n" % (self.server.port, self.server.key, 65 * 2**20 + 1)
        )
        self.assertEqual(self.server.raw(head.encode()), 413)

    def test_unknown_paths_are_json_404(self):
        for method in ("GET", "DELETE"):
            self.assert_error(404, "not_found", self.server.json(method, "/api/v1/nothing"))

    def test_a_wrong_method_is_json_405_and_says_which_there_are(self):
        for method, path, allowed in (
            ("DELETE", "/api/v1/tasks", "POST, GET, HEAD"),
            ("PATCH", "/api/v1/tasks/task-1", "GET, HEAD, DELETE"),
            ("GET", "/api/v1/tasks/task-1/cancel", "POST"),
            ("POST", "/health", "GET, HEAD"),
        ):
            response, data = self.server.request(method, path)
            answer = (response.status, json.loads(data))
            self.assert_error(405, "method_not_allowed", answer, "it takes " + allowed)
            self.assertEqual(response.getheader("Allow"), allowed)

    def test_tools_and_metrics(self):
        status, tools = self.server.json("GET", "/api/v1/tools")
        self.assertEqual(status, 200)
        self.assertIn("llm", [t["name"] for t in tools["tools"]])
        response, data = self.server.request("GET", "/metrics")
        self.assertEqual(response.status, 200)
        self.assertIn(b"shannon_store_transactions_total ", data)

    def test_port_in_use_is_told(self):
        folder = tempfile.mkdtemp(prefix="shannon-e2e-")
        try:
            done = subprocess.run(
                [BIN, "serve", "--listen", "127.0.0.1:%d" % self.server.port, "--data-dir", folder],
                capture_output=True,
                timeout=LIMIT,
                check=False,
            )
            self.assertEqual(done.returncode, 125)
            self.assertIn(b"is in use by another program", done.stderr)
        finally:
            shutil.rmtree(folder)

    def test_second_owner_is_refused_by_pid(self):
        done = subprocess.run(
            [BIN, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.folder],
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        self.assertEqual(done.returncode, 125)
        self.assertIn(b"process %d" % self.server.process.pid, done.stderr)


class Tasks(Base):
    def test_a_task_runs_to_its_answer(self):
        response, task = self.submit({"query": "hi", "agent": "hello", "session_id": "s-1"})
        self.assertEqual(response.getheader("X-Workflow-ID"), task["task_id"])
        self.assertEqual(response.getheader("X-Session-ID"), "s-1")
        done = self.server.wait_task(task["task_id"])
        self.assertEqual((done["status"], done["result"].strip()), ("TASK_STATUS_COMPLETED", "hello"))
        self.assertTrue(done["created_at"].endswith("Z"))
        status, output = self.server.json("GET", "/api/v1/tasks/%s/output" % task["task_id"])
        self.assertEqual((status, output["output"].strip()), (200, "hello"))
        status, listed = self.server.json("GET", "/api/v1/tasks?limit=100&session_id=s-1")
        self.assertIn(task["task_id"], [t["task_id"] for t in listed["tasks"]])

    def test_journal_and_verify(self):
        _, task = self.submit({"query": "hi", "agent": "hello"})
        self.server.wait_task(task["task_id"])
        path = "/api/v1/tasks/" + task["task_id"]
        status, journal = self.server.json("GET", path + "/journal")
        self.assertEqual(status, 200)
        events = journal["events"]
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
        self.assertEqual(events[0]["type"], "WorkflowStarted")
        self.assertEqual(events[-1]["type"], "WorkflowCompleted")
        status, rest = self.server.json("GET", path + "/journal?after=%d" % (len(events) - 1))
        self.assertEqual([e["seq"] for e in rest["events"]], [len(events)])
        status, verified = self.server.json("POST", path + "/verify")
        self.assertEqual((status, verified["ok"], verified["chain"]), (200, True, "ok"), verified)
        status, listed = self.server.json("GET", path + "/events?limit=200")
        self.assertEqual(listed["events"][0]["type"], "WORKFLOW_STARTED")
        self.assertIn("timestamp", listed["events"][0])
        status, page = self.server.json("GET", path + "/events?limit=1&offset=1")
        self.assertEqual(page["events"], listed["events"][1:2])

    def test_wrong_bodies(self):
        for body, status, code, text in (
            ({"query": ""}, 400, "invalid_argument", "1 to 10000"),
            ({"query": "x" * 10001}, 400, "invalid_argument", "10001 characters"),
            ({"query": 5}, 400, "invalid_argument", "query"),
            ([], 400, "invalid_argument", "object"),
            ("", 400, "invalid_json", "empty"),
            ('{"query":', 400, "invalid_json", "line 1"),
            ("[" * 100, 413, "limit_exceeded", "64"),
            ({"query": "q", "agent": "no-such"}, 404, "not_found", "no-such"),
            ({"query": "q", "capabilities": {"nonsense": 1}}, 400, "invalid_argument", "nonsense"),
        ):
            got, answer = self.server.json("POST", "/api/v1/tasks", body)
            self.assertEqual(got, status, answer)
            if code:
                self.assertEqual(answer["error"]["code"], code)
            self.assertIn(text, answer["error"]["message"])
        self.submit({"query": "x" * 10000, "agent": "hello"})

    def test_wrong_ids_and_pages(self):
        for path, status in (
            ("/api/v1/tasks/wf-nope", 404),
            ("/api/v1/tasks/wf-nope/journal", 404),
            ("/api/v1/tasks/wf-nope/events", 404),
            ("/api/v1/tasks/wf-nope/stream", 404),
            ("/api/v1/tasks/a%20b", 400),
            ("/api/v1/tasks/" + "a" * 129, 400),
            ("/api/v1/tasks?limit=0", 400),
            ("/api/v1/tasks?limit=101", 400),
            ("/api/v1/tasks?offset=-1", 400),
            ("/api/v1/tasks?status=DONE", 400),
            ("/api/v1/stream/sse", 400),
        ):
            got, answer = self.server.json("GET", path)
            self.assertEqual(got, status, (path, answer))
            self.assertIn("message", answer["error"])

    def test_idempotency_key(self):
        headers = {"Idempotency-Key": "k-1"}
        _, first = self.submit({"query": "hi", "agent": "hello"}, headers)
        response, again = self.submit({"query": "hi", "agent": "hello"}, headers)
        self.assertEqual(again["task_id"], first["task_id"])
        self.assertEqual(response.getheader("X-Idempotency-Cached"), "true")
        self.submit({"query": "other", "agent": "hello"}, headers, want=409)

    def test_cancel_pause_resume(self):
        _, task = self.submit({"query": "hi", "agent": "sleeper"})
        path = "/api/v1/tasks/" + task["task_id"]
        status, _ = self.server.json("POST", path + "/pause", {"reason": "lunch"})
        self.assertEqual(status, 202)
        status, state = self.server.json("GET", path + "/control-state")
        self.assertEqual((state["is_paused"], state["pause_reason"]), (True, "lunch"), state)
        status, _ = self.server.json("POST", path + "/resume")
        self.assertEqual(status, 202)
        status, state = self.server.json("GET", path + "/control-state")
        self.assertFalse(state["is_paused"])
        status, _ = self.server.json("POST", path + "/cancel", {"reason": "enough"})
        self.assertEqual(status, 202)
        self.assertEqual(self.server.wait_task(task["task_id"])["status"], "TASK_STATUS_CANCELLED")
        self.assert_error(409, "invalid_state", self.server.json("POST", path + "/cancel"))

    def test_a_mistyped_member_is_refused_and_a_foreign_one_left_alone(self):
        for name in ("capabilites", "limit", "sesion_id"):
            answer = self.server.json("POST", "/api/v1/tasks", {"query": "q", name: {}})
            self.assert_error(400, "invalid_argument", answer)
        status, task = self.server.json("POST", "/api/v1/tasks", {
            "query": "q", "agent": "sleeper", "research_strategy": "deep", "tags": ["a"]})
        self.assertEqual(status, 200, task)
        self.server.json("POST", "/api/v1/tasks/%s/cancel" % task["task_id"])

    def test_rejected_by_policy_is_403_and_a_failed_task(self):
        with tempfile.TemporaryDirectory(prefix="shannon-e2e-") as folder:
            with open(os.path.join(folder, "policy.toml"), "w", encoding="ascii") as f:
                f.write('[[rules]]\nagent = "*"\ndeny = { tools = ["web_fetch"] }\n')
            server = Server(folder)
            self.addCleanup(server.stop)
            server.json("POST", "/api/v1/modules?name=hello", HELLO_WAT)
            body = {"query": "q", "agent": "hello", "capabilities": {"tools": ["web_fetch"]}}
            response, data = server.request("POST", "/api/v1/tasks", body)
            self.assertEqual(response.status, 403, data)
            task_id = response.getheader("X-Workflow-ID")
            self.assertEqual(server.wait_task(task_id)["status"], "TASK_STATUS_FAILED")
            server.stop()

    def test_commands_join_the_owner(self):
        _, task = self.submit({"query": "from afar", "agent": "hello"})
        self.server.wait_task(task["task_id"])

        def run(*args):
            done = subprocess.run(
                [BIN, *args, "--data-dir", self.folder], capture_output=True, timeout=LIMIT, check=False
            )
            return done.returncode, done.stdout.decode(), done.stderr.decode()

        self.assertIn("from afar", run("tasks")[1])
        self.assertEqual(run("result", task["task_id"]), (0, "hello\n", ""))
        self.assertEqual(run("verify", task["task_id"])[0], 0)
        lines = run("events", "--json", task["task_id"])[1].splitlines()
        self.assertEqual(json.loads(lines[-1])["type"], "WorkflowCompleted")
        self.assertEqual(json.loads(run("status", "--json", task["task_id"])[1])["query"], "from afar")
        code, _, err = run("status", "wf-nope")
        self.assertEqual((code, err.count("\n")), (125, 1), err)
        self.assertIn("hello", run("modules", "list")[1])
        self.assertEqual(run("run", "hello"), (0, "hello\n", ""))

    def test_follow_ends_with_the_task(self):
        _, task = self.submit({"query": "hi", "agent": "sleeper"})
        follow = subprocess.Popen(
            [BIN, "events", "--follow", "--json", task["task_id"], "--data-dir", self.folder],
            stdout=subprocess.PIPE,
        )
        self.assertEqual(json.loads(follow.stdout.readline())["type"], "WorkflowStarted")
        self.server.json("POST", "/api/v1/tasks/%s/cancel" % task["task_id"])
        rest = [json.loads(line)["type"] for line in follow.stdout]
        follow.stdout.close()
        self.assertEqual(follow.wait(LIMIT), 0)
        self.assertEqual(rest[-1], "WorkflowCancelled")


def sse_frames(response):
    """(id, event, data) of each frame until the stream ends; comments as (None, ":", text)."""
    fields = {}
    for line in response:
        line = line.decode().rstrip("\n")
        if line.startswith(":"):
            yield None, ":", line[1:].strip()
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields.get("id"), fields.get("event"), fields.get("data")
            fields = {}


class Streams(Base):
    def open(self, path, headers=None, key=True):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=LIMIT)
        headers = dict(headers or {})
        if key:
            headers["X-API-Key"] = self.server.key
        connection.request("GET", path, headers=headers)
        self.addCleanup(connection.close)
        return connection.getresponse()

    def finished(self):
        _, task = self.submit({"query": "hi", "agent": "hello"})
        self.server.wait_task(task["task_id"])
        return task["task_id"]

    def test_sse_from_the_first_event_to_done(self):
        response, data = self.server.request(
            "POST", "/api/v1/tasks/stream", {"query": "hi", "agent": "hello"}
        )
        self.assertEqual(response.status, 201, data)
        body = json.loads(data)
        self.assertEqual(response.getheader("Link"), "<%s>; rel=stream" % body["stream_url"])
        stream = self.open(body["stream_url"])
        self.assertEqual(stream.status, 200)
        self.assertTrue(stream.getheader("Content-Type").startswith("text/event-stream"))
        frames = list(sse_frames(stream))
        self.assertEqual(frames[0], (None, ":", "connected"))
        names = [event for _, event, _ in frames if event != ":"]
        self.assertEqual(names[0], "WORKFLOW_STARTED")
        self.assertEqual(
            names[-3:], ["thread.message.completed", "WORKFLOW_COMPLETED", "done"]
        )
        self.assertEqual(frames[-1][2], "[DONE]")
        ids = [int(i) for i, _, _ in frames if i]
        self.assertEqual(ids, sorted(set(ids)))
        for number, event, data in frames:
            if number:
                self.assertEqual(json.loads(data)["seq"], int(number))
                self.assertEqual(json.loads(data)["stream_id"], number)
        message = json.loads(next(f[2] for f in frames if f[1] == "thread.message.completed"))
        self.assertEqual(message["stream_id"], str(ids[-2]))

    def test_sse_resumes_after_an_id(self):
        task = self.finished()
        full = [f for f in sse_frames(self.open("/api/v1/stream/sse?workflow_id=" + task)) if f[0]]
        cut = full[1][0]
        for headers, query in (({"Last-Event-ID": cut}, ""), ({}, "&last_event_id=" + cut)):
            path = "/api/v1/stream/sse?workflow_id=%s%s" % (task, query)
            rest = [f for f in sse_frames(self.open(path, headers)) if f[0]]
            self.assertEqual(rest, full[2:])

    def test_sse_types_and_key_in_query(self):
        task = self.finished()
        path = "/api/v1/stream/sse?workflow_id=%s&types=WORKFLOW_COMPLETED&api_key=%s"
        frames = list(sse_frames(self.open(path % (task, self.server.key), key=False)))
        self.assertEqual([f[1] for f in frames if f[1] != ":"], ["WORKFLOW_COMPLETED", "done"])
        self.assertEqual(self.open(path % (task, "wrong"), key=False).status, 401)

    def test_sse_live_and_client_leaves(self):
        _, task = self.submit({"query": "hi", "agent": "sleeper"})
        stream = self.open("/api/v1/tasks/%s/stream" % task["task_id"])
        frames = sse_frames(stream)
        while next(frames)[1] != "WORKFLOW_STARTED":
            pass
        gone = self.open("/api/v1/tasks/%s/stream" % task["task_id"])
        gone.close()
        self.server.json("POST", "/api/v1/tasks/%s/cancel" % task["task_id"])
        names = [f[1] for f in frames]
        self.assertEqual(names[-2:], ["workflow.cancelled", "done"])

    def handshake(self, path, key=None):
        s = socket.create_connection(("127.0.0.1", self.server.port), LIMIT)
        s.settimeout(LIMIT)
        self.addCleanup(s.close)
        nonce = base64.b64encode(b"0123456789abcdef").decode()
        s.sendall(
            (
                "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-API-Key: %s\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
                % (path, self.server.port, key or self.server.key, nonce)
            ).encode()
        )
        stream = s.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = stream.read(1)
            if not byte:
                break
            head += byte
        accept = base64.b64encode(
            hashlib.sha1((nonce + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        )
        return s, stream, head, accept

    def ws_message(self, stream):
        first, second = stream.read(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack(">H", stream.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", stream.read(8))
        return first & 15, stream.read(length)

    def test_websocket_gives_each_event_and_closes(self):
        task = self.finished()
        for path in ("/api/v1/stream/ws?workflow_id=" + task, "/api/v1/tasks/%s/stream/ws" % task):
            s, stream, head, accept = self.handshake(path)
            self.assertTrue(head.startswith(b"HTTP/1.1 101"), head)
            self.assertIn(accept, head)
            types = []
            while True:
                opcode, data = self.ws_message(stream)
                if opcode == 8:
                    self.assertEqual(struct.unpack(">H", data[:2])[0], 1000)
                    break
                types.append(json.loads(data)["type"])
                s.sendall(b"\x8a\x80\0\0\0\0")  # a pong, which must not cost what is unread
            self.assertEqual(types[0], "WORKFLOW_STARTED")
            self.assertEqual(types[-1], "WORKFLOW_COMPLETED")
            s.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
            self.assertEqual(stream.read(), b"")

    def test_websocket_answers_pings_and_refuses_wrong_doors(self):
        _, task = self.submit({"query": "hi", "agent": "sleeper"})
        path = "/api/v1/stream/ws?workflow_id=" + task["task_id"]
        s, stream, head, _ = self.handshake(path)
        self.assertTrue(head.startswith(b"HTTP/1.1 101"), head)
        s.sendall(b"\x89\x82\0\0\0\0hi")
        while True:
            opcode, data = self.ws_message(stream)
            if opcode == 10:
                self.assertEqual(data, b"hi")
                break
        s.sendall(b"\x81\x02hi")  # not masked: a protocol error
        while True:
            opcode, data = self.ws_message(stream)
            if opcode == 8:
                break
        self.assertEqual(self.handshake(path, "wrong")[2].split(b" ")[1], b"401")
        status, answer = self.server.json("GET", path)
        self.assert_error(400, "invalid_argument", (status, answer), "WebSocket")
        self.server.json("POST", "/api/v1/tasks/%s/cancel" % task["task_id"])


class Sessions(Base):
    def test_from_the_first_task_to_the_last(self):
        for query in ("one", "two"):
            _, task = self.submit({"query": query, "agent": "hello", "session_id": "talk", "mode": "simple"})
            self.server.wait_task(task["task_id"])
        status, session = self.server.json("GET", "/api/v1/sessions/talk")
        self.assertEqual((status, session["session_id"], session["user_id"]), (200, "talk", "local"))
        self.assertEqual((session["task_count"], session["successful_tasks"]), (2, 2))
        self.assertEqual((session["latest_task_query"], session["first_task_mode"]), ("two", "simple"))
        self.assertEqual((session["is_active"], session["success_rate"]), (False, 1.0))
        status, listed = self.server.json("GET", "/api/v1/sessions?limit=1")
        self.assertEqual((listed["sessions"], listed["total_count"] > 0), ([session], True))
        status, history = self.server.json("GET", "/api/v1/sessions/talk/history")
        self.assertEqual([t["query"] for t in history["tasks"]], ["one", "two"])
        self.assertEqual(history["tasks"][0]["result"].strip(), "hello")
        status, page = self.server.json("GET", "/api/v1/sessions/talk/history?limit=1&offset=1")
        self.assertEqual((page["tasks"], page["total"]), (history["tasks"][:1], 2))

    def test_title_and_forgetting(self):
        _, task = self.submit({"query": "q", "agent": "hello", "session_id": "titled"})
        path = "/api/v1/sessions/titled"
        status, session = self.server.json("PATCH", path, {"title": "\u00e9" * 60})
        self.assertEqual((status, session["title"]), (200, "\u00e9" * 60))
        for body in ({"title": "x" * 61}, {"title": " "}, {"title": 5}, {}, {"title": "t", "x": 1}):
            self.assert_error(400, "invalid_argument", self.server.json("PATCH", path, body))
        response, data = self.server.request("DELETE", path)
        self.assertEqual((response.status, data), (204, b""))
        self.assert_error(404, "not_found", self.server.json("GET", path))
        self.server.wait_task(task["task_id"])
        self.submit({"query": "q", "agent": "hello", "session_id": "titled"})
        status, session = self.server.json("GET", path)
        self.assertEqual((status, session["task_count"], session.get("title")), (200, 2, None))

    def test_wrong_pages_and_ids(self):
        for path, status in (
            ("/api/v1/sessions?limit=0", 400),
            ("/api/v1/sessions?limit=101", 400),
            ("/api/v1/sessions?offset=x", 400),
            ("/api/v1/sessions/nope", 404),
            ("/api/v1/sessions/nope/history", 404),
            ("/api/v1/sessions/a%20b", 400),
            ("/api/v1/sessions/" + "a" * 129, 400),
        ):
            self.assertEqual(self.server.json("GET", path)[0], status, path)

    def test_the_list_survives_a_restart(self):
        with tempfile.TemporaryDirectory(prefix="shannon-e2e-") as folder:
            server = Server(folder)
            server.json("POST", "/api/v1/modules?name=hello", HELLO_WAT)
            server.json("POST", "/api/v1/tasks", {"query": "q", "agent": "hello", "session_id": "kept"})
            server.stop(signal.SIGKILL)
            server = Server(folder)
            self.addCleanup(server.stop)
            status, listed = server.json("GET", "/api/v1/sessions")
            self.assertEqual([s["session_id"] for s in listed["sessions"]], ["kept"])
            server.stop()


class Documents(Base):
    def test_openapi_needs_no_key_and_names_what_there_is(self):
        response, data = self.server.request("GET", "/openapi.json", key=False)
        self.assertEqual(response.status, 200)
        document = json.loads(data)
        self.assertEqual(document["openapi"], "3.1.0")
        for path, item in document["paths"].items():
            for method in item:
                real = path.replace("{id}", "nope")
                if method == "get" and "stream/ws" not in path and "sse" not in path:
                    response, data = self.server.request("GET", real)
                    text = data.decode()
                    self.assertNotIn("there is no GET", text)

    def test_timeline_is_the_journal(self):
        _, task = self.submit({"query": "hi", "agent": "hello"})
        self.server.wait_task(task["task_id"])
        path = "/api/v1/tasks/" + task["task_id"]
        self.assertEqual(
            self.server.json("GET", path + "/timeline"), self.server.json("GET", path + "/journal")
        )

    def test_what_a_client_said_is_told_again(self):
        said = {"mode": "standard", "context": {"tone": "plain"}}
        _, task = self.submit({"query": "hi", "agent": "hello", **said})
        status, view = self.server.json("GET", "/api/v1/tasks/" + task["task_id"])
        self.assertEqual({k: view[k] for k in said}, said)


class Network(unittest.TestCase):
    def run_with(self, *flags):
        with tempfile.TemporaryDirectory(prefix="shannon-e2e-") as folder:
            agent = os.path.join(folder, "hello.wat")
            with open(agent, "wb") as f:
                f.write(HELLO_WAT)
            return subprocess.run(
                [BIN, "run", "--ephemeral", "--events", *flags, agent],
                capture_output=True,
                timeout=LIMIT,
                check=False,
            )

    def test_rules_are_in_the_journal(self):
        done = self.run_with(
            "--allow-net", "https://*.wikipedia.org:443/wiki/*", "--allow-net=GET,POST http://[::1]:8080"
        )
        self.assertEqual((done.returncode, done.stdout), (0, b"hello\n"), done.stderr)
        decided = next(l for l in done.stderr.decode().splitlines() if "PolicyDecided" in l)
        body = json.loads(decided[decided.index("{") :])
        network = body.get("body", body)["capabilities"]["network"]
        self.assertEqual(
            network,
            [
                {"scheme": "https", "host": "*.wikipedia.org", "port": 443, "path": "/wiki/*"},
                {"scheme": "http", "host": "[::1]", "port": 8080, "methods": ["GET", "POST"]},
            ],
        )

    def test_wrong_rules_are_told_with_the_form(self):
        for rule, text in (("example.org", "expected"), ("https://a:0", "port"), ("ftp://a", "scheme")):
            done = self.run_with("--allow-net", rule)
            self.assertEqual((done.returncode, done.stderr.count(b"\n")), (125, 1), done.stderr)
            for want in ("--allow-net " + rule, text, "SCHEME://HOST"):
                self.assertIn(want, done.stderr.decode())


class Modules(Base):
    def test_add_list_remove(self):
        status, module = self.server.json("POST", "/api/v1/modules?name=extra", HELLO_WAT)
        self.assertEqual(status, 200)
        status, listed = self.server.json("GET", "/api/v1/modules")
        self.assertIn("extra", [m.get("name") for m in listed["modules"]])
        status, _ = self.server.json("DELETE", "/api/v1/modules/extra")
        self.assertEqual(status, 200)
        self.assert_error(404, "not_found", self.server.json("DELETE", "/api/v1/modules/extra"))

    def test_with_manifest_in_json(self):
        body = {
            "name": "manifested",
            "manifest": {"tools": ["calculator"]},
            "module": base64.b64encode(HELLO_WAT).decode(),
        }
        status, module = self.server.json(
            "POST", "/api/v1/modules", body, {"Content-Type": "application/json"}
        )
        self.assertEqual((status, module.get("name")), (200, "manifested"), module)

    def test_wrong_modules(self):
        for path, body, text in (
            ("?name=a%20b", HELLO_WAT, "name"),
            ("?name=x", b"", "empty"),
            ("?name=x", b"\0asm\1\0\0\0\xff", ""),
            ("?name=x", b'(module (import "env" "nope" (func)))', "env"),
        ):
            status, answer = self.server.json("POST", "/api/v1/modules" + path, body)
            self.assertEqual(status, 400, (path, answer))
            self.assertIn(text, answer["error"]["message"])


class Life(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="shannon-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def test_sigterm_stops_within_5_seconds_with_clients_connected(self):
        server = Server(self.folder)
        self.addCleanup(server.stop)
        server.json("POST", "/api/v1/modules?name=sleeper", SLEEP_WAT)
        _, task = server.json("POST", "/api/v1/tasks", {"query": "q", "agent": "sleeper"})
        streams = []
        for _ in range(5):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)
            connection.request(
                "GET", "/api/v1/tasks/%s/stream" % task["task_id"], headers={"X-API-Key": server.key}
            )
            streams.append((connection, connection.getresponse()))
        idle = socket.create_connection(("127.0.0.1", server.port))
        waiting = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)
        waiting.request(
            "GET",
            "/api/v1/tasks/%s/journal?after=1000&wait=30" % task["task_id"],
            headers={"X-API-Key": server.key},
        )
        server.json("GET", "/api/v1/tasks")  # by now the server has read the request before
        begin = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - begin, 5.5)
        self.assertEqual(waiting.getresponse().status, 200)
        waiting.close()
        for connection, response in streams:
            response.read()
            connection.close()
        idle.close()
        self.assertFalse(os.path.exists(os.path.join(self.folder, "sock")))

    def test_kill_and_restart_keeps_the_task(self):
        server = Server(self.folder)
        self.addCleanup(server.stop)
        server.json("POST", "/api/v1/modules?name=sleeper", SLEEP_WAT)
        _, task = server.json("POST", "/api/v1/tasks", {"query": "q", "agent": "sleeper"})
        key = server.key
        server.stop(signal.SIGKILL)
        # Nobody owns the folder: a command looks for itself and leaves the task where it is.
        done = subprocess.run(
            [BIN, "status", "--json", task["task_id"], "--data-dir", self.folder],
            capture_output=True, timeout=LIMIT, check=False,
        )
        self.assertEqual(json.loads(done.stdout)["status"], "TASK_STATUS_RUNNING", done.stderr)
        server = Server(self.folder)
        self.addCleanup(server.stop)
        self.assertEqual(server.key, key)
        status, found = server.json("GET", "/api/v1/tasks/" + task["task_id"])
        self.assertEqual((status, found["status"]), (200, "TASK_STATUS_RUNNING"))
        status, _ = server.json("POST", "/api/v1/tasks/%s/cancel" % task["task_id"])
        self.assertEqual(status, 202)
        self.assertEqual(server.wait_task(task["task_id"])["status"], "TASK_STATUS_CANCELLED")
        self.assertEqual(server.stop(signal.SIGINT), 0)

    def test_wrong_configuration_is_told_with_the_nearest_key(self):
        with open(os.path.join(self.folder, "shannon.toml"), "w", encoding="utf-8") as f:
            f.write('[server]\nlistn = "127.0.0.1:0"\n')
        os.chmod(self.folder, 0o700)
        done = subprocess.run(
            [BIN, "serve", "--data-dir", self.folder], capture_output=True, timeout=LIMIT, check=False
        )
        self.assertEqual(done.returncode, 125)
        self.assertIn(b"did you mean listen?", done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1)

    def test_sql_reads_the_stopped_directory_only(self):
        server = Server(self.folder)
        self.addCleanup(server.stop)
        server.json("POST", "/api/v1/modules?name=hello", HELLO_WAT)
        _, task = server.json("POST", "/api/v1/tasks", {"query": "q", "agent": "hello"})
        server.wait_task(task["task_id"])

        def sql(text):
            return subprocess.run(
                [BIN, "sql", text, "--data-dir", self.folder],
                capture_output=True, timeout=LIMIT, check=False,
            )

        busy = sql("SELECT * FROM workflow")
        self.assertEqual(busy.returncode, 125)
        self.assertIn(b"in use by process", busy.stderr)
        server.stop()
        found = sql("SELECT * FROM workflow")
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertIn(task["task_id"].encode(), found.stdout)
        self.assertNotEqual(sql("DELETE workflow").returncode, 0)
        self.assertEqual(sql("SELECT * FROM workflow").stdout, found.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
