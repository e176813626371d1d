#!/usr/bin/env python3
"""Shannon as an MCP server, over stdin and stdout and over HTTP: what a client sees, what it is
refused, and that its runs are durable. Messages are written by hand here; what official clients
make of it is in conformance/test_mcp_server.py."""

import base64
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "lib")]
import skips  # noqa: E402
from test_api import BIN, BUILD, HELLO_WAT, LIMIT, SLEEP_WAT, Server  # noqa: E402

COMPILE_LIMIT = 300  # the interpreter is compiled once, and slowly where cores are busy
HELLO = HELLO_WAT.decode()
SLEEP = SLEEP_WAT.decode()
ASK_POLICY = """
[[rules]]
agent = "*"
ask = { tools = ["calculator"] }
"""


class Client:
    """One `shannon mcp`, spoken to line by line."""

    def __init__(self, folder, capabilities=None, version="2025-11-25", start=True):
        self.process = subprocess.Popen([BIN, "mcp", "--data-dir", folder],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, bufsize=1)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.next_id = 0
        self.notes = []
        if start:
            self.hello = self.ask("initialize", {
                "protocolVersion": version, "capabilities": capabilities or {},
                "clientInfo": {"name": "test", "version": "1"}})["result"]
            self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def send(self, message):
        text = message if isinstance(message, str) else json.dumps(message)
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def start(self, method, params=None):
        self.next_id += 1
        self.send({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params or {}})
        return self.next_id

    def next(self, seconds=COMPILE_LIMIT):
        message = self.lines.get(timeout=seconds)
        if message is None:
            raise AssertionError("shannon mcp ended: " + self.process.stderr.read())
        return message

    def wait(self, number):
        while True:
            message = self.next()
            if message.get("id") == number and "method" not in message:
                return message
            self.notes.append(message)

    def ask(self, method, params=None):
        return self.wait(self.start(method, params))

    def call_start(self, name, **arguments):
        return self.start("tools/call", {"name": name, "arguments": arguments})

    def call(self, name, **arguments):
        return self.wait(self.call_start(name, **arguments))["result"]

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            code = self.process.wait(LIMIT)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.reader.join(LIMIT)
            self.process.stdout.close()
            self.process.stderr.close()
        return code


class Folder(unittest.TestCase):
    policy = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="shannon-mcp-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        if self.policy:
            with open(os.path.join(self.folder, "policy.toml"), "w", encoding="utf-8") as f:
                f.write(self.policy)

    def client(self, **options):
        client = Client(self.folder, **options)
        self.addCleanup(client.close)
        return client

    def command(self, *args):
        return subprocess.run([BIN, *args, "--data-dir", self.folder, "--json"],
                              capture_output=True, text=True, timeout=LIMIT, check=False)

    def guest(self, name):
        with open(os.path.join(BUILD, "guests", name + ".wasm"), "rb") as f:
            return base64.b64encode(f.read()).decode()


