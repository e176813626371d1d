"""The wall clock is set a day forward and a day back under the running program, while timers, sleeps of
an agent's own, retries, deadlines, times of day and schedules are pending, in memory and out of it.

What is relative takes as long as was asked for. Times of day, deadlines and schedules follow the
clock: within 15 s forward, and a clock that is set back repeats nothing. Then the program is killed,
and started with the clock as it was at first."""

import datetime
import mmap
import pathlib
import re
import struct
import subprocess
import time
import unittest
import urllib.request

import harness
from harness import FINAL, ScriptedModel, Server

DAY_S = 86400
ASLEEP = "SHANNON_ENGINE_PASSIVATE_AFTER"
MODEL = {"rules": [{"match": "again", "status": 503, "headers": {"Retry-After": "3"}, "times": 1}],
         "default": {}}
AGAIN = {"op": "llm", "args": {"messages": [{"role": "user", "content": "again"}]}}


class SetClock(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.shim = self.folder / "set_clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.shim,
                        harness.SOURCE / "tests/lib/preload/set_clock.c"], check=True, timeout=60)
        clock = self.folder / "clock"
        clock.write_bytes(bytes(8))
        with open(clock, "r+b") as file:
            self.offset = mmap.mmap(file.fileno(), 8)
        self.addCleanup(self.offset.close)
        self.shown_s = 0
        self.model = ScriptedModel(folder.name, MODEL)
        self.addCleanup(self.model.stop)
        self.server = None
        self.addCleanup(lambda: self.server and self.server.kill())
        self.begun = {}

    def start(self):
        self.server = Server(self.folder / "data", **self.model.environment(), **{
            ASLEEP: "200ms", "LD_PRELOAD": self.shim, "SHANNON_TEST_CLOCK": self.folder / "clock"})
        return self.server

    def set_clock(self, days):
        """So many days off; one write, as a clock is set."""
        self.shown_s = days * DAY_S
        self.offset[:8] = struct.pack("=q", self.shown_s * 1000000)

    def now(self):
        return time.time() + self.shown_s

    def text(self, seconds):
        when = datetime.datetime.fromtimestamp(self.now() + seconds, datetime.timezone.utc)
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")

    def submit(self, name, *calls, agent="call", **more):
        task = self.server.submit({"query": "q", "agent": agent, **(
            {"input": {"calls": calls}} if calls else {}), **more}, name)
        self.begun[task] = time.monotonic()
        return task

    def sleep(self, name, seconds, **more):
        return self.submit(name, {"op": "sleep", "args": {"ms": int(seconds * 1000)}}, **more)

    def relative(self, round_name):
        """Those that no clock may move: [(task, at least so many seconds)]."""
        return [(self.sleep(f"asleep-{round_name}", 4), 4),
                (self.submit(f"own-{round_name}", agent="timers"), 1.2),
                (self.submit(f"retry-{round_name}", AGAIN), 0)]

    def check_relative(self, tasks):
        for task, least_s in tasks:
            events = self.server.wait_for_end(task, 60)
            took = time.monotonic() - self.begun[task]
            self.assertEqual(events[-1]["type"], "WorkflowCompleted", events[-1])
            self.assertGreaterEqual(took, least_s, f"{task} ended early")

    def wait_for_passivation(self, n):
        key = (self.folder / "data/api-key").read_text().strip()
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}/metrics",
                                         headers={"X-API-Key": key})
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with urllib.request.urlopen(request, timeout=30) as reply:
                text = reply.read().decode()
            if int(re.search(r"^shannon_passivated (\d+)", text, re.M).group(1)) >= n:
                return
            time.sleep(0.05)
        raise AssertionError(f"{n} tasks did not leave memory:\n{text}")

    def is_open(self, task):
        return self.server.journal(task)[-1]["type"] not in FINAL

    def ends(self, task, kind, seconds=60):
        events = self.server.wait_for_end(task, seconds)
        self.assertEqual(events[-1]["type"], kind, events[-1])
        return events

    def runs(self, schedule):
        status, page, _ = self.server.request("GET", f"/api/v1/schedules/{schedule}/runs")
        self.assertEqual(status, 200, page)
        return page["runs"]

    def test_a_set_clock_moves_only_times_of_day(self):
        server = self.start()
        for name in ("call", "timers"):
            server.add_module(harness.guest(name + ".wasm"), name)
        status, made, _ = server.request("POST", "/api/v1/schedules", {
            "name": "hourly", "cron_expression": "0 * * * *", "task_query": "q", "agent": "call",
            "input": {"calls": []}, "catch_up": "one"})
        self.assertEqual(status, 200, made)
        schedule = made["schedule_id"]
        hour = {"limits": {"deadline": "1h"}}
        long = self.sleep("long", 3 * 3600)
        deadline = self.sleep("deadline", 3 * 3600, capabilities=hour)
        until = self.submit("until", {"op": "sleep", "args": {"until": self.text(3600)}})

        tasks = self.relative("back")
        self.wait_for_passivation(4)
        self.set_clock(-1)
        self.check_relative(tasks)
        for task in (long, deadline, until):
            self.assertTrue(self.is_open(task), task)
        before = len(self.runs(schedule))
        self.assertLessEqual(before, 1)  # an hour may have begun

        tasks = self.relative("forward")
        self.wait_for_passivation(4)
        self.set_clock(+1)
        self.check_relative(tasks)
        ended = self.ends(deadline, "WorkflowFailed")
        self.assertEqual(ended[-1]["body"]["code"], "deadline_exceeded", ended[-1])
        self.ends(until, "WorkflowCompleted")
        end = time.monotonic() + 60
        while len(self.runs(schedule)) == before and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(len(self.runs(schedule)), before + 1, "one run for all that was missed")
        self.assertTrue(self.is_open(long), "a sleep of three hours ended with the jump")

        tasks = self.relative("kill")
        server.kill()
        self.set_clock(0)
        server = self.start()
        self.check_relative(tasks)
        self.assertTrue(self.is_open(long))
        self.assertEqual(len(self.runs(schedule)), before + 1, "a clock set back repeats nothing")
        for task in self.begun:
            if task != long:
                self.assertTrue(server.verify(task)["ok"], task)
                events = server.journal(task)
                self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
        keys = [r["idempotency_key"] for r in self.model.requests() if r["status"] == 200]
        cut_off = [task for task, _ in tasks]  # by the kill: there an answer may have been lost
        keys = [key for key in keys if key.split(":")[0] not in cut_off]
        self.assertEqual(len(keys), len(set(keys)), "a key was asked again after its answer")


if __name__ == "__main__":
    unittest.main(verbosity=2)
