"""/net/tcp under the real program: an ordinary C program and a script talk to a server, rules and
addresses are refused with what would help, and a killed server's task goes on."""

import json
import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import harness  # noqa: E402
from harness import Server, guest, shannon  # noqa: E402
from scripted_peer import Peer  # noqa: E402

SCRIPT = """
import os, sys
with open(sys.argv[1], "r+b", buffering=0) as f:
    f.write(b"SET script yes\\r\\n")
    print(f.read(100))
    f.write(b"GET script\\r\\n")
    print(f.read(100))
try:
    open("/net/tcp/127.0.0.1/1", "r+b", buffering=0)
except OSError as e:
    print(type(e).__name__)
print(os.listdir("/net"))
"""


def observed(events, kind):
    return [e["body"] for e in events if e["type"] == "Observed" and e["body"]["kind"] == kind]


class Net(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.peer = Peer()
        self.addCleanup(self.peer.stop)
        self.path = f"/net/tcp/127.0.0.1/{self.peer.port}"
        self.rule = f"tcp://127.0.0.1:{self.peer.port}"

    def run_net(self, *words, rules=None, path=None):
        flags = [x for rule in (rules if rules is not None else [self.rule])
                 for x in ("--allow-net", rule)]
        done = shannon("run", "--data-dir", self.folder / "data", "--json", *flags,
                       guest("net.wasm"), "--", path or self.path, *words)
        return json.loads(done.stdout), done

    def events(self, result):
        done = shannon("events", "--data-dir", self.folder / "data", "--json",
                       result["task_id"], check=0)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_a_c_program_that_knows_nothing_of_it(self):
        result, done = self.run_net("PING", "SET a 1", "GET a", "@poll", "@again", "GET a", "BYE")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(result["result"].split("\n"),
                         ["+PONG", "+OK", "1", "poll 0 -", "1", "(end)"], done)
        self.assertEqual(self.peer.connections, 2)
        self.peer.stop()
        verified = shannon("verify", "--data-dir", self.folder / "data", "--json",
                           result["task_id"], check=0)
        self.assertTrue(json.loads(verified.stdout)["ok"])
        self.assertEqual(self.peer.connections, 2)

    def test_a_script(self):
        script = self.folder / "talk.py"
        script.write_text(SCRIPT)
        done = shannon("run", "--ephemeral", "--allow-net", self.rule, script, "--", self.path,
                       timeout=600)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stdout.decode().splitlines(),
                         ["b'+OK\\r\\n'", "b'yes\\r\\n'", "PermissionError", "['tcp']"])

    def refused(self, expected, **how):
        result, done = self.run_net("PING", **how)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("Permission denied", result["result"])
        body = observed(self.events(result), "net.open")[0]
        self.assertEqual(body["error"], "permission_denied")
        self.assertIn(expected, body["message"])
        self.assertEqual(self.peer.connections, 0)

    def test_without_a_rule_it_is_denied_and_says_what_would_help(self):
        self.refused(f"`--allow-net {self.rule}`", rules=[])
        self.refused(f"`--allow-net {self.rule}`", rules=["tcp://127.0.0.1:1"])

    def test_a_wildcard_is_no_rule_for_this_machine(self):
        for host in ("127.0.0.1", "127.1", "2130706433", "localhost", "::1", "::ffff:127.0.0.1"):
            with self.subTest(host=host):
                self.refused("writes the address out", rules=[f"tcp://*:{self.peer.port}"],
                             path=f"/net/tcp/{host}/{self.peer.port}")

    def explain(self, verb, host, port, *flags):
        policy = self.folder / "policy.toml"
        policy.write_text(f'[[rules]]\nagent = "*"\n{verb} = {{ network = [{{ scheme = "tcp", '
                          f'host = "{host}", port = {port} }}] }}\n')
        done = shannon("explain", "--json", "--policy", policy, "--data-dir",
                       self.folder / "data", *flags, guest("net.wasm"))
        return {r["capability"]: r for r in json.loads(done.stdout)["capabilities"]}

    def test_explain_shows_the_rule(self):
        rows = self.explain("allow", "db.example", 5432)
        self.assertEqual(rows["network tcp://db.example:5432"]["verdict"], "allow")
        rows = self.explain("allow", "db.example", 5432, "--allow-net", self.rule)
        self.assertEqual(rows[f"network {self.rule}"]["verdict"], "allow")
        rows = self.explain("ask", "db.example", 5432)
        self.assertEqual(rows["network tcp://db.example:5432"]["verdict"], "ask")
        rows = self.explain("deny", "db.example", 5432)
        self.assertEqual(rows["network tcp://db.example:5432"]["verdict"], "deny")

    def test_the_server_itself_is_never_reached(self):
        policy = self.folder / "policy.toml"
        server = Server(self.folder / "data")
        port = server.port
        server.stop()
        policy.write_text('[[rules]]\nagent = "*"\nallow = { network = [{ scheme = "tcp", host = '
                          f'"127.0.0.1", port = {port} }}] }}\n')
        server = Server(self.folder / "data", SHANNON_POLICY_FILE=str(policy),
                        SHANNON_SERVER_LISTEN=f"127.0.0.1:{port}")
        self.addCleanup(server.kill)
        server.add_module(guest("net.wasm"), "net")
        task = server.submit({"agent": "net", "query": "q",
                              "args": [f"/net/tcp/127.0.0.1/{port}", "PING"]})
        events = server.wait_for_end(task)
        body = observed(events, "net.open")[0]
        self.assertEqual(body["error"], "permission_denied", body)

    def test_a_killed_server_leaves_a_reset(self):
        policy = self.folder / "policy.toml"
        policy.write_text('[[rules]]\nagent = "*"\nallow = { network = [{ scheme = "tcp", host = '
                          f'"127.0.0.1", port = {self.peer.port} }}] }}\n')
        server = Server(self.folder / "data", SHANNON_POLICY_FILE=str(policy))
        server.add_module(guest("net.wasm"), "net")
        task = server.submit({"agent": "net", "query": "q",
                              "args": [self.path, "PING", "HANG", "@again", "PING"]})
        before = server.wait_until(task, lambda ev: len(observed(ev, "net.write")) == 2)
        while "HANG" not in self.peer.lines:
            time.sleep(0.01)
        server.kill()
        server = Server(self.folder / "data", SHANNON_POLICY_FILE=str(policy))
        self.addCleanup(server.kill)
        events = server.wait_for_end(task)
        self.assertEqual(events[:len(before)], before)
        self.assertEqual(events[-1]["type"], "WorkflowCompleted", events[-1])
        self.assertEqual(events[-1]["body"]["result"].split("\n"),
                         ["+PONG", "read: Connection reset by peer", "+PONG"])
        self.assertEqual([line for line in self.peer.lines], ["PING", "HANG", "PING"])
        self.assertTrue(server.verify(task)["ok"])


if __name__ == "__main__":
    os.environ.pop("SHANNON_DATA_DIR", None)
    unittest.main(verbosity=2)
