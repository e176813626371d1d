"""A journal may end elsewhere than its agent did: after a kill, at its size limit, or where somebody
wants to see it. What is there verifies, and a replay to any event says what the agent waits for."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import guest, shannon  # noqa: E402


class CutJournals(unittest.TestCase):
    """The agent reads a mapped file piece by piece, each an event."""

    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data, notes = self.folder / "data", self.folder / "notes"
        notes.mkdir()
        (notes / "small").write_text("a small file\n")
        (notes / "large").write_text("a large file\n" * 300000)
        self.mount = {"host": str(notes), "guest": "/notes", "capture": 0}

    def run_agent(self, status, **more):
        env = more.pop("env", None)
        given = self.folder / "capabilities.json"
        given.write_text(json.dumps({"capabilities": {"filesystem": [self.mount], **more}}))
        shannon("run", "--data-dir", self.data, "--capabilities", given, guest("copied.wasm"),
                check=status, env=env)
        return self.asked("tasks", "--limit", "1")["tasks"][0]["task_id"]

    def asked(self, *args, check=0):
        done = shannon(*args, "--json", "--data-dir", self.data, check=check)
        return json.loads(done.stdout)

    def test_what_ended_at_the_limit_of_its_journal_verifies(self):
        task = self.run_agent(124, limits={"journal": "256KiB"})
        verified = self.asked("verify", task)
        self.assertTrue(verified["ok"], verified)
        self.assertEqual(verified["replay"], "ok")

    def test_what_was_killed_verifies_as_far_as_it_came(self):
        task = self.run_agent(-9, env=harness.clean_environment(
            SHANNON_CRASH_AT="store_after_commit:6"))
        verified = self.asked("verify", task)
        self.assertTrue(verified["ok"], verified)
        self.assertEqual(verified["replay"], "partial")

    def test_a_replay_to_any_event_says_what_the_agent_waits_for(self):
        task = self.run_agent(0)
        for seq in (5, 20, 40):
            seen = self.asked("replay", "--to", seq, task)
            self.assertEqual((seen["state"], seen["waits_for"]), ("waiting", "a mapped directory"),
                             seen)


if __name__ == "__main__":
    unittest.main()
