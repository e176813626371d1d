"""Kill -9 while the journal of a task is compacted: before anything of it is written, at each commit,
and before the answer. Afterwards the journal is the old one or the new one, whole: the task verifies
with the digest that goes with it and the same result, and can be compacted as if nothing had been."""

import pathlib
import sys
import unittest

import harness
from harness import Died, ScriptedModel, Server
from test_kill_everywhere import MODEL

POINTS = ("store_before_commit", "store_after_commit")
HITS = 4  # a start and a compaction have fewer
POLICY = '[[rules]]\nagent = "*"\nallow = { tools = ["llm", "kv", "calculator"] }\n'


class CompactionKilled(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.model = ScriptedModel(folder.name, MODEL)
        self.addCleanup(self.model.stop)
        self.server = None
        self.addCleanup(lambda: self.server and self.server.process.poll() is None and
                        self.server.kill())

    def start(self, data, **more):
        self.server = Server(data, **self.model.environment(), **more)
        return self.server

    def compact(self, task):
        status, done, _ = self.server.request("POST", f"/api/v1/tasks/{task}/compact", {})
        self.assertIn(status, (200, 409), done)  # 409: nothing is left before its checkpoint
        return status

    def prepare(self):
        """A data directory with a task that has ended, behind a checkpoint."""
        data = self.folder / "template"
        data.mkdir(mode=0o700)
        (data / "policy.toml").write_text(POLICY)
        server = self.start(data)
        server.add_module(harness.guest("checkpoint_files.wasm"), "agent")
        task = server.submit({"query": "q", "agent": "agent"}, "key")
        events = server.wait_for_end(task)
        self.assertIn("Checkpoint", [e["type"] for e in events])
        old = self.state(task)
        self.assertEqual(server.stop(), 0, server.output.all())
        calm = self.folder / "calm"
        harness.copy_tree(data, calm)
        server = self.start(calm)
        self.assertEqual(self.compact(task), 200)
        new = self.state(task)
        self.assertEqual(new[1], old[1])
        self.assertEqual(server.stop(), 0, server.output.all())
        return data, task, {"WorkflowStarted": old, "Compacted": new}

    def state(self, task):
        verified = self.server.verify(task)
        self.assertTrue(verified["ok"], verified)
        return verified["digest"], self.server.task(task)["result"]

    def one_kill(self, template, task, expected, point, k):
        """gives whether it was killed by what compacting does; the start has commits of its own."""
        data, asked, killed = self.folder / f"{point}-{k}", False, False
        harness.copy_tree(template, data)
        try:
            self.start(data, SHANNON_CRASH_AT=f"{point}:{k}")
            asked = True
            self.compact(task)
            self.server.kill()
        except Died as died:
            self.assertTrue(died.killed, died)
            killed = asked
        self.start(data)
        first = self.server.journal(task)[0]["type"]
        self.assertEqual(self.state(task), expected[first])
        again = self.compact(task)
        self.assertEqual(again, 200 if first == "WorkflowStarted" else 409)
        events = self.server.journal(task)
        self.assertEqual(events[0]["type"], "Compacted")
        self.assertEqual([e["seq"] for e in events],
                         list(range(events[0]["seq"], events[-1]["seq"] + 1)))
        self.assertEqual(self.state(task), expected["Compacted"])
        self.assertEqual(self.server.stop(), 0, self.server.output.all())
        harness.shannon("verify", task, "--data-dir", data, check=0)
        return (first,) if killed else ()

    def test_a_kill_at_every_commit_leaves_the_old_journal_or_the_new_one(self):
        template, task, expected = self.prepare()
        left = []
        for point in POINTS:
            for k in range(1, HITS + 1):
                with self.subTest(f"SHANNON_CRASH_AT={point}:{k}"):
                    left += self.one_kill(template, task, expected, point, k)
        print(f"after {len(left)} kills: {left}", file=sys.stderr)
        self.assertEqual(set(left), {"WorkflowStarted", "Compacted"}, "both have to be met")


if __name__ == "__main__":
    unittest.main(verbosity=2)
