#!/usr/bin/env python3
"""Many tasks alive, and SIGKILL at instants that nobody chose with care: whatever a client was told
stays true, every task ends, every journal verifies, and no answer that was durable is asked for again.

SHANNON_KILLS (6) and SHANNON_KILL_TASKS (32) set the size, SHANNON_KILL_SEED the instants (drawn with
the commit otherwise); the seed is printed, and that of a failure is in its message. With SHANNON_LONG
there are 40 kills of 64 tasks, and 20 of 1,000."""

import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import unittest

from harness import Died, ScriptedModel, Server, guest
from test_kill_everywhere import commit_seed

LONG = bool(os.environ.get("SHANNON_LONG"))
KILLS = int(os.environ.get("SHANNON_KILLS", 0))
TASKS = int(os.environ.get("SHANNON_KILL_TASKS", 64 if LONG else 32))
MANY = 1000
SEED = os.environ.get("SHANNON_KILL_SEED") or commit_seed()[:12]
PATIENCE_S = 240
PATIENCE_MANY_S = 1500


class RandomKills(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shannon-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.model = ScriptedModel(self.folder, {"default": {"delay_ms": 400}})
        self.addCleanup(self.model.stop)
        self.random = random.Random(SEED)
        self.told = {}  # task -> highest seq that a client has seen

    def start(self):
        return Server(self.folder / "data", **self.model.environment())

    def look(self, server, task):
        """Read one journal; it may have grown, and never lost what was told."""
        events = server.journal(task)
        self.assertGreaterEqual(len(events), self.told[task], f"seed {SEED}: {task} lost events")
        self.told[task] = len(events)
        return events

    def submit_all(self, server, tasks):
        agents = ("seq", "par", "sleepers", "sleepers") if tasks >= MANY else ("seq", "par")
        for name in sorted(set(agents)):
            server.add_module(guest(name + ".wasm"), name)
        for i in range(tasks):
            task = server.submit({"query": f"q{i}", "agent": agents[i % len(agents)],
                                  "input": {"query": f"q{i}", "sorted": True, "times": 60,
                                            "ms": 1000}}, key=f"k{i}")
            self.told[task] = 1

    def kill_at_random(self, kills):
        for _ in range(kills):
            server = self.start()
            end = time.monotonic() + self.random.uniform(0.01, 1.2)
            try:
                while time.monotonic() < end:
                    self.look(server, self.random.choice(list(self.told)))
            except Died:
                self.fail(f"seed {SEED}: the server died by itself\n{server.output.all()}")
            server.kill()

    def check_keys(self, server, task, sent):
        """No request with a key may have begun after the key's outcome was durable."""
        for event in server.journal(task):
            if event["type"] != "ActivityCompleted" or event["body"].get("op") != "llm":
                continue
            key = f"{task}:{event['body']['ordinal']}"
            late = [at for at in sent.get(key, []) if at * 1e6 > event["time_us"] + 50000]
            self.assertEqual(late, [], f"seed {SEED}: {key} was asked after its answer was durable")

    def sweep(self, tasks, kills, patience_s):
        print(f"{tasks} tasks, {kills} kills: SHANNON_KILL_SEED={SEED}", file=sys.stderr, flush=True)
        server = self.start()
        self.submit_all(server, tasks)
        server.kill()
        self.kill_at_random(kills)
        server = self.start()
        self.addCleanup(server.stop)
        end = time.monotonic() + patience_s
        open_tasks = set(self.told)
        while open_tasks and time.monotonic() < end:
            for task in sorted(open_tasks):
                if self.look(server, task)[-1]["type"].startswith("WorkflowC"):
                    open_tasks.remove(task)
            time.sleep(0.05)
        self.assertEqual(open_tasks, set(), f"seed {SEED}: tasks that did not end")
        sent = {}
        for request in self.model.requests():
            sent.setdefault(request["idempotency_key"], []).append(request["time"])
        for task in self.told:
            status, verified, _ = server.request("POST", f"/api/v1/tasks/{task}/verify", {})
            self.assertEqual((status, verified["ok"]), (200, True), f"seed {SEED}: {verified}")
            self.check_keys(server, task, sent)

    def test_every_task_ends_as_if_nothing_had_happened(self):
        self.sweep(TASKS, KILLS or (40 if LONG else 6), PATIENCE_S)

    @unittest.skipUnless(LONG, "SHANNON_LONG=1 has it")
    def test_so_does_each_of_a_thousand(self):
        self.sweep(MANY, KILLS or 20, PATIENCE_MANY_S)


if __name__ == "__main__":
    unittest.main(verbosity=2)
