"""Tools through the real program: what policy, journal and replay make of them."""

import base64
import json
import pathlib
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import ScriptedWeb, Server, guest, shannon  # noqa: E402

SECRET = "tok-very-secret"


class Tools(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data = self.folder / "data"

    def web(self, script):
        web = ScriptedWeb(self.folder, script)
        self.addCleanup(web.stop)
        return web

    def config(self, text):
        self.data.mkdir(mode=0o700, exist_ok=True)
        (self.data / "shannon.toml").write_text(text)

    def server(self, **environment):
        server = Server(self.data, **environment)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def policy(self, tools, network=()):
        allow = {"tools": list(tools), "network": list(network)}
        self.data.mkdir(mode=0o700, exist_ok=True)
        path = self.data / "policy.toml"
        rules = ", ".join("{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in r.items()) + " }"
                          for r in allow["network"])
        path.write_text(f'[[rules]]\nagent = "*"\n[rules.allow]\ntools = {json.dumps(allow["tools"])}\n'
                        f"network = [{rules}]\n")

    def call(self, calls, *flags, env=None):
        """One line of the guest for each call."""
        done = shannon("run", "--data-dir", self.data, *flags, "--input",
                       json.dumps({"calls": [{"op": op, "args": args} for op, args in calls]}),
                       guest("call.wasm"), env=env or harness.clean_environment(), check=0)
        return [json.loads(line) for line in done.stdout.splitlines()]


class Http(Tools):
    def test_rules_decide_and_the_flag_that_helps_is_named(self):
        web = self.web({"*": {"body": "hello"}})
        get = ("http", {"url": f"{web.url}/a"})
        line, = self.call([get])
        self.assertEqual(line["error"]["code"], "permission_denied")
        line, = self.call([get], "--tool", "http")
        self.assertIn("--allow-net", line["error"]["message"])
        self.assertEqual(web.requests(), [])
        one, two = self.call([get, ("http", {"url": f"{web.url}/b", "method": "POST"})],
                             "--tool", "http", "--allow-net", f"GET {web.url}/*")
        self.assertEqual(one["ok"]["body"], "hello")
        self.assertEqual(two["error"]["code"], "permission_denied")
        self.assertEqual([r["path"] for r in web.requests()], ["/a"])

    def test_a_wildcard_does_not_open_this_machine(self):
        web = self.web({"*": {"body": "hello"}})
        self.policy(["http"], [{"scheme": "http", "host": "*", "port": web.port}])
        for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"):
            line, = self.call([("http", {"url": f"http://{host}:{web.port}/"})])
            self.assertEqual(line["error"]["code"], "permission_denied", (host, line))
        self.assertEqual(web.requests(), [])

    def test_an_agent_cannot_name_the_address_that_a_wildcard_leaves_out(self):
        web = self.web({"*": {"body": "hello"}})
        self.policy(["http"], [{"scheme": "http", "host": "*", "port": web.port}])
        server = self.server()
        server.add_module(guest("call.wasm"), "call")
        rule = {"scheme": "http", "host": "127.0.0.1", "port": web.port}
        task = server.submit({"agent": "call", "query": "q", "input": {"calls": [
            {"op": "http", "args": {"url": f"{web.url}/"}}]},
            "capabilities": {"tools": ["http"], "network": [rule]}})
        server.wait_for_end(task)
        self.assertIn("permission_denied", server.task(task)["result"])
        self.assertEqual(web.requests(), [])
        server.stop()

    def test_the_server_itself_is_out_of_reach_even_by_a_rule(self):
        web = self.web({"*": {"body": "hello"}})
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.policy(["http"], [{"scheme": "http", "host": "127.0.0.1", "port": p}
                               for p in (web.port, port)])
        server = self.server(SHANNON_SERVER_LISTEN=f"127.0.0.1:{port}")
        server.add_module(guest("call.wasm"), "call")
        task = server.submit({"agent": "call", "query": "q", "input": {"calls": [
            {"op": "http", "args": {"url": f"http://127.0.0.1:{port}/health"}},
            {"op": "http", "args": {"url": f"{web.url}/"}}]}})
        server.wait_for_end(task)
        first, second = server.task(task)["result"].splitlines()
        self.assertIn("permission_denied", first)
        self.assertIn('"body":"hello"', second)
        self.assertTrue(server.verify(task)["ok"])
        server.stop()

    def test_a_credential_is_in_no_journal_log_or_answer(self):
        web = self.web({"*": {"echo": True}})
        self.config(f'[http.credentials.api]\nurl = "{web.url}/v1/"\nenv = "SH_TOKEN"\n')
        rule = {"scheme": "http", "host": "127.0.0.1", "port": web.port}
        self.policy(["http", "credential:api"], [rule])
        server = self.server(SH_TOKEN=SECRET)
        server.add_module(guest("call.wasm"), "call")
        args = {"url": f"{web.url}/v1/me", "credential": "api"}
        task = server.submit({"agent": "call", "query": "q",
                              "input": {"calls": [{"op": "http", "args": args}]}})
        events = server.wait_for_end(task)
        self.assertEqual(web.requests()[0]["headers"]["authorization"], f"Bearer {SECRET}")
        self.assertNotIn(SECRET, json.dumps(events))
        self.assertNotIn(SECRET, server.task(task)["result"])
        self.assertIn("Bearer ***", server.task(task)["result"])
        self.assertNotIn(SECRET, server.output.all())
        server.stop()


