"""The same guests under Wasmtime's own WASI preview 1 and under ours must print the same, end with
the same status and leave the same files. Where they may differ is in a table here, with the reason:
mostly where Wasmtime (cap-std) is laxer than Linux, which we follow."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from side_by_side import JOBS, Case, harness, oracle_python, run_oracle, run_ours  # noqa: E402

SEEDS = int(harness.os.environ.get("SHANNON_DIFFERENTIAL_SEEDS",
                                   "400" if harness.os.environ.get("SHANNON_LONG") else "16"))
CALLS = 400
BADF, EXIST, INVAL, NOENT, PERM = 8, 20, 28, 44, 63

# diff_random: when both refuse, which reason they give may differ here. (pattern of the call, pair
# of errnos or None for any, why)
REFUSALS = (
    (r"\.\.|x{300}|  follow| 0 $|to  \d", None,
     "two reasons to refuse (outside, too long, empty, no such folder): either may be named"),
    (r"^open .* oflags (2|3|6|7|10|11|14|15) ", None,
     "a directory asked for writing, creating or truncating: Wasmtime says EINVAL without a look"),
    (r"^link ", (EXIST, PERM), "a directory, under a name that is taken"),
    (r"^link ", (NOENT, PERM), "a directory, into one that was removed"),
    (r"^set_size ", (INVAL, BADF), "a descriptor that is not for writing"),
)

# Lines of diff_files that may differ: the line's beginning, Wasmtime's ending, ours, why.
FILES = (
    ("read a directory: ", "EBADF", "EISDIR", "Linux: EISDIR"),
    ("allocate: ", "58", "0", "ENOTSUP: Wasmtime dropped fd_allocate"),
    ("unlink of a link with a slash: ", "EISDIR", "ENOTDIR", "Linux: ENOTDIR"),
)


def call_of(line):
    """('open 3<-0 a follow 0 oflags 1 rights 1 flags 0', 44) of a line of diff_random."""
    match = re.match(r"\d+ (.*?) = (\d+)(.*)$", line)
    return (match[1], int(match[2])) if match else (line, -1)


def may_differ_random(theirs, ours):
    (call, error), (our_call, our_error) = call_of(theirs), call_of(ours)
    if call != our_call or error <= 0 or our_error <= 0:
        return False
    return any(re.search(pattern, call) and pair in (None, (error, our_error))
               for pattern, pair, _ in REFUSALS)


def may_differ_files(theirs, ours):
    return any(theirs == start + a and ours == start + b for start, a, b, _ in FILES)


def lines(data):
    return data.decode("utf-8", "replace").split("\n")


class SideBySide(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.python = oracle_python()
        folder = harness.temporary_folder()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.data = [cls.folder / f"data{i}" for i in range(JOBS)]

    def same_text(self, label, theirs, ours, may_differ):
        for number, (a, b) in enumerate(zip(lines(theirs), lines(ours)), 1):
            if a != b and not (may_differ and may_differ(a, b)):
                self.fail(f"{label} line {number}\n  Wasmtime: {a[:300]}\n  ours:     {b[:300]}")
        self.assertEqual(len(lines(theirs)), len(lines(ours)), label)

    def same(self, case, theirs, ours, may_differ=None, mapped=True):
        with self.subTest(case=str(case)):
            self.same_text("stdout", theirs.stdout, ours.stdout, may_differ)
            self.assertEqual(theirs.status, ours.status, (theirs.trap, ours.stderr[-500:]))
            if theirs.trap:  # ours adds a line that says why
                self.assertTrue(ours.stderr.startswith(theirs.stderr), ours.stderr)
                self.assertGreater(len(ours.stderr), len(theirs.stderr))
            else:
                self.same_text("stderr", theirs.stderr, ours.stderr, None)
            if mapped:
                self.assertEqual(theirs.left, ours.left)

    def compare(self, name, cases, may_differ=None):
        """Against a mapped directory, recorded and not, and the private one."""
        expected = run_oracle(self.python, self.folder / f"{name}-theirs", cases)
        for way, flags, mapped in (("ephemeral", ["--ephemeral"], True), ("durable", [], True),
                                   ("private", ["--ephemeral"], False)):
            got = run_ours(self.folder / f"{name}-{way}", self.data, cases, flags, mapped)
            for case, theirs, ours in zip(cases, expected, got):
                with self.subTest(way=way):
                    self.same(case, theirs, ours, may_differ, mapped)

    def test_files_through_the_c_library(self):
        sections = ("creating", "writing", "renaming", "linking", "removing", "many", "times",
                    "large", "leaving", "numbers")
        self.compare("files", [Case("diff_files.wasm", "/", s) for s in sections],
                     may_differ_files)

    def test_arguments_streams_clocks_and_ends(self):
        run = lambda *args, **more: Case("diff_process.wasm", *args, **more)  # noqa: E731
        cases = [run("given"), run("given", "", "a b", "ä", "--flag=x", "x" * 3000),
                 run("copying"), run("copying", stdin=b"a line\nand half a"),
                 run("copying", stdin=bytes(range(256)) * 1200),
                 run("streams", stdin=b"some"), run("polling"), run("bulk"),
                 Case("hello.wasm", "one", stdin=b"typed\n"), Case("exit7.wasm")]
        cases += [run("exits", status) for status in (0, 1, 2, 64, 125)]
        self.compare("process", cases)

    def test_traps(self):
        ways = ("divide", "memory", "deep", "nested", "abort", "call", "unreachable")
        self.compare("traps", [Case("diff_process.wasm", "traps", way) for way in ways] +
                     [Case("trap.wasm")])

    def test_random_sequences_of_file_calls(self):
        self.compare("random", [Case("diff_random.wasm", seed, CALLS, "/")
                                for seed in range(1, SEEDS + 1)], may_differ_random)


if __name__ == "__main__":
    unittest.main(verbosity=2)
