#!/usr/bin/env python3
"""Tasks that start others, begin by the clock, or run out of their budget: through the API and the
commands, across kills of the server."""

import json
import os
import re
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
allow = { tools = ["workflow", "python", "calculator", "kv"] }
"""


class Family(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="shannon-family-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        with open(os.path.join(self.folder, "policy.toml"), "w", encoding="utf-8") as f:
            f.write(POLICY)
        self.env = {"SHANNON_POLICY_ON_BUDGET": "ask", "SHANNON_ENGINE_CANCEL_GRACE": "20s"}
        self.server = Server(self.folder, self.env)
        self.addCleanup(lambda: self.server.stop())
        for name in ("family", "signal", "spin", "hello"):
            with open(os.path.join(BUILD, "guests", name + ".wasm"), "rb") as f:
                status, data = self.server.json(
                    "POST", "/api/v1/modules?name=" + name, f.read(),
                    {"Content-Type": "application/wasm"})
            self.assertEqual(status, 200, data)

    def command(self, *args, code=0):
        done = subprocess.run([BIN, *args, "--data-dir", self.folder], capture_output=True,
                              text=True, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, code, done)
        return done.stdout

    def submit(self, agent, **more):
        status, task = self.server.json(
            "POST", "/api/v1/tasks", {"query": "q", "agent": agent, **more})
        self.assertEqual(status, 200, task)
        return task["task_id"]

    def kill_and_restart(self):
        self.server.stop(signal.SIGKILL)
        self.server = Server(self.folder, self.env)

    def wait(self, what, check):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            value = check()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(what)

    def children(self, task, n):
        def look():
            status, page = self.server.json("GET", "/api/v1/tasks?parent_id=" + task)
            self.assertEqual(status, 200, page)
            return [t["task_id"] for t in page["tasks"]] if page["total_count"] >= n else None
        found = self.wait("%d children" % n, look)
        self.assertEqual(len(found), n)
        return found

    def send(self, task, payload):
        status, sent = self.server.json("POST", "/api/v1/tasks/%s/signal" % task,
                                        {"name": "go", "payload": payload})
        self.assertEqual(status, 202, sent)

    def verified(self, task):
        status, answer = self.server.json("POST", "/api/v1/tasks/%s/verify" % task)
        self.assertEqual((status, answer.get("ok")), (200, True), answer)

    def test_children_survive_kills_and_answer_once(self):
        task = self.submit("family", input={"children": 3})
        children = self.children(task, 3)
        self.kill_and_restart()
        self.send(children[0], 0)
        self.wait("the first child", lambda: self.server.json(
            "GET", "/api/v1/tasks/" + children[0])[1]["status"] == "TASK_STATUS_COMPLETED")
        self.kill_and_restart()
        for child in children[1:]:
            self.send(child, 1)
        done = self.server.wait_task(task)
        self.assertEqual(done["status"], "TASK_STATUS_COMPLETED", done)
        self.assertEqual(done["result"].count('"status":"completed"'), 3, done["result"])
        self.assertEqual(done["children"], 3)
        self.assertEqual(len(self.children(task, 3)), 3)
        tree = self.command("tasks", "--tree", task).splitlines()
        self.assertEqual([line.startswith("  ") for line in tree], [False, True, True, True])
        for each in (task, *children):
            self.verified(each)

    def test_a_canceled_parent_cleans_up_and_its_children_are_canceled(self):
        task = self.submit("family", input={"children": 2})
        children = self.children(task, 2)
        self.command("cancel", task)
        done = self.server.wait_task(task)
        self.assertEqual(done["status"], "TASK_STATUS_CANCELLED", done)
        self.assertIn("canceled, cleaned up: {\"value\":2}", done["result"])
        for child in children:
            self.assertEqual(self.server.wait_task(child)["status"], "TASK_STATUS_CANCELLED")
        self.verified(task)

    def asleep(self):
        text = self.server.request("GET", "/metrics")[1].decode()
        return tuple(int(re.search(r"^shannon_%s (\d+)" % name, text, re.M).group(1))
                     for name in ("passivated", "in_memory"))

    def restart_sleepy(self):
        self.env["SHANNON_ENGINE_PASSIVATE_AFTER"] = "200ms"
        self.kill_and_restart()

    def test_a_sleeping_family_is_there_for_everybody(self):
        self.restart_sleepy()
        task = self.submit("family", input={"children": 3})
        children = self.children(task, 3)
        self.wait("their sleep", lambda: self.asleep() == (4, 0))
        tree = self.command("tasks", "--tree", task).splitlines()
        self.assertEqual([line.startswith("  ") for line in tree], [False, True, True, True])
        for each in (task, *children):
            self.assertEqual(self.server.json("GET", "/api/v1/tasks/" + each)[1]["status"],
                             "TASK_STATUS_RUNNING")
        self.command("pause", task)
        self.command("pause", children[2])
        self.send(children[0], 0)
        self.send(children[2], 2)
        self.wait("the first child", lambda: self.server.json(
            "GET", "/api/v1/tasks/" + children[0])[1]["status"] == "TASK_STATUS_COMPLETED")
        self.kill_and_restart()
        self.assertEqual(self.server.json("GET", "/api/v1/tasks/" + task)[1]["status"],
                         "TASK_STATUS_PAUSED")
        self.command("resume", children[2])
        self.send(children[1], 1)
        self.command("resume", task)
        done = self.server.wait_task(task)
        self.assertEqual(done["status"], "TASK_STATUS_COMPLETED", done)
        self.assertEqual(done["result"].count('"status":"completed"'), 3, done["result"])
        for each in (task, *children):
            self.verified(each)
        self.wait("their end", lambda: self.asleep() == (0, 0))

    def test_two_hundred_families_that_wait_hold_no_memory(self):
        self.restart_sleepy()
        tasks = [self.submit("family", input={"children": 2}) for _ in range(200)]
        self.wait("their sleep", lambda: self.asleep() == (600, 0))
        self.kill_and_restart()
        self.assertEqual(self.asleep(), (600, 0))
        for child in self.children(tasks[100], 2):
            self.send(child, 1)
        self.assertEqual(self.server.wait_task(tasks[100])["status"], "TASK_STATUS_COMPLETED")
        self.wait("the others' sleep", lambda: self.asleep() == (597, 0))

    def test_a_silent_child_is_canceled_while_all_of_them_sleep(self):
        self.restart_sleepy()
        with open(os.path.join(BUILD, "guests", "call.wasm"), "rb") as f:
            status, data = self.server.json("POST", "/api/v1/modules?name=call", f.read(),
                                            {"Content-Type": "application/wasm"})
        self.assertEqual(status, 200, data)
        task = self.submit("call", input={"calls": [{"op": "workflow", "args": {
            "agent": "signal", "query": "q", "heartbeat_timeout_ms": 3000}}]})
        self.wait("their sleep", lambda: self.asleep() == (2, 0))
        self.kill_and_restart()
        done = self.server.wait_task(task)
        self.assertIn("no sign of life for 3000 ms", done["result"])
        self.verified(task)

    def test_a_task_out_of_fuel_rests_and_goes_on_under_the_sum(self):
        limits = {"limits": {"fuel": 2000000000}}
        task = self.submit("spin", capabilities=limits)
        rests = self.server.wait_task(task)
        self.assertEqual((rests["status"], rests["budget"]["what"]),
                         ("TASK_STATUS_PAUSED", "fuel"), rests)
        self.kill_and_restart()
        self.assertEqual(self.server.wait_task(task)["status"], "TASK_STATUS_PAUSED")
        self.command("raise", "--fuel", "1000000000", task)
        self.wait("the next rest", lambda: sum(
            e["type"] == "BudgetExceeded" for e in self.server.json(
                "GET", "/api/v1/tasks/%s/journal" % task)[1]["events"]) == 2)
        self.command("raise", task, code=125)  # nothing said
        self.command("cancel", task)

    def test_schedules_by_command_and_across_a_kill(self):
        self.command("schedules", "add", "--agent", "hello", "--timezone", "Europe/Berlin",
                     "--name", "yearly", "0 0 1 1 *", "greet")
        listed = json.loads(self.command("schedules", "--json"))["schedules"]
        self.assertEqual([s["name"] for s in listed], ["yearly"])
        self.assertRegex(listed[0]["next_run_at"], r"^\d{4}-12-31T23:00:00")
        name = listed[0]["schedule_id"]
        self.command("schedules", "run", name)

        def one():
            runs = self.server.json("GET", "/api/v1/schedules/%s/runs" % name)[1]["runs"]
            return runs if runs and runs[0]["status"] == "TASK_STATUS_COMPLETED" else None
        self.assertEqual(len(self.wait("a run", one)), 1)
        self.kill_and_restart()
        status, now = self.server.json("GET", "/api/v1/schedules/" + name)
        self.assertEqual((status, now["total_runs"], now["status"]), (200, 1, "ACTIVE"), now)
        status, now = self.server.json("PUT", "/api/v1/schedules/" + name,
                                       {"cron_expression": "@daily", "timezone": "UTC"})
        self.assertEqual((status, now["task_query"], now["total_runs"]), (200, "greet", 1), now)
        self.command("schedules", "pause", name)
        self.assertIn("PAUSED", self.command("schedules"))
        self.command("schedules", "resume", name)
        self.assertEqual(len(self.command("schedules", "runs", name).splitlines()), 1)
        self.command("schedules", "remove", name)
        self.assertEqual(self.command("schedules"), "")
        self.command("schedules", "add", "61 * * * *", "never", code=125)
        self.assertEqual(self.server.json("POST", "/api/v1/schedules", {
            "name": "x", "cron_expression": "* * * * *", "task_query": "q",
            "timezone": "Moon/Base"})[0], 400)

    def test_a_deadline_counts_while_the_server_is_away(self):
        task = self.submit("signal", capabilities={"limits": {"deadline": "2s"}})
        self.server.stop(signal.SIGKILL)
        time.sleep(2)
        self.server = Server(self.folder, self.env)
        self.assertEqual(self.server.wait_task(task)["status"], "TASK_STATUS_TIMEOUT")


if __name__ == "__main__":
    unittest.main(verbosity=2)
