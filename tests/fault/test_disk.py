#!/usr/bin/env python3
"""The real program on a disk that breaks or fills up, with SurrealDB and RocksDB in it: it stops with
a message, never by a signal; and on a good disk all goes on. What a client was told is still there,
every task that was accepted ends, journals verify, and no answer that was durable is asked for again.

SHANNON_LONG=1 breaks the disk at many more places. A failure names its place."""

import os
import pathlib
import shutil
import tempfile
import time
import unittest

from disk import MIB, NAME, SYNC, WRITE, Disk, available
from harness import Died, Refused, ScriptedModel, Server, guest

LONG = bool(os.environ.get("SHANNON_LONG"))
AT = range(1, 41) if LONG else (1, 2, 7)
OWN_ERROR = 125
HAMMER = 3000  # submissions at most; each is some KiB


@unittest.skipUnless(available(), "the shim of the disk is not built in this preset")
class DiskFaults(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shannon-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.model = ScriptedModel(self.folder, {"default": {"delay_ms": 100}})
        self.addCleanup(self.model.stop)
        self.place = ""
        self.told = {}      # task -> the events that a client has read
        self.accepted = {}  # idempotency key -> task

    def begin(self, name):
        self.data = self.folder / name
        self.disk = Disk(self.folder, self.data)
        self.told, self.accepted = {}, {}
        server = self.start()
        for agent in ("seq", "par"):
            server.add_module(guest(agent + ".wasm"), agent)
        return server

    def start(self):
        server = Server(self.data, **self.model.environment(), **self.disk.environment)
        self.addCleanup(server.kill)
        return server

    def body(self, i):
        return {"query": f"q{i}", "agent": "seq" if i % 2 else "par",
                "input": {"query": f"q{i}", "sorted": True, "filler": "x" * 1000}}

    def submit(self, server, i):
        """gives the answer's status; a task that was accepted is one that was told."""
        status, reply, _ = server.request("POST", "/api/v1/tasks", self.body(i),
                                          {"Idempotency-Key": f"k{i}"}, timeout=300)
        if status == 200:
            self.accepted[f"k{i}"] = reply["task_id"]
        return status

    def look(self, server):
        for task in list(self.accepted.values())[-4:]:
            self.told[task] = server.journal(task)

    def look_while_it_breaks(self, server):
        """What may be lost is not told: the server may refuse a read from the break to its end."""
        try:
            self.look(server)
        except Refused as refused:
            self.assertGreater(self.disk.broken, 0, f"{self.place}: {refused}")
            self.assertEqual((refused.status, refused.code), (500, "io_error"), self.place)

    def hammer(self, server, first):
        """Submit and read until the server ends."""
        try:
            for i in range(first, first + HAMMER):
                self.submit(server, i)
                if i % 5 == 0:
                    self.look_while_it_breaks(server)
        except Died:
            return
        self.fail(f"{self.place}: the server did not notice\n{server.output.all()}")

    def check_told(self, server):
        for task, before in self.told.items():
            now = {e["seq"]: e for e in server.journal(task)}
            for event in before:
                self.assertEqual(now.get(event["seq"]), event, f"{self.place}: {task}")

    def check_keys(self, server, task):
        sent = [r for r in self.model.requests() if r["idempotency_key"].startswith(task + ":")]
        for event in server.journal(task):
            if event["type"] == "ActivityCompleted" and event["body"].get("op") == "llm":
                key = f"{task}:{event['body']['ordinal']}"
                late = [r for r in sent if r["idempotency_key"] == key and
                        r["time"] * 1e6 > event["time_us"] + 50000]
                self.assertEqual(late, [], f"{self.place}: {key} was asked for again")

    def check_all(self, server):
        """The disk is good: everything ends as if nothing had happened."""
        self.check_told(server)
        for key, task in list(self.accepted.items()):
            self.submit(server, int(key[1:]))
            self.assertEqual(self.accepted[key], task, f"{self.place}: {key} made another task")
        for task in self.accepted.values():
            end = server.wait_for_end(task)[-1]
            self.assertEqual(end["type"], "WorkflowCompleted", f"{self.place}: {end}")
            self.check_keys(server, task)
            verified = server.verify(task)
            self.assertTrue(verified["ok"], f"{self.place}: {verified}")
        self.check_told(server)
        self.assertEqual(server.stop(), 0)

    def check_stopped(self, server, words):
        self.assertEqual(server.wait(), OWN_ERROR, f"{self.place}\n{server.output.all()}")
        self.assertRegex(server.output.all(), f"shannon: .*{words}", self.place)

    def test_a_disk_that_breaks_stops_the_server_and_loses_nothing(self):
        for kinds, name in ((WRITE, "write"), (SYNC, "sync")):
            for at in AT:
                with self.subTest(kinds=name, at=at):
                    self.place = f"EIO at {name} {at}"
                    server = self.begin(f"{name}{at}")
                    for i in range(4):
                        self.assertEqual(self.submit(server, i), 200)
                    self.disk.break_next(kinds, at)
                    self.hammer(server, 4)
                    self.check_stopped(server, "Input/output error")
                    self.disk.mend()
                    self.check_all(self.start())

    def test_a_write_that_fails_once_is_not_trusted_again(self):
        self.place = "EIO at one sync"
        server = self.begin("once")
        self.assertEqual(self.submit(server, 0), 200)
        self.disk.break_next(SYNC, 2, 1)
        self.hammer(server, 1)
        self.assertEqual(self.disk.broken, 1)
        self.check_stopped(server, "Input/output error")
        self.check_all(self.start())

    def test_a_start_on_a_broken_disk_says_so(self):
        self.place = "a start"
        server = self.begin("start")
        self.assertEqual(self.submit(server, 0), 200)
        server.kill()
        for kinds in (WRITE, SYNC, NAME):
            for at in AT:
                with self.subTest(kinds=kinds, at=at):
                    self.disk.break_next(kinds, at)
                    try:
                        server = self.start()
                        self.disk.mend()
                        server.kill()
                    except Died as died:
                        self.assertIn("shannon: ", str(died))
                        self.assertIn("Input/output error", str(died))
                    self.disk.mend()
        self.check_all(self.start())

    def full(self, name):
        """A server with ballast and tasks under way, and a disk that has no byte left."""
        self.place = name
        server = self.begin(name)
        self.await_ballast(server, True)
        for i in range(4):
            self.assertEqual(self.submit(server, i), 200)
        self.look(server)
        self.disk.leave(0)
        return server

    def await_ballast(self, server, there):
        end = time.monotonic() + 120
        while (self.data / "ballast").exists() != there:
            self.assertLess(time.monotonic(), end, server.output.all())
            time.sleep(0.05)

    def await_status(self, server, want, first):
        """Submit until the answer is another one; gives the last number used."""
        end = time.monotonic() + 120
        for i in range(first, first + HAMMER):
            if self.submit(server, i) == want:
                return i
            self.assertLess(time.monotonic(), end, server.output.all())
            time.sleep(0.05)
        self.fail(f"{self.place}: no {want}\n{server.output.all()}")

    def check_rests(self, server, last):
        """Nothing new is taken, nothing goes on, and what was told is told."""
        status, reply, _ = server.request("POST", "/api/v1/tasks", self.body(last))
        self.assertEqual((status, reply["error"]["code"]), (507, "no_space"), reply)
        self.assertIn("shannon forget", reply["error"]["message"])
        self.check_told(server)
        for key, task in list(self.accepted.items()):  # what was accepted stays accepted
            self.assertEqual(self.submit(server, int(key[1:])), 200)
            self.assertEqual(self.accepted[key], task)
        asked = len(self.model.requests())
        lengths = {task: len(server.journal(task)) for task in self.accepted.values()}
        time.sleep(2)
        self.assertEqual(len(self.model.requests()), asked, "a call left while there was no room")
        for task, length in lengths.items():
            self.assertEqual(len(server.journal(task)), length, f"{task} did not rest")

    def test_a_disk_with_little_room_makes_the_server_rest(self):
        self.place = "little room"
        server = self.begin("little")
        self.model.stop()
        self.model = ScriptedModel(self.folder, {"default": {"delay_ms": 1500}})
        self.addCleanup(self.model.stop)
        server.stop()
        server = self.start()
        for i in range(4):
            self.assertEqual(self.submit(server, i), 200)
        self.look(server)
        self.disk.leave(40 * MIB)
        last = self.await_status(server, 507, 4)
        self.look(server)
        time.sleep(2)  # answers that were under way come, and are kept
        self.check_rests(server, last)
        self.assertEqual(self.disk.refused, 0)
        self.disk.mend()
        self.await_status(server, 200, last)
        self.check_all(server)

    def test_a_full_disk_loses_nothing_and_the_ballast_is_for_getting_on(self):
        server = self.full("full")
        try:
            last = self.await_status(server, 507, 4)
        except Died:
            last = HAMMER
            self.check_stopped(server, "No space left on device")
        else:
            server.kill()
        self.assertGreater(self.disk.refused, 0)
        server = self.start()  # the disk is as full as before, but for the ballast
        self.await_ballast(server, False)
        self.check_rests(server, last)
        status, reply, _ = server.request("POST", "/api/v1/tasks/none/cancel", {})
        self.assertEqual(status, 404, reply)
        for task in list(self.accepted.values())[:1]:
            status, reply, _ = server.request("POST", f"/api/v1/tasks/{task}/cancel", {})
            self.assertIn(status, (200, 202, 409), reply)
            server.wait_for_end(task)
            status, reply, _ = server.request("DELETE", f"/api/v1/tasks/{task}", timeout=300)
            self.assertEqual(status, 200, reply)
            self.accepted = {k: t for k, t in self.accepted.items() if t != task}
            self.told.pop(task, None)
        self.assertEqual(server.stop(), 0)
        server = self.start()
        self.check_rests(server, last)
        self.disk.mend()
        self.await_status(server, 200, last + 1)
        self.await_ballast(server, True)
        self.check_all(server)

    def test_a_full_disk_without_ballast_says_so(self):
        server = self.full("none")
        server.kill()
        (self.data / "ballast").unlink()
        self.disk.capacity = 1
        with self.assertRaises(Died) as died:
            self.start()
        self.assertIn("shannon: ", str(died.exception))
        self.assertIn("No space left on device", str(died.exception))
        self.disk.mend()
        self.check_all(self.start())

    def test_an_agent_is_refused_the_last_of_the_disk_and_a_replay_repeats_it(self):
        self.place = "the guest's mark"
        server = self.begin("guest")
        server.add_module(guest("nospace.wasm"), "nospace")
        server.stop()
        self.model.stop()
        self.model = ScriptedModel(self.folder, {"default": {"delay_ms": 3000}})
        self.addCleanup(self.model.stop)
        server = self.start()
        self.disk.leave(200 * MIB)  # enough for the database, and less than agents leave alone
        task = server.submit({"query": "x", "agent": "nospace"})
        server.wait_until(task, lambda ev: any(e["type"] == "ActivityScheduled" for e in ev))
        server.kill()
        self.disk.mend()
        server = self.start()
        events = server.wait_for_end(task)
        seen = [e["body"]["kind"] for e in events if e["type"] == "Observed"]
        self.assertEqual(seen, ["nospace"])
        self.assertEqual(server.task(task)["result"].split("\n"),
                         ["before no space", "after written"])
        self.assertTrue(server.verify(task)["ok"])
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
