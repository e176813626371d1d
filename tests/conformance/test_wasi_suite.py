"""Every preview 1 case of the WebAssembly community's wasi-testsuite passes under `shannon run`,
with a journal and without. The suite is found at $WASI_TESTSUITE (a folder or a .tar.gz), else in
shared/conformance beside the source folder."""

import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tarfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "crash"), str(TESTS / "lib")]
import harness  # noqa: E402
import skips  # noqa: E402

CASES = 72
# Two halves of about the same time: the runner takes the cases whose names contain a word.
HALVES = (("rust/",), ("c/", "assemblyscript/"))
MODES = (("--ephemeral",), ())


def suite():
    """The archive or folder, or None."""
    named = os.environ.get("WASI_TESTSUITE")
    path = pathlib.Path(named) if named else \
        harness.SOURCE.parent / "shared/conformance/wasi-testsuite.tar.gz"
    if named and not path.exists():
        sys.exit(f"WASI_TESTSUITE names {path}, which does not exist")
    return path if path.exists() else None


def unpack(path, into):
    """A copy of our own, because cases write into it; gives the folder that holds the runner."""
    into.mkdir()
    if path.is_dir():
        subprocess.run(["cp", "-r", f"{path}/.", into], check=True)
    else:
        with tarfile.open(path) as archive:
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(into, **safe)
    runners = sorted(into.glob("**/wasi_p1_run.py"))
    if not runners:
        sys.exit(f"{path} holds no wasi_p1_run.py")
    return runners[0].parent


class WasiSuite(unittest.TestCase):
    def test_every_case_passes(self):
        temporary = harness.temporary_folder()
        self.addCleanup(temporary.cleanup)
        folder = pathlib.Path(temporary.name)

        def half(number):
            """Both modes of one half, in a copy of the suite, on a data directory of its own."""
            runner = unpack(suite(), folder / f"suite{number}")
            done = []
            for mode in MODES:
                adapter = self.adapter(folder / f"adapter{number}-{len(done)}",
                                       folder / f"data{number}", mode)
                texts = [self.drive(runner, adapter, word) for word in HALVES[number]]
                done.append("".join(texts))
            return done

        with concurrent.futures.ThreadPoolExecutor(len(HALVES)) as pool:
            halves = list(pool.map(half, range(len(HALVES))))
        for m, mode in enumerate(MODES):
            with self.subTest(mode=mode or "with a journal"):
                text = "".join(done[m] for done in halves)
                self.assertEqual(re.findall(r"^FAIL.*", text, re.M), [])
                self.assertEqual(len(re.findall(r"^ok ", text, re.M)), CASES, text)

    @staticmethod
    def adapter(path, data, mode):
        """The suite puts flags first, then the module, then its arguments; ours want a `--`."""
        command = shlex.join([harness.BIN, "run", "--data-dir", str(data), *mode])
        path.write_text('#!/bin/bash\nflags=()\n'
                        'while [[ $1 == --env || $1 == --dir ]]; do\n'
                        '    flags+=("$1" "$2")\n    shift 2\ndone\nmodule=$1\nshift\n'
                        f'exec {command} "${{flags[@]}}" "$module" -- "$@"\n')
        path.chmod(0o755)
        return path

    @staticmethod
    def drive(runner, adapter, word):
        return subprocess.run([sys.executable, runner / "wasi_p1_run.py", "--timeout", "60",
                               "--only", word, adapter], stdout=subprocess.PIPE,
                              env=harness.clean_environment(), timeout=600,
                              text=True, check=False).stdout


if __name__ == "__main__":
    if suite() is None:
        skips.skip("there is no wasi-testsuite here; WASI_TESTSUITE=FOLDER (or .tar.gz, of "
                   "https://github.com/WebAssembly/wasi-testsuite, branch prod/testsuite-base) names it")
    unittest.main(verbosity=2)
