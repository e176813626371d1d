"""`shannon new` makes a project that builds with `make`, whose `make test` passes without a network, and
whose agent runs; nothing that is there already is touched."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import toolchains  # noqa: E402
from toolchains import LANGUAGES, harness  # noqa: E402
from harness import BIN, ScriptedModel, shannon  # noqa: E402

# What is asked for; nothing of a proxy, so that whatever wants the network fails at once.
OFFLINE = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "CARGO_NET_OFFLINE": "true"}


def needs(language):
    """Skips where the project's compiler is missing, as the SDK's own tests do."""
    toolchains.build(language, toolchains.steps(language), "steps")


class New(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def new(self, language, name="my-agent", check=0):
        return shannon("new", "--lang", language, self.folder / name, check=check)

    def try_make(self, *targets, **more):
        env = {**os.environ, **OFFLINE, **more, "SHANNON": BIN,
               "SHANNON_DATA_DIR": str(self.folder / "data")}
        for name in ("SHANNON_BUILD", "SHANNON_BIN"):  # of these tests, not of a project
            env.pop(name, None)
        return subprocess.run(["make", *targets], cwd=self.folder / "my-agent", env=env,
                              capture_output=True, text=True, timeout=900, check=False)

    def make(self, *targets, **more):
        done = self.try_make(*targets, **more)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def project(self, language):
        needs(language)
        done = self.new("go" if language == "tinygo" else language)
        self.assertIn(b"Next: cd ", done.stdout)
        compiler = [f"GO={toolchains.tinygo_program()}"] if language == "tinygo" else []
        self.make(*compiler)
        for words in (1, 0):  # of the first test alone
            done = self.try_make("test", *compiler)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(done.stderr.count("compiling for this machine"), words, done.stderr)
        model = ScriptedModel(self.folder, {"default": {"content": "It scatters."}})
        self.addCleanup(model.stop)
        said = self.make("run", "QUERY=Why \"blue\"?", *compiler, **model.environment())
        self.assertEqual(json.loads(said)["answer"], "It scatters.")
        self.assertEqual(model.requests()[0]["last_user"],
                         'Answer in one sentence: Why "blue"?')

    def test_a_compiler_that_cannot_is_told_with_the_way_to_get_one(self):
        fake = self.folder / "fake"
        fake.mkdir()
        (fake / "rustc").write_text("#!/bin/sh\necho /nonexistent/lib\n")
        (fake / "rustc").chmod(0o755)
        for language, way, arguments, more in (
                ("c", "apt-get install .*wasi-libc", ["CC=false"], {}),
                ("cpp", "apt-get install .*libc\\+\\+abi-19-dev-wasm32", ["CXX=false"], {}),
                ("rust", "rustup target add wasm32-wasip1", [],
                 {"PATH": f"{fake}:{os.environ['PATH']}"})):
            with self.subTest(language=language):
                self.new(language)
                done = self.try_make(*arguments, **more)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, way)
                shutil.rmtree(self.folder / "my-agent")

    def test_what_is_there_is_left_alone(self):
        self.new("c")
        main = self.folder / "my-agent/src/main.c"
        main.write_text("mine")
        refused = self.new("c", check=125)
        self.assertIn(b"is there already", refused.stderr)
        self.assertEqual(main.read_text(), "mine")
        (self.folder / "file").write_text("mine")
        self.new("c", "file", check=125)
        os.symlink(self.folder / "nowhere", self.folder / "link")
        self.new("c", "link", check=125)
        self.assertFalse((self.folder / "nowhere").exists())

    def test_languages_and_names_that_cannot_be_are_refused_before_anything_is_made(self):
        self.assertIn(b"expected c, cpp, rust, go or python", self.new("cobol", check=125).stderr)
        self.assertIn(b"got nothing", shannon("new", self.folder / "x", check=125).stderr)
        for name in ("shannon", "Upper", "9to5", "sp ace", "a" * 65, "a.b", "-dash", "é"):
            with self.subTest(name=name):
                refused = shannon("new", "--lang", "c", "--", self.folder / name, check=125)
                self.assertIn(b"beginning with a letter", refused.stderr)
        self.assertEqual(os.listdir(self.folder), [])
        self.new("python", "a" * 64)

    def test_a_project_is_complete(self):
        for language in ("c", "cpp", "rust", "go", "python"):
            with self.subTest(language=language):
                self.new(language, f"agent-{language}")
                root = self.folder / f"agent-{language}"
                names = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
                for name in ("Makefile", "README.md", ".gitignore", f"agent-{language}.json",
                             "tests/model.py", "tests/test_agent.py"):
                    self.assertIn(name, names)
                texts = [(root / n).read_text() for n in names]
                self.assertFalse([n for n, t in zip(names, texts) if "{{name}}" in t])
                manifest = json.loads((root / f"agent-{language}.json").read_text())
                self.assertEqual(manifest["name"], f"agent-{language}")


def builds(language):
    return lambda self: self.project(language)


for each in LANGUAGES:
    setattr(New, f"test_a_project_in_{each}_builds_tests_and_runs", builds(each))


if __name__ == "__main__":
    unittest.main(verbosity=2)