class Stdio(Folder):
    def test_the_version_is_negotiated(self):
        for asked, given in (("2025-11-25", "2025-11-25"), ("2025-06-18", "2025-06-18"),
                             ("2024-11-05", "2024-11-05"), ("1999-01-01", "2025-11-25")):
            client = self.client(version=asked)
            self.assertEqual(client.hello["protocolVersion"], given)
            self.assertEqual(client.hello["serverInfo"]["name"], "shannon")
            self.assertEqual(client.close(), 0)

    def test_tools_are_described_and_nothing_decides(self):
        tools = {t["name"]: t for t in self.client().ask("tools/list")["result"]["tools"]}
        self.assertEqual(sorted(tools), ["pending_approvals", "run_python", "run_wasm",
                                         "submit_task", "task_status"])
        self.assertTrue(tools["pending_approvals"]["annotations"]["readOnlyHint"])
        self.assertFalse(tools["run_python"]["annotations"]["readOnlyHint"])

    def test_a_module_runs_and_its_journal_has_an_id(self):
        client = self.client()
        result = client.call("run_wasm", wat=HELLO)
        self.assertFalse(result["isError"], result)
        got = result["structuredContent"]
        self.assertEqual((got["status"], got["stdout"], got["exit_status"]),
                         ("completed", "hello\n", 0))
        self.assertGreater(got["journal_events"], 2)
        self.assertIn("hello", result["content"][0]["text"])
        self.assertIn(got["task_id"], result["content"][0]["text"])
        status = client.call("task_status", task_id=got["task_id"])["structuredContent"]
        self.assertEqual((status["status"], status["result"]), ("completed", "hello"))
        self.assertEqual(client.close(), 0)
        verified = json.loads(self.command("verify", got["task_id"]).stdout)
        self.assertTrue(verified["ok"], verified)

    def test_python_runs_with_arguments_and_input(self):
        skips.python_wasm(BUILD)
        client = self.client()
        code = ("import sys\nprint(sys.argv[1], sys.stdin.read())\n"
                "print('oops', file=sys.stderr)\nsys.exit(3)\n")
        result = client.call("run_python", code=code, args=["a b"], stdin="in", wait_s=200)
        got = result["structuredContent"]
        self.assertEqual((got["stdout"], got["stderr"], got["exit_status"], got["status"]),
                         ("a b in\n", "oops\n", 3, "failed"))
        self.assertTrue(result["isError"])
        self.assertEqual(got["error"]["code"], "exit_status")
        got = client.call("run_python", code="(lambda: print('not wat'))()")["structuredContent"]
        self.assertEqual(got["stdout"], "not wat\n")

    def test_what_is_wrong_with_arguments_is_said_to_the_model(self):
        client = self.client()
        for name, arguments, text in (
                ("run_python", {}, "code is missing"),
                ("run_python", {"code": 1}, "code must be a string"),
                ("run_python", {"code": "1", "cod": "1"}, "cod"),
                ("run_python", {"code": "1", "wait_s": -1}, "wait_s"),
                ("run_python", {"code": "1", "wait_s": 3601}, "0 to 3600"),
                ("run_python", {"code": "1", "timeout_s": 0}, "timeout_s"),
                ("run_wasm", {}, "one of agent, wat and module_base64; 0"),
                ("run_wasm", {"wat": HELLO, "agent": "x"}, "2 were given"),
                ("run_wasm", {"wat": "print(1)"}, "(module"),
                ("run_wasm", {"module_base64": "!"}, "base64"),
                ("run_wasm", {"agent": "nobody"}, "nobody"),
                ("submit_task", {"query": " "}, "query"),
                ("task_status", {}, "task_id"),
                ("task_status", {"task_id": "../x"}, "task_id"),
                ("task_status", {"task_id": "wf-unknown"}, "wf-unknown")):
            result = client.call(name, **arguments)
            self.assertTrue(result["isError"], (name, arguments))
            self.assertIn(text, result["content"][0]["text"])

    def test_hostile_messages_get_errors_and_change_nothing(self):
        client = self.client()
        for text, code in (
                ("{", -32700), ("[]", -32600), ("7", -32600), ("{}", -32600),
                ('{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
                ('{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
                ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
                ('{"jsonrpc":"2.0","id":1,"method":7}', -32600),
                ('{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32602),
                ('{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32700),
                ('{"jsonrpc":"2.0","id":1,"method":"shutdown"}', -32601),
                ('{"jsonrpc":"2.0","id":1,"method":"initialize"}', -32602),
                ('{"jsonrpc":"2.0","id":1,"method":"tools/call"}', -32602),
                ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"approve"}}',
                 -32602),
                ("[" * 100 + "]" * 100, -32600),
                ('{"jsonrpc":"2.0","id":"' + "i" * 257 + '","method":"ping"}', -32600)):
            client.send(text)
            self.assertEqual(client.next()["error"]["code"], code, text[:80])
        for text in ('{"jsonrpc":"2.0","method":"notifications/cancelled"}',
                     '{"jsonrpc":"2.0","method":"notifications/unknown","params":{}}',
                     '{"jsonrpc":"2.0","id":"q1","result":{}}', ""):
            client.send(text)
        self.assertEqual(client.ask("ping")["result"], {})

    def test_nothing_works_before_initialize_but_ping(self):
        client = self.client(start=False)
        self.assertEqual(client.ask("ping")["result"], {})
        self.assertEqual(client.ask("tools/list")["error"]["code"], -32600)

    def test_a_message_may_be_as_long_as_the_limit_and_no_longer(self):
        client = self.client()
        most = 8 * 1024 * 1024
        frame = '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":""}}'
        client.send(frame.replace('""', '"' + "x" * (most - len(frame)) + '"'))
        self.assertEqual(client.next()["result"], {})
        client.send(frame.replace('""', '"' + "x" * (most - len(frame) + 1) + '"'))
        self.assertEqual(client.next()["error"]["code"], -32600)
        client.send(frame.replace('""', '"' + "x" * (3 * most) + '"'))
        self.assertEqual(client.next()["error"]["code"], -32600)
        self.assertEqual(client.ask("ping")["result"], {})

    def test_calls_at_a_time_have_a_limit(self):
        client = self.client()
        calls = [client.call_start("run_wasm", wat=SLEEP, wait_s=300) for _ in range(32)]
        refused = client.ask("tools/call", {"name": "pending_approvals"})
        self.assertIn("32 calls", refused["error"]["message"])
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled",
                     "params": {"requestId": calls[0]}})
        self.assertIn("result", client.ask("tools/call", {"name": "pending_approvals"}))
        for number in calls[1:]:
            client.send({"jsonrpc": "2.0", "method": "notifications/cancelled",
                         "params": {"requestId": number}})

    def test_a_canceled_call_cancels_its_task_and_gets_no_answer(self):
        client = self.client()
        number = client.start("tools/call", {
            "name": "run_wasm", "arguments": {"wat": SLEEP, "wait_s": 300},
            "_meta": {"progressToken": "p"}})
        note = client.next()
        self.assertEqual(note["method"], "notifications/progress")
        self.assertEqual(note["params"]["progressToken"], "p")
        task = note["params"]["message"].rsplit(" ", 1)[1]
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled",
                     "params": {"requestId": number}})
        status = client.call("task_status", task_id=task, wait_s=60)["structuredContent"]
        self.assertEqual(status["status"], "cancelled")
        self.assertFalse([m for m in client.notes if m.get("id") == number], client.notes)

    def test_a_long_run_goes_on_after_its_answer(self):
        client = self.client()
        got = client.call("run_wasm", wat=SLEEP, wait_s=0)
        self.assertFalse(got["isError"])
        self.assertEqual(got["structuredContent"]["status"], "running")
        self.assertIn("task_status", got["structuredContent"]["hint"])

    def test_input_that_ends_waits_for_its_answers(self):
        lines = [{"jsonrpc": "2.0", "id": 1, "method": "initialize",
                  "params": {"protocolVersion": "2025-06-18", "capabilities": {}}},
                 {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
                  "params": {"name": "run_wasm", "arguments": {"wat": HELLO}}}]
        done = subprocess.run([BIN, "mcp", "--data-dir", self.folder], text=True,
                              input="".join(json.dumps(line) + "\n" for line in lines),
                              capture_output=True, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 0, done)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([a["id"] for a in answers], [1, 2])
        self.assertEqual(answers[1]["result"]["structuredContent"]["stdout"], "hello\n")


