"""A mapped directory that does not answer: the agent that asked waits, and nobody else."""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import Server, guest, shannon  # noqa: E402


class HungFiles(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.notes = self.folder / "notes"
        self.notes.mkdir()
        (self.notes / "a.txt").write_text("text")
        self.release = self.folder / "release"
        self.hang = {"SHANNON_HANG_AT": "file_call:1", "SHANNON_HANG_UNTIL": str(self.release)}

    def mapping(self):
        return {"capabilities": {"filesystem": [{
            "host": str(self.notes), "guest": "/notes", "dir_perms": ["read"],
            "file_perms": ["read"]}]}}

    def test_the_time_limit_ends_an_agent_that_waits_for_a_file(self):
        began = time.monotonic()
        done = shannon("run", "--data-dir", self.folder / "data", "--timeout", "1s", "--dir",
                       f"{self.notes}::/notes::ro", guest("files.wasm"),
                       env=harness.clean_environment(**self.hang))
        self.assertEqual(done.returncode, 124, done.stderr)
        self.assertLess(time.monotonic() - began, 25)

    def server(self, **environment):
        server = Server(self.folder / "data", **environment)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def test_the_server_serves_and_cancels_around_it_and_a_restart_takes_it_up(self):
        policy = self.folder / "policy.toml"
        policy.write_text('[[rules]]\nagent = "*"\nallow = { filesystem = [{ host = "%s", '
                          'guest = "/notes", dir_perms = ["read"], file_perms = ["read"] }] }\n'
                          % self.notes)
        server = self.server(SHANNON_POLICY_FILE=str(policy), **self.hang)
        server.add_module(guest("files.wasm"), "files")
        server.add_module(guest("hello.wasm"), "hello")
        first, second = (server.submit({"agent": "files", "query": "q", **self.mapping()})
                         for _ in range(2))
        for _ in range(5):
            task = server.submit({"agent": "hello", "query": "q"})
            self.assertEqual(server.wait_for_end(task)[-1]["type"], "WorkflowCompleted")
        status, body, _ = server.request("POST", f"/api/v1/tasks/{first}/cancel", {})
        self.assertEqual(status, 202, body)
        self.assertEqual(server.wait_for_end(first)[-1]["type"], "WorkflowCancelled")
        server.stop()
        server = self.server(SHANNON_POLICY_FILE=str(policy))
        self.assertEqual(server.wait_for_end(second)[-1]["type"], "WorkflowCompleted")
        self.assertIn("a.txt", server.task(second)["result"])
        for task in (first, second):
            self.assertTrue(server.verify(task)["ok"])
        server.stop()


if __name__ == "__main__":
    unittest.main()