PAGE = """<!doctype html><meta charset=koi8-r><title>\u0418</title><nav>menu</nav>
<h1>Head</h1><p>Body &amp; soul <a href="/next">next</a><script>alert(1)</script>"""


class Web(Tools):
    def test_a_page_is_read_searched_and_replayed(self):
        page = base64.b64encode(PAGE.encode("koi8-r")).decode()
        web = self.web({"/robots.txt": {"body": "User-agent: *\nDisallow: /no"},
                        "/page": {"body_base64": page, "headers": {"Content-Type": "text/html"}},
                        "/search": {"json": {"results": [{"url": "http://x.example/", "title": "X",
                                                          "content": "<b>y</b>"}]}}})
        self.config(f'[search]\nbase_url = "{web.url}"\n')
        self.policy(["web_fetch", "web_search"],
                    [{"scheme": "http", "host": "127.0.0.1", "port": web.port}])
        server = self.server()
        server.add_module(guest("call.wasm"), "call")
        task = server.submit({"agent": "call", "query": "q", "input": {"calls": [
            {"op": "web_fetch", "args": {"url": f"{web.url}/page"}},
            {"op": "web_fetch", "args": {"url": f"{web.url}/no/x"}},
            {"op": "web_search", "args": {"query": "q"}}]}})
        server.wait_for_end(task)
        first, second, third = map(json.loads, server.task(task)["result"].splitlines())
        self.assertEqual(first["ok"]["title"], "\u0418")
        self.assertEqual(first["ok"]["text"], "# Head\n\nBody & soul next")
        self.assertEqual(first["ok"]["links"], [{"text": "next", "url": f"{web.url}/next"}])
        self.assertEqual(second["error"]["code"], "upstream_rejected")
        self.assertEqual(third["ok"]["results"],
                         [{"title": "X", "url": "http://x.example/", "snippet": "y"}])
        seen = len(web.requests())
        self.assertTrue(server.verify(task)["ok"])
        self.assertEqual(len(web.requests()), seen)
        server.stop()

    def test_what_is_not_set_up_fails_at_once_and_asks_nobody(self):
        self.config("")
        server = self.server()  # no policy: what is no arithmetic is asked
        server.add_module(guest("call.wasm"), "call")
        task = server.submit({"agent": "call", "query": "q", "input": {"calls": [
            {"op": "web_search", "args": {"query": "q"}},
            {"op": "web_fetch", "args": {"url": "https://nowhere.example/"}},
            {"op": "http", "args": {"url": "https://nowhere.example/"}}]}})
        events = server.wait_for_end(task)
        first, second, third = map(json.loads, server.task(task)["result"].splitlines())
        self.assertEqual(first["error"]["code"], "not_configured")
        self.assertIn("[search]", first["error"]["message"])
        for line in (second, third):
            self.assertEqual(line["error"]["code"], "permission_denied")
            self.assertIn("--allow-net", line["error"]["message"])
        self.assertNotIn("ApprovalRequested", [e["type"] for e in events])
        self.assertTrue(server.verify(task)["ok"])
        server.stop()

    def test_the_reader_can_do_nothing_else(self):
        done = subprocess.run([harness.BIN, "read-worker", "html", "", "http://x/", "100"],
                              input=b"<p>x</p>", capture_output=True, timeout=60, env={})
        self.assertEqual(json.loads(done.stdout)["text"], "x")
        for args in ([], ["html"], ["html", "", "http://x/", "100", "more"]):
            done = subprocess.run([harness.BIN, "read-worker", *args], input=b"x",
                                  capture_output=True, timeout=60, env={})
            self.assertNotEqual(done.returncode, 0)