class Rules(Folder):
    policy = """
[[rules]]
agent = "mcp"
deny = { tools = ["calculator"] }
[[rules]]
agent = "known"
allow = { tools = ["calculator"] }
"""

    def test_rules_speak_of_code_that_came_through_mcp(self):
        client = self.client()
        module = self.guest("activity")
        got = client.call("run_wasm", module_base64=module, wait_s=200)["structuredContent"]
        self.assertIn("permission_denied", json.dumps(got["result"]))
        self.assertIn('agent \\"mcp\\"', json.dumps(got["result"]))
        task = json.loads(self.command("status", got["task_id"]).stdout)
        self.assertEqual(task["agent"], "mcp")
        verified = json.loads(self.command("verify", got["task_id"]).stdout)
        self.assertTrue(verified["ok"], verified)
        path = os.path.join(BUILD, "guests", "activity.wasm")
        done = self.command("modules", "add", "--name", "known", path)
        self.assertEqual(done.returncode, 0, done)
        got = client.call("run_wasm", module_base64=module, wait_s=200)["structuredContent"]
        self.assertEqual(got["result"], {"ok": {"value": 42}})  # a module with a name keeps it


class People(Folder):
    policy = ASK_POLICY

    def test_a_client_without_forms_is_told_who_can_answer(self):
        client = self.client()
        got = client.call("run_wasm", module_base64=self.guest("activity"), wait_s=200)
        self.assertFalse(got["isError"])
        got = got["structuredContent"]
        self.assertEqual(got["status"], "running")
        self.assertIn("shannon approve", got["hint"])
        approval = got["approvals"][0]
        self.assertEqual(approval["tool"], "calculator")
        listed = client.call("pending_approvals")["structuredContent"]["approvals"]
        self.assertEqual([a["approval_id"] for a in listed], [approval["approval_id"]])
        done = self.command("approve", got["task_id"], approval["approval_id"])
        self.assertEqual(done.returncode, 0, done)
        status = client.call("task_status", task_id=got["task_id"], wait_s=60)
        self.assertEqual(status["structuredContent"]["result"], {"ok": {"value": 42}})

    def elicited(self, answer):
        client = self.client(capabilities={"elicitation": {}})
        number = client.call_start("run_wasm", module_base64=self.guest("activity"), wait_s=200)
        question = client.next()
        self.assertEqual(question["method"], "elicitation/create")
        self.assertIn("calculator", question["params"]["message"])
        self.assertIn("6*7", question["params"]["message"])
        schema = question["params"]["requestedSchema"]
        self.assertEqual(schema["properties"]["decision"]["enum"], ["once", "run", "deny"])
        client.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
        return client.wait(number)["result"]["structuredContent"]

    def test_a_client_with_forms_asks_its_person_who_says_yes(self):
        got = self.elicited({"action": "accept", "content": {"decision": "once"}})
        self.assertEqual((got["status"], got["result"]), ("completed", {"ok": {"value": 42}}))

    def test_a_person_says_no(self):
        for answer in ({"action": "decline"},
                       {"action": "accept", "content": {"decision": "deny"}}):
            got = self.elicited(answer)
            self.assertEqual(got["result"]["error"]["code"], "permission_denied")

    def test_a_form_that_is_closed_or_misused_decides_nothing(self):
        for answer in ({"action": "cancel"}, {},
                       {"action": "accept", "content": {"decision": "always"}}):
            got = self.elicited(answer)
            self.assertEqual(got["status"], "running")
            self.assertEqual(len(got["approvals"]), 1)


