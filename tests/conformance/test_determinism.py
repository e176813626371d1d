"""Guests in C: whatever they were given, their journal alone decides what they do again."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from replays import Recorded, check, harness  # noqa: E402
from harness import guest, shannon  # noqa: E402


class Determinism(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_the_same_journal_gives_the_same_run(self):
        mapped = self.folder / "mapped"
        mapped.mkdir()
        (mapped / "given.txt").write_text("what was there before")
        here = ["--dir", f"{mapped}::/m"]
        recorded = Recorded(self.folder)
        run = recorded.run
        run("clock and chance", guest("clock_random.wasm"))
        run("sleeping", "--input", '{"times":5,"ms":3}', guest("sleepers.wasm"))
        run("private files", guest("diff_files.wasm"), "--", "/", "many")
        run("times of private files", guest("diff_files.wasm"), "--", "/", "times")
        run("mapped files", *here, guest("diff_files.wasm"), "--", "/m", "linking")
        run("many mapped files", *here, guest("diff_files.wasm"), "--", "/m", "removing")
        run("large reads", *here, guest("diff_files.wasm"), "--", "/m", "large")
        run("large output", guest("diff_process.wasm"), "--", "bulk")
        run("random calls, mapped", *here, guest("diff_random.wasm"), "--", 1, 600, "/m")
        run("random calls, private", guest("diff_random.wasm"), "--", 2, 2000, "/")
        run("standard input", guest("diff_process.wasm"), "--", "copying",
            stdin=bytes(range(256)) * 500)
        run("polling", guest("diff_process.wasm"), "--", "polling")
        run("an exit status", guest("exit7.wasm"))
        run("a trap", guest("diff_process.wasm"), "--", "traps", "nested")
        run("out of stack", guest("diff_process.wasm"), "--", "traps", "deep")
        run("out of fuel", "--fuel", 3000000, guest("spin.wasm"))
        for path in sorted(mapped.rglob("*"), reverse=True):  # a replay asks nobody again
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        mapped.rmdir()
        check(self, recorded)

    def test_a_backtrace_shows_the_guest_and_nothing_of_the_host(self):
        said = [shannon("run", "--ephemeral", "--data-dir", self.folder / "data",
                        guest("diff_process.wasm"), "--", "traps", how, check=134,
                        env=harness.clean_environment(RUST_BACKTRACE=level)).stderr
                for how in ("nested", "deep") for level in ("0", "1", "full")]
        self.assertEqual(len(set(said)), 2, said)
        self.assertNotIn(b"microsandbox", b"".join(said))

    def test_where_and_when_make_no_difference_to_a_new_run(self):
        """Without mapped directories, clocks and chance, two runs are the same run."""
        guests = [("diff_files.wasm", "/", "many"), ("diff_files.wasm", "/", "renaming"),
                  ("diff_random.wasm", "3", "1000", "/")]
        for wasm, *args in guests:
            seen = set()
            for i, zone in enumerate(("UTC", "America/St_Johns")):
                done = shannon("run", "--ephemeral", "--data-dir", self.folder / f"data{i}",
                               guest(wasm), "--", *args, check=0,
                               env=harness.clean_environment(TZ=zone, LANG=f"x{i}.UTF-8"))
                seen.add((done.stdout, done.stderr))
            self.assertEqual(len(seen), 1, (wasm, args))


if __name__ == "__main__":
    unittest.main(verbosity=2)
