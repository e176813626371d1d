"""A program that calls the C library's file functions sees under WASI what it sees when compiled
for Linux itself: the same results, the same names of errors, the same files left behind."""

import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from side_by_side import JOBS, Case, harness, run_ours, tree  # noqa: E402

SECTIONS = ("creating", "writing", "renaming", "linking", "removing", "many", "times", "large",
            "strict")


class AsOnLinux(unittest.TestCase):
    def test_files_through_the_c_library(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        here = pathlib.Path(folder.name)
        program = here / "diff_files"
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-o", program,
                        harness.SOURCE / "tests/guests/diff_files.c"], check=True)
        cases = [Case("diff_files.wasm", "/", section) for section in SECTIONS]
        data = [here / f"data{i}" for i in range(JOBS)]
        ways = {"ephemeral": (["--ephemeral"], True), "durable": ([], True),
                "private": (["--ephemeral"], False)}
        got = {way: run_ours(here / way, data, cases, *how) for way, how in ways.items()}
        for i, section in enumerate(SECTIONS):
            root = here / f"linux-{section}"
            root.mkdir()
            linux = subprocess.run([program, root, section], capture_output=True, check=True)
            for way, (_, mapped) in ways.items():
                with self.subTest(section=section, way=way):
                    ours = got[way][i]
                    self.assertEqual(ours.stdout.decode().split("\n"),
                                     linux.stdout.decode().split("\n"))
                    self.assertEqual((ours.status, ours.stderr), (0, b""))
                    self.assertEqual(ours.left, tree(root) if mapped else {})


if __name__ == "__main__":
    unittest.main(verbosity=2)
