#!/usr/bin/env python3
"""Tasks that wait for a person: questions and signals, through the API and the commands, across a
kill of the server."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_api import BIN, BUILD, LIMIT, Server  # noqa: E402

POLICY = """
[[rules]]
agent = "*"
ask = { tools = ["calculator"] }
"""


class People(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="shannon-people-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        with open(os.path.join(self.folder, "policy.toml"), "w", encoding="utf-8") as f:
            f.write(POLICY)
        self.server = Server(self.folder)
        self.addCleanup(lambda: self.server.stop())
        for name in ("activity", "question", "signal"):
            with open(os.path.join(BUILD, "guests", name + ".wasm"), "rb") as f:
                status, data = self.server.json(
                    "POST", "/api/v1/modules?name=" + name, f.read(),
                    {"Content-Type": "application/wasm"})
            self.assertEqual(status, 200, data)

    def command(self, *args):
        return subprocess.run([BIN, *args, "--data-dir", self.folder, "--json"],
                              capture_output=True, text=True, timeout=LIMIT, check=False)

    def submit(self, agent):
        status, task = self.server.json("POST", "/api/v1/tasks", {"query": "q", "agent": agent})
        self.assertEqual(status, 200, task)
        return task["task_id"]

    def question(self, task):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            status, page = self.server.json("GET", "/api/v1/approvals?status=pending")
            self.assertEqual(status, 200, page)
            for item in page["approvals"]:
                if item["workflow_id"] == task:
                    return item
            time.sleep(0.02)
        raise AssertionError("nothing was asked")

    def kill_and_restart(self):
        self.server.stop(signal.SIGKILL)
        self.server = Server(self.folder)

    def test_a_question_is_answered_through_the_api(self):
        task = self.submit("activity")
        item = self.question(task)
        self.assertEqual(item["tool"], "calculator")
        self.assertEqual(item["args"], {"expression": "6*7"})
        status, task_now = self.server.json("GET", "/api/v1/tasks/" + task)
        self.assertEqual(task_now["status"], "TASK_STATUS_RUNNING")
        answer = {"workflow_id": task, "approval_id": item["approval_id"], "approved": True}
        status, decided = self.server.json("POST", "/api/v1/approvals/decision", answer)
        self.assertEqual((status, decided["status"]), (200, "approved"), decided)
        self.assertEqual(self.server.wait_task(task)["output"], {"ok": {"value": 42}})
        status, again = self.server.json("POST", "/api/v1/approvals/decision", answer)
        self.assertEqual(status, 409, again)

    def test_a_question_survives_a_kill_and_is_answered_by_command(self):
        task = self.submit("activity")
        item = self.question(task)
        self.kill_and_restart()
        self.assertEqual(self.question(task)["approval_id"], item["approval_id"])
        listed = json.loads(self.command("approvals").stdout)
        self.assertEqual([a["workflow_id"] for a in listed["approvals"]], [task])
        done = self.command("deny", task, item["approval_id"], "--reason", "not today")
        self.assertEqual(done.returncode, 0, done)
        output = self.server.wait_task(task)["output"]
        self.assertEqual(output["error"]["code"], "permission_denied")
        verified = json.loads(self.command("verify", task).stdout)
        self.assertTrue(verified["ok"], verified)

    def test_an_agent_asks_a_person_itself(self):
        task = self.submit("question")
        item = self.question(task)
        self.assertEqual(item["args"], {"message": "Send it?"})
        self.kill_and_restart()
        self.assertIn("Send it?", self.command("approvals").stdout)
        done = self.command("deny", task, item["approval_id"], "--reason", "not today")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.server.wait_task(task)["output"], {
            "ok": {"approved": False, "by": "user", "reason": "not today"}})
        verified = json.loads(self.command("verify", task).stdout)
        self.assertTrue(verified["ok"], verified)

    def test_always_is_not_asked_again(self):
        task = self.submit("activity")
        item = self.question(task)
        done = self.command("approve", "--scope", "always", task, item["approval_id"])
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.server.wait_task(task)["output"], {"ok": {"value": 42}})
        self.kill_and_restart()
        again = self.submit("activity")
        self.assertEqual(self.server.wait_task(again)["output"], {"ok": {"value": 42}})

    def test_bad_answers_are_refused(self):
        task = self.submit("signal")
        for body, want in (
            ({"workflow_id": task, "approval_id": "ap-1", "approved": True}, 409),
            ({"workflow_id": task, "approval_id": "ap-1", "approved": "yes"}, 400),
            ({"workflow_id": task, "approval_id": "", "approved": True}, 400),
            ({"workflow_id": "wf-nobody", "approval_id": "ap-1", "approved": True}, 404),
            ({"workflow_id": task, "approval_id": "ap-1", "approved": True, "scope": "ever"}, 400),
        ):
            status, answer = self.server.json("POST", "/api/v1/approvals/decision", body)
            self.assertEqual(status, want, (body, answer))
        self.assertEqual(self.server.json("GET", "/api/v1/approvals?status=old")[0], 400)
        self.assertEqual(self.command("approve", task, "ap-1").returncode, 125)

    def test_who_follows_a_server_that_is_killed_is_told_how_to_go_on(self):
        task = self.submit("signal")
        follow = subprocess.Popen(
            [BIN, "events", "--follow", "--json", task, "--data-dir", self.folder],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(follow.kill)
        last = 0
        while last < 3:  # the third event is the wait, after which nothing comes
            last = json.loads(follow.stdout.readline())["seq"]
        self.server.stop(signal.SIGKILL)
        rest, why = follow.communicate(timeout=LIMIT)
        self.assertEqual((follow.returncode, rest), (125, ""), why)
        self.assertIn("--follow --after %d %s" % (last, task), why)
        self.server = Server(self.folder)

    def test_a_signal_wakes_its_task_after_a_kill(self):
        first, second = self.submit("signal"), self.submit("signal")
        self.kill_and_restart()
        status, sent = self.server.json("POST", "/api/v1/tasks/%s/signal" % first,
                                        {"name": "go", "payload": {"n": 1}})
        self.assertEqual(status, 202, sent)
        self.assertEqual(self.server.wait_task(first)["output"],
                         {"ok": {"name": "go", "payload": {"n": 1}}})
        done = self.command("signal", second, "go", "[2]")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.server.wait_task(second)["output"]["ok"]["payload"], [2])
        status, late = self.server.json("POST", "/api/v1/tasks/%s/signal" % first, {"name": "go"})
        self.assertEqual(status, 409, late)
        status, bad = self.server.json("POST", "/api/v1/tasks/%s/signal" % first, {"title": "go"})
        self.assertEqual(status, 400, bad)
        self.assertEqual(self.command("signal", second, "go", "{").returncode, 125)


if __name__ == "__main__":
    unittest.main(verbosity=2)
