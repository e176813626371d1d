"""Journals that released versions wrote verify and replay to the same digest and fuel, for ever. The
fixtures are exports; make_fixtures.py says how they came to be."""

import json
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "crash"))
import harness  # noqa: E402
from harness import shannon  # noqa: E402


class Replay(unittest.TestCase):
    def check(self, archive, data):
        facts = json.loads(archive.with_suffix(".json").read_text())
        imported = shannon("import", archive, "--data-dir", data, check=0)
        task = imported.stdout.decode().strip()
        for _ in range(2):
            done = shannon("verify", task, "--json", "--data-dir", data, timeout=300)
            found = json.loads(done.stdout)
            self.assertTrue(found["ok"], found)
            self.assertEqual({k: found.get(k) for k in facts}, facts)
            self.assertEqual(found["signature"], "ok")

    def test_every_released_version_replays(self):
        archives = sorted(HERE.glob("journals/*/*.tar"))
        self.assertGreater(len(archives), 3)
        for archive in archives:
            with self.subTest(archive=f"{archive.parent.name}/{archive.name}"):
                folder = harness.temporary_folder()
                self.addCleanup(folder.cleanup)
                self.check(archive, pathlib.Path(folder.name) / "data")


if __name__ == "__main__":
    unittest.main(verbosity=2)