class Mcp(Tools):
    def configure(self):
        self.log, self.described = self.folder / "mcp.log", self.folder / "described.json"
        self.described.write_text("{}")
        command = [sys.executable, str(harness.SOURCE / "tests/lib/scripted_mcp.py"), "--log",
                   str(self.log), "--tools", str(self.described)]
        self.config(f"[mcp.s]\ncommand = {json.dumps(command)}\n")

    def calls(self):
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line["call"] for line in lines if "call" in line]

    def test_tools_are_listed_granted_one_by_one_and_replayed(self):
        self.configure()
        done = shannon("tools", "--data-dir", self.data, "--json", check=0)
        names = [tool["name"] for tool in json.loads(done.stdout)]
        self.assertIn("mcp:s/echo", names)
        self.assertIn("http", names)
        self.policy(["mcp:s/echo"])
        server = self.server()
        server.add_module(guest("call.wasm"), "call")
        task = server.submit({"agent": "call", "query": "q", "capabilities": {
            "tools": ["mcp:s/echo", "kv"]}, "input": {"calls": [
                {"op": "mcp:s/echo", "args": {"x": 1}}, {"op": "mcp:s/fail", "args": {}}]}})
        server.wait_for_end(task)
        first, second = map(json.loads, server.task(task)["result"].splitlines())
        self.assertEqual(first["ok"]["structured"]["arguments"], {"x": 1})
        self.assertEqual(second["error"]["code"], "permission_denied")
        self.assertTrue(server.verify(task)["ok"])
        self.assertEqual(self.calls(), ["echo"])
        pid = json.loads(self.log.read_text().splitlines()[-2])["start"]
        server.kill()
        end = time.monotonic() + 60
        while pathlib.Path(f"/proc/{pid}/status").exists() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertFalse(pathlib.Path(f"/proc/{pid}/status").exists())

    def test_the_server_lists_them_with_what_the_policy_says(self):
        self.configure()
        self.policy(["mcp:s/echo"])
        server = self.server()
        end = time.monotonic() + 60
        while time.monotonic() < end:  # asking is what starts it
            listed = server.request("GET", "/api/v1/tools")[1]
            if listed["servers"][0]["state"] == "ready":
                break
            time.sleep(0.05)
        self.assertEqual(listed["servers"], [{"server": "s", "state": "ready", "tools": 7}])
        tools = {tool["name"]: tool for tool in listed["tools"]}
        echo, fail, http = tools["mcp:s/echo"], tools["mcp:s/fail"], tools["http"]
        self.assertEqual((echo["origin"], echo["policy"], echo["changed"]), ("mcp:s", "allow", False))
        self.assertEqual(echo["parameters"], {"type": "object"})
        self.assertEqual((fail["policy"], http["policy"], http["origin"]),
                         ("ask", "ask", "built-in"))
        self.assertEqual(server.request("GET", "/api/v1/tools/mcp:s%2Fecho")[1], echo)
        only = server.request("GET", "/api/v1/tools?category=mcp")[1]["tools"]
        self.assertEqual(len(only), 7)
        self.assertEqual(self.calls(), [])
        server.stop()

    def test_a_tool_that_changed_is_denied_until_it_is_accepted(self):
        self.configure()
        call = [("mcp:s/echo", {})]
        line, = self.call(call, "--tool", "mcp:s/echo")
        self.assertIn("ok", line)
        self.described.write_text(json.dumps({"echo": {"description": "other"}}))
        line, = self.call(call, "--tool", "mcp:s/echo")
        self.assertEqual(line["error"]["code"], "permission_denied")
        self.assertIn("changed", shannon("tools", "--data-dir", self.data).stdout.decode())
        shannon("tools", "--data-dir", self.data, "--accept", "mcp:s/echo", check=0)
        line, = self.call(call, "--tool", "mcp:s/echo")
        self.assertIn("ok", line)
        self.assertEqual(self.calls(), ["echo", "echo"])


if __name__ == "__main__":
    unittest.main()
