#!/usr/bin/env python3
"""A task that takes the whole process down is set aside after three times; its neighbours finish.
Kills are nobody's fault, however many."""

import pathlib
import shutil
import signal
import tempfile
import time
import unittest

from harness import Died, Server, guest

CRASHES_MAX = 3  # SH_CRASHES_MAX
ID_BYTES = 129  # SH_ID_MAX and a NUL: the slots of engine/crash.c begin with it
PHASE_RUN = 1  # SH_CRASH_RUN


class Quarantine(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shannon-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.server = None
        self.addCleanup(lambda: self.server and self.server.process.poll() is None and
                        self.server.kill())

    def start(self, **environment):
        self.server = Server(self.folder / "data", **environment)
        return self.server

    def dies_of_abort(self):
        """The server starts and dies of what it takes up; it may or may not get to listen."""
        try:
            status = self.start(SHANNON_DEBUG_ABORT="emit:poison").wait()
        except Died as died:
            self.assertNotIn("quarantined", str(died))
            return
        self.assertEqual(status, -signal.SIGABRT, self.server.output.all())

    def test_three_aborts_set_a_task_aside_and_its_neighbours_finish(self):
        server = self.start()
        server.add_module(guest("poison.wat"), "poison")
        server.add_module(guest("signal.wat"), "signal")
        poison = server.submit({"query": "q", "agent": "poison"})
        others = [server.submit({"query": "q", "agent": "signal"}) for _ in range(3)]
        for task in (poison, *others):
            server.wait_until(task, lambda ev: any(e["type"] == "ActivityScheduled" for e in ev))
        server.stop()

        server = self.start(SHANNON_DEBUG_ABORT="emit:poison")
        try:
            server.request("POST", f"/api/v1/tasks/{poison}/signal", {"name": "go"})
        except Died:
            pass  # before the answer left, or after
        self.assertEqual(server.wait(), -signal.SIGABRT, server.output.all())
        for _ in range(CRASHES_MAX - 1):
            self.dies_of_abort()

        server = self.start(SHANNON_DEBUG_ABORT="emit:poison")
        events = server.wait_for_end(poison)
        self.assertEqual(events[-1]["body"]["code"], "quarantined", events[-1])
        self.assertIn("module", events[-1]["body"]["message"])
        for task in others:
            status, body, _ = server.request("POST", f"/api/v1/tasks/{task}/signal",
                                             {"name": "go"})
            self.assertEqual(status, 202, body)
            self.assertEqual(server.wait_for_end(task)[-1]["type"], "WorkflowCompleted")
            self.assertTrue(server.verify(task)["ok"])
        self.assertTrue(server.verify(poison)["ok"])  # its journal; it is not run again
        self.assertEqual(server.stop(), 0)

    def on_a_processor(self, task):
        """What the mapped file of who is on a processor says of that task: a set of (phase,
        signal), for each thread that had it last."""
        data, found, at = (self.folder / "data/crash-stamp").read_bytes(), set(), -1
        while (at := data.find(task.encode() + b"\0", at + 1)) >= 0:
            found.add((data[at + ID_BYTES], data[at + ID_BYTES + 1]))
        return found

    def end_while_it_computes(self, task, how):
        """The process ends by that signal while the task is on an executor. How much processor
        time it used says nothing of that: opening the store and a busy machine use some, too."""
        server = self.server if self.server.process.poll() is None else self.start()
        self.assertEqual(server.task(task)["status"], "TASK_STATUS_RUNNING")
        end = time.monotonic() + 60
        while PHASE_RUN not in {phase for phase, _ in self.on_a_processor(task)}:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)
        server.process.send_signal(how)
        self.assertEqual(server.wait(), -how, server.output.all())
        return server.output.all()

    def crash_while_it_computes(self, task, how):
        """Again where the signal fell between two slices, when nobody was on a processor."""
        for _ in range(20):
            self.end_while_it_computes(task, how)
            if how in {stamp for _, stamp in self.on_a_processor(task)}:
                return
        self.fail(f"signal {how} never fell into a slice")

    def test_kills_never_count(self):
        self.start().add_module(guest("endless.wat"), "endless")
        task = self.server.submit({"query": "q", "agent": "endless"})
        for _ in range(2 * CRASHES_MAX):
            output = self.end_while_it_computes(task, signal.SIGKILL)
            self.assertNotIn("workflow-crashed-process", output)
        self.assertEqual(self.start().task(task)["status"], "TASK_STATUS_RUNNING")

    def test_a_fault_that_the_sandbox_does_not_know_counts(self):
        """Wasmtime handles SIGSEGV itself and has to pass this one on."""
        self.start().add_module(guest("endless.wat"), "endless")
        task = self.server.submit({"query": "q", "agent": "endless"})
        for _ in range(CRASHES_MAX):
            self.crash_while_it_computes(task, signal.SIGSEGV)
        events = self.start().wait_for_end(task)
        self.assertEqual(events[-1]["body"]["code"], "quarantined", events[-1])


if __name__ == "__main__":
    unittest.main()
