#!/usr/bin/env python3
"""The state of tasks and sessions from outside: queries, updates and memory, through the API and the
commands, across a kill of the server."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_api import BIN, BUILD, LIMIT, Server  # noqa: E402


class State(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="shannon-state-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.server = Server(self.folder)
        self.addCleanup(lambda: self.server.stop())
        with open(os.path.join(BUILD, "guests", "counter.wasm"), "rb") as f:
            status, data = self.server.json("POST", "/api/v1/modules?name=counter", f.read(),
                                            {"Content-Type": "application/wasm"})
        self.assertEqual(status, 200, data)
        status, task = self.server.json("POST", "/api/v1/tasks", {
            "query": "q", "agent": "counter", "session_id": "s-1"})
        self.assertEqual(status, 200, task)
        self.task = task["task_id"]

    def command(self, *args):
        return subprocess.run([BIN, *args, "--data-dir", self.folder, "--json"],
                              capture_output=True, text=True, timeout=LIMIT, check=False)

    def update(self, payload, **more):
        return self.server.json("POST", f"/api/v1/tasks/{self.task}/updates/add",
                                dict(more, payload=payload))

    def kill_and_restart(self):
        self.server.stop(signal.SIGKILL)
        self.server = Server(self.folder)

    def test_an_update_is_answered_and_a_query_shows_what_it_did(self):
        status, answer = self.update(5, update_id="u1")
        self.assertEqual((status, answer["status"], answer["result"]), (200, "completed", 5), answer)
        self.kill_and_restart()
        status, again = self.update(5, update_id="u1")  # the same one: it is not added twice
        self.assertEqual((status, again["result"]), (200, 5), again)
        status, answer = self.update("x")
        self.assertEqual((status, answer["status"]), (200, "failed"), answer)
        self.assertEqual(answer["error"], {"message": "expected a number"})
        status, other = self.update(6, update_id="u1")
        self.assertEqual((status, other["error"]["code"]), (409, "already_exists"))
        status, answer = self.update(2)
        self.assertEqual(answer["result"], 7)
        status, query = self.server.json("GET", f"/api/v1/tasks/{self.task}/queries/sum")
        self.assertEqual((status, query["data"]), (200, 7), query)
        status, got = self.server.json("GET", f"/api/v1/tasks/{self.task}/updates/u1")
        self.assertEqual((status, got["status"], got["result"]), (200, "completed", 5))
        status, kept = self.server.json("GET", "/api/v1/sessions/s-1/kv?prefix=counter/")
        self.assertEqual((status, kept["items"]), (200, [{"key": "counter/total", "value": 7}]))
        status, one = self.server.json("GET", "/api/v1/sessions/s-1/kv/counter%2Ftotal")
        self.assertEqual((status, one["value"]), (200, 7), one)

    def test_the_commands_say_the_same(self):
        done = self.command("update", self.task, "add", "4")
        self.assertEqual((done.returncode, json.loads(done.stdout)["result"]), (0, 4), done)
        done = self.command("update", "--payload", '"x"', "--id", "bad", self.task, "add")
        self.assertEqual(done.returncode, 1, done)
        done = self.command("update", "--get", self.task, "bad")
        self.assertEqual(json.loads(done.stdout)["status"], "failed")
        done = self.command("update", "--wait", "0s", self.task, "nobody-waits")
        self.assertEqual((done.returncode, json.loads(done.stdout)["status"]), (124, "accepted"))
        waits = json.loads(done.stdout)["update_id"]
        self.assertEqual(json.loads(self.command("query", self.task, "sum").stdout)["data"], 4)
        self.assertEqual(self.command("signal", self.task, "stop").returncode, 0)
        self.assertEqual(self.server.wait_task(self.task)["result"], "4")
        self.server.stop()  # nothing runs: the commands read the data directory themselves
        listed = json.loads(self.command("query", self.task).stdout)["queries"]
        self.assertEqual([(q["name"], q["data"]) for q in listed], [("sum", 4)])
        done = self.command("update", "--get", self.task, waits)
        self.assertEqual(json.loads(done.stdout)["status"], "unanswered", done)
        self.assertEqual(self.command("update", self.task, "add", "1").returncode, 125)
        kept = json.loads(self.command("sessions", "kv", "s-1").stdout)["items"]
        self.assertEqual(kept, [{"key": "counter/total", "value": 4}])
        done = self.command("sessions", "kv", "s-1", "counter/total")
        self.assertEqual(json.loads(done.stdout)["value"], 4)
        self.assertEqual(json.loads(self.command("sessions", "list").stdout)["total_count"], 1)
        verified = json.loads(self.command("verify", self.task).stdout)
        self.assertTrue(verified["ok"], verified)
        self.server = Server(self.folder)

    def test_what_is_not_there_is_404_and_what_makes_no_sense_400(self):
        base = f"/api/v1/tasks/{self.task}"
        for path, want in ((base + "/queries/none", 404), ("/api/v1/tasks/wf-x/queries", 404),
                           (base + "/updates/none", 404), (base + "/queries/%zz", 400),
                           (base + "/updates/none?wait_ms=x", 400), (base + "/queries/", 404),
                           ("/api/v1/sessions/s-1/kv/none", 404),
                           ("/api/v1/sessions/s-1/kv?limit=0", 400)):
            status, answer = self.server.json("GET", path)
            self.assertEqual(status, want, (path, answer))
        for body, want in (({"wait_ms": -1}, 400), ({"pay": 1}, 400), ({"update_id": "a b"}, 400)):
            status, answer = self.server.json("POST", base + "/updates/add", body)
            self.assertEqual(status, want, (body, answer))
        status, answer = self.server.json("POST", "/api/v1/tasks/wf-x/updates/add", {})
        self.assertEqual(status, 404, answer)

    def test_a_server_that_stops_answers_who_waits(self):
        status, answer = self.update(1, update_id="first")
        self.assertEqual(status, 200, answer)
        wait = subprocess.Popen(
            [BIN, "update", "--wait", "1m", "--id", "w", "--json", self.task, "nobody",
             "--data-dir", self.folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while self.server.json("GET", f"/api/v1/tasks/{self.task}/updates/w")[0] == 404:
            pass
        self.server.stop()
        out, err = wait.communicate(timeout=LIMIT)
        self.assertEqual((wait.returncode, json.loads(out)["status"]), (124, "accepted"), err)
        self.server = Server(self.folder)


class StandardInput(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="shannon-stdin-")
        self.addCleanup(shutil.rmtree, folder, True)
        self.server = Server(folder)
        self.addCleanup(lambda: self.server.stop())
        with open(os.path.join(BUILD, "guests", "typed.wasm"), "rb") as f:
            status, data = self.server.json("POST", "/api/v1/modules?name=typed", f.read(),
                                            {"Content-Type": "application/wasm"})
        self.assertEqual(status, 200, data)

    def submit(self, **more):
        status, task = self.server.json("POST", "/api/v1/tasks", dict(more, query="q", agent="typed"))
        self.assertEqual(status, 200, task)
        return task["task_id"]

    def send(self, task, **body):
        return self.server.json("POST", f"/api/v1/tasks/{task}/stdin", body)

    def test_a_chunk_is_taken_whole_or_refused(self):
        task, largest = self.submit(stdin_live=True), (1 << 20) - len('{"data": ""}')
        response, reply = self.server.request(
            "POST", f"/api/v1/tasks/{task}/stdin", None,
            {"Content-Type": "application/json", "Content-Length": str((1 << 20) + 1)})
        self.assertEqual(response.status, 413, reply)
        status, reply = self.send(task, base64="!!!!")
        self.assertEqual((status, reply["error"]["code"]), (400, "invalid_argument"), reply)
        status, reply = self.send(task, data="x" * largest)
        self.assertEqual((status, reply["bytes"]), (200, largest), reply)
        status, reply = self.send(task, eof=True)
        self.assertIn(status, (200, 404), reply)  # it had no model to ask, and may have ended
        self.assertIn(self.send(task, data="more")[0], (404, 409))

    def test_a_task_that_takes_none_says_so(self):
        self.assertIn(self.send(self.submit(), data="x")[0], (404, 409))
        self.assertEqual(self.send("wf-00000000000000000000000000", data="x")[0], 404)


if __name__ == "__main__":
    unittest.main(verbosity=2)
