#!/usr/bin/env python3
"""Kill -9 at the points of the journal while a family wakes from its sleep: a parent and two children,
none of them in memory. However the process dies, both children's ends reach the parent, a cancel
reaches both children, each of them verifies, and nobody is left in memory or waiting.

  SHANNON_CRASH_SAMPLE=N     so many hits of each point (default 3; first and last always)
  SHANNON_CRASH_ALL=1        every hit
  SHANNON_CRASH_ONLY=STORY:POINT:K    just that one, as a failure prints it"""

import os
import re
import signal
import sys
import time
import unittest
import urllib.request

import harness
from harness import Died, Server
from test_kill_everywhere import POINTS, commit_seed, sample

POLICY = '[[rules]]\nagent = "*"\nallow = { tools = ["workflow", "calculator"] }\n'
ENGINE = {"SHANNON_ENGINE_PASSIVATE_AFTER": "100ms", "SHANNON_ENGINE_CANCEL_GRACE": "60s"}


def metric(server, name):
    key = (server.data_dir / "api-key").read_text().strip()
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics",
                                     headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return int(re.search(rf"^shannon_{name} (\d+)", reply.read().decode(), re.M).group(1))


def wait_for_metrics(server, **wanted):
    end = time.monotonic() + 60
    while True:
        found = {name: metric(server, name) for name in wanted}
        if found == wanted:
            return
        if time.monotonic() > end:
            raise AssertionError(f"{found}, not {wanted}\n{server.output.all()}")
        time.sleep(0.05)


class FamilyKilled(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.server = None
        self.addCleanup(lambda: self.server and self.server.process.poll() is None and
                        self.server.kill())

    def start(self, data_dir, **environment):
        self.server = Server(data_dir, **ENGINE, **environment)
        return self.server

    def prepare(self):
        """A data directory with a family of which nobody is in memory."""
        template = os.path.join(self.folder, "template")
        os.makedirs(template, mode=0o700)
        with open(os.path.join(template, "policy.toml"), "w", encoding="utf-8") as f:
            f.write(POLICY)
        server = self.start(template)
        for name in ("family", "signal"):
            server.add_module(harness.guest(name + ".wasm"), name)
        self.parent = server.submit({"query": "q", "agent": "family", "input": {"children": 2}})
        wait_for_metrics(server, passivated=3, in_memory=0)
        status, page, _ = server.request("GET", f"/api/v1/tasks?parent_id={self.parent}")
        self.assertEqual(status, 200, page)
        self.children = sorted(t["task_id"] for t in page["tasks"])
        self.assertEqual(server.stop(), 0, server.output.all())
        return template

    def has(self, server, task, kind):
        return any(e["type"] == kind for e in server.journal(task))

    def ask(self, server, path, body, task, kind):
        """Unless its journal shows that it was asked before the process died."""
        if not self.has(server, task, kind):
            status, reply, _ = server.request("POST", f"/api/v1/tasks/{task}/{path}", body)
            self.assertEqual(status // 100, 2, reply)

    def signals(self, server):
        for i, child in enumerate(self.children):
            self.ask(server, "signal", {"name": "go", "payload": i}, child, "SignalReceived")
        self.assertEqual(server.wait_for_end(self.parent)[-1]["type"], "WorkflowCompleted")
        return ["WorkflowCompleted"] * 2

    def cancel(self, server):
        self.ask(server, "cancel", {}, self.parent, "CancelRequested")
        self.assertEqual(server.wait_for_end(self.parent)[-1]["type"], "WorkflowCancelled")
        return ["WorkflowCancelled"] * 2

    def check(self, server, story, label):
        ends = getattr(self, story)(server)
        for child, kind in zip(self.children, ends):
            self.assertEqual(server.wait_for_end(child)[-1]["type"], kind, label)
        for task in (self.parent, *self.children):
            self.assertTrue(server.verify(task)["ok"], f"{label}: {task}")
        wait_for_metrics(server, passivated=0, in_memory=0)
        return server.task(self.parent)["result"]

    def undisturbed(self, template, story):
        data_dir, counts = os.path.join(self.folder, "calm"), os.path.join(self.folder, "counts")
        harness.copy_tree(template, data_dir)
        server = self.start(data_dir, SHANNON_CRASH_COUNT=counts)
        result = self.check(server, story, "undisturbed")
        self.assertEqual(server.stop(), 0, server.output.all())
        with open(counts, encoding="ascii") as file:
            return {line.split()[0]: int(line.split()[1]) for line in file}, result

    def one_kill(self, template, story, point, k, result):
        label, killed = f"SHANNON_CRASH_ONLY={story}:{point}:{k}", False
        data_dir = os.path.join(self.folder, f"{point}-{k}")
        harness.copy_tree(template, data_dir)
        try:
            server = self.start(data_dir, SHANNON_CRASH_AT=f"{point}:{k}")
            self.check(server, story, label)
            killed = server.stop() == -signal.SIGKILL
        except Died as died:
            killed = died.killed
        server = self.start(data_dir)
        got = self.check(server, story, label)
        if story == "signals":  # what a canceled agent prints depends on when it learns of it
            self.assertEqual(got, result, label)
        self.assertEqual(server.stop(), 0, f"{label}: {server.output.all()}")
        return killed

    def sweep(self, story):
        only = os.environ.get("SHANNON_CRASH_ONLY", "").split(":")
        if only != [""] and only[0] != story:
            self.skipTest("another one was asked for")
        template = self.prepare()
        hits, result = self.undisturbed(template, story)
        killed = runs = 0
        for point in POINTS:
            self.assertGreater(hits.get(point, 0), 0, f"{point} was never reached: {hits}")
            chosen = sample(hits[point], f"{commit_seed()} {story} {point}")
            if only != [""]:
                chosen = [int(only[2])] if only[1] == point else []
            for k in chosen:
                with self.subTest(story=story, point=point, k=k):
                    runs += 1
                    killed += self.one_kill(template, story, point, k, result)
        print(f"{story}: {runs} runs, {killed} killed; hits {hits}", file=sys.stderr)
        # How writes share commits differs from run to run, so a late hit may not come again.
        self.assertGreaterEqual(killed * 2, runs, "most kills have to happen")

    def test_signals(self):
        self.sweep("signals")

    def test_cancel(self):
        self.sweep("cancel")


if __name__ == "__main__":
    unittest.main(verbosity=2)
