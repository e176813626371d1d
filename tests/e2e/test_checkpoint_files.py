"""Files in the private directory outlive a checkpoint, a restart and a kill."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import Server, guest, shannon  # noqa: E402


class CheckpointFiles(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.data = pathlib.Path(folder.name) / "data"

    def test_each_life_finds_the_files_of_the_one_before(self):
        done = shannon("run", "--data-dir", self.data, "--json", guest("checkpoint_files.wasm"),
                       check=0)
        result = json.loads(done.stdout)
        text = result["result"]
        self.assertIn('/log: 0 ""', text)
        self.assertIn('/log: 6 "first " names 2', text)
        self.assertIn('/way: 13 "first second " names 2', text)
        self.assertTrue(text.endswith('/log: 18 "first second third" names 2'), text)
        self.assertEqual(text.count("//gone"), 1)  # made in the first life, removed in the second
        done = shannon("verify", "--data-dir", self.data, "--json", result["task_id"], check=0)
        self.assertTrue(json.loads(done.stdout)["ok"])

    def test_a_file_that_is_gone_or_changed_is_told_and_never_made_up(self):
        done = shannon("run", "--data-dir", self.data, "--json", guest("checkpoint_files.wasm"),
                       check=0)
        task = json.loads(done.stdout)["task_id"]
        for blob in (self.data / "blobs").iterdir():
            blob.chmod(0o600)
            blob.write_bytes(b"?" + blob.read_bytes()[1:])
        server = Server(self.data)
        self.addCleanup(server.kill)
        verified = server.verify(task)
        self.assertEqual((verified["chain"], verified["ok"]), ("ok", False), verified)


if __name__ == "__main__":
    unittest.main()
