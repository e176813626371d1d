"""What a run of the tests left out is told in lines of its own, with the way to get it."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lib"))
import skips  # noqa: E402

LOG = """1/3 Testing: test_one
Output:
----------------------------------------------------------
SKIPPED SKIPPED SKIPPED: there is no go here (get it)
SKIPPED SKIPPED SKIPPED: there is no go here (get it)
ok SKIPPED SKIPPED SKIPPED: nor this
2/3 Testing: test_two
fine
3/3 Testing: test_three
SKIPPED SKIPPED SKIPPED: bad \xff byte
"""


class Skipped(unittest.TestCase):
    def test_each_reason_is_told_once_with_its_test(self):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder, "Testing/Temporary")
            for there in (False, True):
                if there:
                    place.mkdir(parents=True)
                    (place / "LastTest.log").write_bytes(LOG.encode("latin-1"))
                done = subprocess.run([SOURCE / "scripts/skipped", folder], capture_output=True,
                                      check=True, text=True)
                self.assertEqual(done.stdout.splitlines(), [
                    "SKIPPED test_one: there is no go here (get it)", "SKIPPED test_one: nor this",
                    "SKIPPED test_three: bad \ufffd byte"] if there else [])

    def test_a_program_that_is_not_here_comes_with_the_way_to_get_it(self):
        for names, way in ((("no-such-tool",), "apt-get install no-such-tool"),
                           (("no-such-go", "no-such-tool"), "apt-get install no-such-go")):
            with self.assertRaisesRegex(unittest.SkipTest, way):
                skips.tool(*names)
        self.assertEqual(skips.tool("no-such-tool", "sh")[-3:], "/sh")

    def test_an_interpreter_that_is_not_here_comes_with_the_way_to_get_it(self):
        with tempfile.TemporaryDirectory() as folder:
            built = pathlib.Path(folder, "share/shannon/python.wasm")
            with unittest.mock.patch.dict(os.environ, SHANNON_PYTHON_WASM=""):
                with self.assertRaisesRegex(unittest.SkipTest, f"no {built}; `make`"):
                    skips.python_wasm(folder)
                built.parent.mkdir(parents=True)
                built.touch()
                self.assertEqual(skips.python_wasm(folder), built)
            with unittest.mock.patch.dict(os.environ, SHANNON_PYTHON_WASM=folder + "/other"):
                with self.assertRaisesRegex(unittest.SkipTest, "/other; `make`"):
                    skips.python_wasm(folder)

    def test_what_is_said_fits_a_line(self):
        done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {sys.path[0]!r}); "
                               "import skips; skips.skip('one\\n  two' + 'x' * 10000)"],
                              capture_output=True, check=False, text=True)
        self.assertEqual(done.returncode, 77)
        self.assertRegex(done.stderr, r"^SKIPPED SKIPPED SKIPPED: one twox+\.\.\.\n$")
        self.assertLess(len(done.stderr), 1000)


if __name__ == "__main__":
    unittest.main()