class Owners(Folder):
    def test_beside_a_server_it_joins_it(self):
        server = Server(self.folder)
        self.addCleanup(server.stop)
        client = self.client()
        got = client.call("run_wasm", wat=HELLO)["structuredContent"]
        status, task = server.json("GET", "/api/v1/tasks/" + got["task_id"])
        self.assertEqual((status, task["status"]), (200, "TASK_STATUS_COMPLETED"))
        self.assertEqual(client.close(), 0)

    def test_without_a_server_it_is_the_one_that_others_join(self):
        client = self.client()
        task = client.call("run_wasm", wat=HELLO)["structuredContent"]["task_id"]
        listed = json.loads(self.command("tasks").stdout)
        self.assertEqual([t["task_id"] for t in listed["tasks"]], [task])

    def test_it_takes_over_from_an_owner_who_dies_with_the_call_under_way(self):
        server = Server(self.folder)
        client = self.client()
        number = client.call_start("run_wasm", wat=SLEEP.replace("3600000000000", "4000000000"),
                                   wait_s=300)
        end = time.monotonic() + LIMIT
        while not server.json("GET", "/api/v1/tasks")[1]["tasks"]:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        server.stop(signal.SIGKILL)
        got = client.wait(number)["result"]["structuredContent"]
        self.assertEqual(got["status"], "completed")
        self.assertEqual(client.call("run_wasm", wat=HELLO)["structuredContent"]["stdout"],
                         "hello\n")
        self.assertEqual(client.close(), 0)
        verified = json.loads(self.command("verify", got["task_id"]).stdout)
        self.assertTrue(verified["ok"], verified)

    def test_a_signal_ends_it_and_its_task_goes_on_later(self):
        client = self.client()
        task = client.call("run_wasm", wat=SLEEP, wait_s=0)["structuredContent"]["task_id"]
        client.process.send_signal(signal.SIGTERM)
        self.assertEqual(client.process.wait(LIMIT), 0)
        again = self.client()
        got = again.call("task_status", task_id=task)["structuredContent"]
        self.assertEqual(got["status"], "running")


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="shannon-mcp-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.server = Server(cls.folder)
        cls.addClassCleanup(cls.server.stop)
        path = os.path.join(cls.folder, "mcp-key")
        with open(path, encoding="ascii") as f:
            cls.key = f.read().strip()
        cls.mode = os.stat(path).st_mode & 0o777

    def post(self, message, session=None, **headers):
        headers = {"Content-Type": "application/json", "Authorization": "Bearer " + self.key,
                   "Accept": "application/json, text/event-stream",
                   **({"Mcp-Session-Id": session} if session else {}),
                   **{k.replace("_", "-"): v for k, v in headers.items()}}
        body = message if isinstance(message, str) else json.dumps(message)
        return self.server.request("POST", "/mcp", body,
                                   {k: v for k, v in headers.items() if v}, key=False)

    def open(self):
        response, data = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}}})
        self.assertEqual(response.status, 200, data)
        session = response.getheader("Mcp-Session-Id")
        response, data = self.post({"jsonrpc": "2.0", "method": "notifications/initialized"},
                                   session)
        self.assertEqual((response.status, data), (202, b""))
        return session

    def call(self, session, name, **arguments):
        response, data = self.post({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": name, "arguments": arguments, "_meta": {"progressToken": 1}}}, session)
        self.assertEqual(response.status, 200, data)
        if response.getheader("Content-Type") == "application/json":
            return [json.loads(data)]
        self.assertEqual(response.getheader("Content-Type"), "text/event-stream")
        return [json.loads(line[6:]) for line in data.decode().splitlines()
                if line.startswith("data: ")]

    def test_a_call_streams_its_progress_and_its_answer(self):
        messages = self.call(self.open(), "run_wasm", wat=HELLO)
        self.assertEqual(messages[0]["method"], "notifications/progress")
        self.assertEqual(messages[-1]["result"]["structuredContent"]["stdout"], "hello\n")

    def test_each_key_opens_its_own_door_only(self):
        self.assertEqual(self.mode, 0o600)
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        for key in ("", self.server.key, "0" * 64):
            response, data = self.post(ping, Authorization=key and "Bearer " + key)
            self.assertEqual(response.status, 401, data)
            self.assertIn(b"mcp-key", data)
        for path in ("/api/v1/tasks", "/api/v1/approvals", "/metrics"):
            response, _ = self.server.request("GET", path, headers={"X-API-Key": self.key})
            self.assertEqual(response.status, 401)
        response, _ = self.server.request(
            "POST", "/api/v1/approvals/decision", {}, {"Authorization": "Bearer " + self.key},
            key=False)
        self.assertEqual(response.status, 401)
        response, _ = self.server.request("POST", "/mcp?api_key=" + self.key, "{}", key=False)
        self.assertEqual(response.status, 401)

    def test_other_sites_and_names_are_refused(self):
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        session = self.open()
        for headers, want in (({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
                              ({"Host": "evil.example"}, 403),
                              ({"Origin": "http://127.0.0.1:%d" % self.server.port}, 200)):
            response, data = self.post(ping, session, **headers)
            self.assertEqual(response.status, want, (headers, data))

    def test_sessions_begin_and_end(self):
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        self.assertEqual(self.post(ping)[0].status, 400)
        self.assertEqual(self.post(ping, "0" * 48)[0].status, 404)
        session = self.open()
        self.assertEqual(self.post(ping, session)[0].status, 200)
        self.assertEqual(self.post(ping, session, MCP_Protocol_Version="1.0")[0].status, 400)
        headers = {"Authorization": "Bearer " + self.key, "Mcp-Session-Id": session}
        self.assertEqual(self.server.request("GET", "/mcp", None, headers, False)[0].status, 405)
        self.assertEqual(self.server.request("DELETE", "/mcp", None, headers, False)[0].status, 204)
        self.assertEqual(self.post(ping, session)[0].status, 404)

    def test_bodies_that_are_no_messages(self):
        session = self.open()
        response, data = self.post("{", session)
        self.assertEqual((response.status, json.loads(data)["error"]["code"]), (400, -32700))
        self.assertEqual(self.post("{}", session, Content_Type="text/plain")[0].status, 400)
        head = ("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
                "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n")
        self.assertEqual(self.server.raw((head % (self.server.port, self.key,
                                                  8 * 1024 * 1024 + 1)).encode()), 413)

    def test_the_session_that_rested_longest_makes_room(self):
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        first, kept = self.open(), self.open()
        for _ in range(63):
            self.assertEqual(self.post(ping, kept)[0].status, 200)
            self.open()
        self.assertEqual(self.post(ping, kept)[0].status, 200)
        self.assertEqual(self.post(ping, first)[0].status, 404)

    def test_a_client_that_leaves_stops_nothing(self):
        session = self.open()
        body = json.dumps({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {
            "name": "run_wasm", "_meta": {"progressToken": 1},
            "arguments": {"wat": SLEEP, "wait_s": 300, "session_id": "leaver"}}})
        with socket.create_connection(("127.0.0.1", self.server.port), LIMIT) as s:
            s.sendall(("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
                       "Content-Type: application/json\r\nMcp-Session-Id: %s\r\n"
                       "Content-Length: %d\r\n\r\n%s"
                       % (self.server.port, self.key, session, len(body), body)).encode())
            seen = b""
            while b"started as" not in seen:
                seen += s.recv(4096)
        page = self.server.json("GET", "/api/v1/tasks?session_id=leaver")[1]
        self.assertEqual([t["status"] for t in page["tasks"]], ["TASK_STATUS_RUNNING"])
        response, _ = self.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, session)
        self.assertEqual(response.status, 200)


if __name__ == "__main__":
    unittest.main()
