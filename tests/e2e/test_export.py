"""A task as a file: exported here, verified and replayed in another data directory, over both doors."""

import json
import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import Server, guest, shannon  # noqa: E402


def peak_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


class Export(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.here, self.there = self.folder / "here", self.folder / "there"

    def ran(self, *args):
        shannon("run", "--data-dir", self.here, *args)
        listed = shannon("tasks", "--json", "--data-dir", self.here, check=0).stdout
        return json.loads(listed)["tasks"][0]["task_id"]

    def verify(self, data, *args):
        done = shannon("verify", *args, "--json", "--data-dir", data)
        return done.returncode, json.loads(done.stdout)

    def test_commands_carry_a_task_to_another_data_directory(self):
        task = self.ran(guest("hello.wasm"))
        out = self.folder / "task.tar"
        shannon("export", "--output", out, task, "--data-dir", self.here, check=0)
        imported = shannon("import", out, "--data-dir", self.there, check=0).stdout.decode().strip()
        self.assertEqual(imported, task)
        status, was = self.verify(self.here, task)
        self.assertEqual(status, 0, was)
        status, found = self.verify(self.there, task)
        self.assertEqual((status, found), (0, was))
        self.assertEqual(found["signature"], "ok")
        key = shannon("version", "--key", "--data-dir", self.here, check=0).stdout.decode().strip()
        self.assertEqual(found["key"], key)
        again = shannon("import", out, "--data-dir", self.there, check=125)
        self.assertIn(b"is here already", again.stderr)
        status, swept = self.verify(self.there, "--all")
        self.assertEqual((status, swept["checked"], swept["failed"]), (0, 1, []))

    def test_what_is_kept_beside_the_journal_goes_along(self):
        """Files of checkpoints, and large observations of mapped directories."""
        many = self.folder / "many"
        many.mkdir()
        for i in range(3000):
            (many / f"{i:020}").touch()
        for args in ((guest("checkpoint_files.wasm"),),
                     ("--dir", f"{many}::/notes::ro", guest("files.wasm"))):
            with self.subTest(args=args):
                task = self.ran(*args)
                out = self.folder / "kept.tar"
                out.unlink(missing_ok=True)
                shannon("export", "--output", out, task, "--data-dir", self.here, check=0)
                self.assertIn(b"blobs/", out.read_bytes())
                shannon("import", out, "--data-dir", self.there, check=0)
                status, was = self.verify(self.here, task)
                self.assertEqual((status, was["ok"]), (0, True), was)
                self.assertEqual(self.verify(self.there, task), (0, was))

    def test_an_edited_file_is_refused(self):
        task = self.ran(guest("hello.wasm"))
        archive = shannon("export", "--output", "-", task, "--data-dir", self.here, check=0).stdout
        self.assertIn(b"hello", archive)
        edited = self.folder / "edited.tar"
        edited.write_bytes(archive.replace(b"WorkflowCompleted", b"WorkflowCompletEd", 1))
        done = shannon("import", edited, "--data-dir", self.there, check=125)
        self.assertRegex(done.stderr.decode(), "journal.jsonl is not the file")
        edited.write_bytes(archive[: len(archive) // 2])
        shannon("import", edited, "--data-dir", self.there, check=125)
        edited.write_bytes(b"")
        shannon("import", edited, "--data-dir", self.there, check=125)
        self.assertEqual(shannon("verify", "--all", "--data-dir", self.there, check=0).stdout,
                         b"0 checked, 0 failed\n")

    def test_a_server_gives_and_takes(self):
        task = self.ran(guest("exit7.wasm"))
        server = Server(self.here)
        self.addCleanup(server.kill)
        archive = shannon("export", "--output", "-", task, "--data-dir", self.here, check=0).stdout
        other = Server(self.there)
        self.addCleanup(other.kill)
        path = self.folder / "task.tar"
        path.write_bytes(archive)
        shannon("import", path, "--data-dir", self.there, check=0)
        status, body, _ = other.request("GET", f"/api/v1/tasks/{task}")
        self.assertEqual((status, body["status"], body["exit_status"]),
                         (200, "TASK_STATUS_FAILED", 7))
        self.assertTrue(other.verify(task)["ok"])

    def test_a_large_task_goes_through_servers_that_stay_small(self):
        """More than once had to fit memory: neither side holds it."""
        notes, wish = self.folder / "notes", self.folder / "wish.json"
        notes.mkdir()
        (notes / "small").write_text("small")
        with open(notes / "large", "wb") as file:
            file.truncate(130 << 20)
        wish.write_text(json.dumps({"filesystem": [
            {"host": str(notes), "guest": "/notes", "dir_perms": ["read"], "file_perms": ["read"],
             "capture": "200MiB"}]}))
        task = self.ran("--capabilities", wish, guest("copied.wasm"))
        servers = [Server(self.here), Server(self.there)]
        for server in servers:
            self.addCleanup(server.kill)
        before = [peak_bytes(server) for server in servers]
        out = self.folder / "task.tar"
        shannon("export", "--output", out, task, "--data-dir", self.here, check=0)
        self.assertGreater(out.stat().st_size, 130 << 20)
        shannon("import", out, "--data-dir", self.there, check=0)
        for server, was in zip(servers, before):
            self.assertLess(peak_bytes(server) - was, 64 << 20)
        self.assertTrue(servers[1].verify(task)["ok"])

    def test_an_imported_task_is_looked_at_and_forked(self):
        task = self.ran(guest("clock_random.wasm"))
        out = self.folder / "task.tar"
        shannon("export", "--output", out, task, "--data-dir", self.here, check=0)
        shannon("import", out, "--data-dir", self.there, check=0)
        seen = json.loads(shannon("replay", "--to", "3", task, "--json", "--data-dir", self.there,
                                  check=0).stdout)
        self.assertEqual((seen["seq"], seen["requests"]), (3, []))
        server = Server(self.there)
        self.addCleanup(server.kill)
        done = shannon("fork", "--at", "2", task, "--data-dir", self.there, check=0)
        fork = done.stdout.decode().strip()
        server.wait_for_end(fork)
        ended = server.task(fork)
        self.assertEqual(ended["status"], "TASK_STATUS_COMPLETED")
        status, source, _ = server.request("GET", f"/api/v1/tasks/{task}")
        self.assertEqual(status, 200)
        # All that it prints follows from the first two events, its randomness too.
        self.assertEqual(ended["result"], source["result"])
        verified = server.verify(fork)
        self.assertTrue(verified["ok"], verified)
        self.assertEqual(verified["signature"], "ok")
        refused = shannon("fork", "--at", "100", task, "--data-dir", self.there, check=125)
        self.assertIn(b"forked at an event", refused.stderr)

    def test_a_forgotten_task_is_gone_and_may_come_back_from_its_file(self):
        task = self.ran(guest("hello.wasm"))
        out = self.folder / "task.tar"
        shannon("export", "--output", out, task, "--data-dir", self.here, check=0)
        shannon("forget", task, "--data-dir", self.here, check=0)
        self.assertIn(b"there is no task",
                      shannon("status", task, "--data-dir", self.here, check=125).stderr)
        rows = shannon("sql", "SELECT id FROM event WHERE type NOT IN "
                       "['Owned', 'Wrote', 'Fenced']", "--data-dir", self.here, check=0).stdout
        self.assertEqual(json.loads(rows), [[]])
        on_disk = b"".join(p.read_bytes() for p in (self.here / "db").rglob("*.sst"))
        self.assertNotIn(b"WorkflowStarted", on_disk)
        shannon("import", out, "--data-dir", self.here, check=0)
        self.assertTrue(self.verify(self.here, task)[1]["ok"])

    def test_verify_all_names_what_fails(self):
        task = self.ran(guest("hello.wasm"))
        key = self.here / "signing-key"
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        key.unlink()
        done = shannon("verify", "--all", "--data-dir", self.here, check=125)
        self.assertRegex(done.stdout.decode(), f"{task} +signature: signed with the key")
        self.assertIn("1 checked, 1 failed", done.stdout.decode())
        key.write_text("not a key\n")
        os.chmod(key, 0o600)
        done = shannon("verify", "--all", "--data-dir", self.here, check=125)
        self.assertIn(b"does not hold a signing key", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
