"""Mapped files that are opened only to be read are copied: an agent sees one moment of them, in a
start after a kill and in a replay as well, whatever becomes of the files."""

import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import Server, guest, shannon  # noqa: E402

SMALL, LARGE = "a small file\n" * 10, "a large file\n" * 20000


def line(text):
    total = 0
    for c in text.encode():
        total = (total * 31 + c) % 2**32
    return f"{len(text)} bytes, sum {total}"


def kinds(events):
    return [e["body"]["kind"] for e in events if e["type"] == "Observed"]


class CopiedFiles(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data, self.notes = self.folder / "data", self.folder / "notes"
        self.notes.mkdir()
        self.write(SMALL, LARGE)

    def write(self, small, large):
        (self.notes / "small").write_text(small)
        (self.notes / "large").write_text(large)

    def run_agent(self, *args):
        done = shannon("run", "--data-dir", self.data, "--json", *args, guest("copied.wasm"),
                       check=0)
        return json.loads(done.stdout)

    def events(self, task):
        done = shannon("events", "--json", task, "--data-dir", self.data, check=0)
        return [json.loads(text) for text in done.stdout.decode().splitlines() if text]

    def test_a_kill_and_changed_files_make_no_difference(self):
        policy = self.folder / "policy.toml"
        policy.write_text('[[rules]]\nagent = "*"\n[rules.allow]\nfilesystem = [{ host = '
                          f'{json.dumps(str(self.notes))}, guest = "/notes", dir_perms = '
                          '["read", "write"], file_perms = ["read", "write"] }]\n')
        server = Server(self.data, SHANNON_POLICY_FILE=str(policy))
        server.add_module(guest("copied.wasm"), "copied")
        task = server.submit({"query": "q", "agent": "copied"})
        server.wait_until(task, lambda events: "write" in kinds(events))
        server.kill()
        self.write("somebody else was here", "x")
        server = Server(self.data, SHANNON_POLICY_FILE=str(policy))
        self.addCleanup(server.kill)
        server.wait_for_end(task)
        self.assertEqual(server.task(task)["result"], line(SMALL) + "\n" + line(LARGE))
        self.assertEqual((self.notes / "log").read_text(), "before\nafter\n")
        self.assertNotIn("read", kinds(server.journal(task)))
        verified = server.verify(task)
        self.assertTrue(verified["ok"], verified)

    def test_a_replay_needs_nothing_of_the_directory(self):
        result = self.run_agent("--dir", f"{self.notes}::/notes::ro")
        self.assertEqual(result["result"], line(SMALL) + "\n" + line(LARGE))
        for name in ("small", "large"):
            (self.notes / name).unlink()
        self.notes.rmdir()
        done = shannon("verify", "--json", result["task_id"], "--data-dir", self.data, check=0)
        self.assertTrue(json.loads(done.stdout)["ok"])

    def test_copies_leave_the_disk_with_the_last_task_that_needs_them(self):
        tasks = [self.run_agent("--dir", f"{self.notes}::/notes::ro")["task_id"] for _ in range(2)]
        copies = list((self.data / "blobs").iterdir())
        self.assertTrue(copies)
        for copy in copies:
            os.utime(copy, (1000000000, 1000000000))
        shannon("forget", tasks[0], "--data-dir", self.data, check=0)
        self.assertEqual(set((self.data / "blobs").iterdir()), set(copies))
        done = shannon("verify", "--json", tasks[1], "--data-dir", self.data, check=0)
        self.assertTrue(json.loads(done.stdout)["ok"])
        shannon("forget", tasks[1], "--data-dir", self.data, check=0)
        self.assertEqual(list((self.data / "blobs").iterdir()), [])

    def test_a_mount_says_how_long_files_may_be(self):
        mount = {"host": str(self.notes), "guest": "/notes", "capture": 1000}
        given = self.folder / "capabilities.json"
        given.write_text(json.dumps({"capabilities": {"filesystem": [mount]}}))
        result = self.run_agent("--capabilities", given)
        self.assertEqual(result["result"], line(SMALL) + "\n" + line(LARGE))
        seen = kinds(self.events(result["task_id"]))
        self.assertIn("open.copy", seen)
        self.assertNotIn("open.copy.kept", seen)
        self.assertIn("read", seen)

    def test_a_file_too_long_to_be_copied_costs_the_journal_little(self):
        large = LARGE * 30  # 7.8 MB, read 4 KiB at a time
        self.write(SMALL, large)
        mount = {"host": str(self.notes), "guest": "/notes", "capture": "64KiB"}
        given = self.folder / "capabilities.json"
        given.write_text(json.dumps({"capabilities": {"filesystem": [mount],
                                                      "limits": {"journal": "128KiB"}}}))
        result = self.run_agent("--capabilities", given)
        self.assertEqual(result["result"], line(SMALL) + "\n" + line(large))
        self.assertIn("read.ahead.kept", kinds(self.events(result["task_id"])))
        (self.notes / "large").unlink()
        done = shannon("verify", "--json", result["task_id"], "--data-dir", self.data, check=0)
        self.assertTrue(json.loads(done.stdout)["ok"])


if __name__ == "__main__":
    unittest.main()
