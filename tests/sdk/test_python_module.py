"""`import shannon` in a script: its bytes are frozen with the task, so that a replay has what the run
had, whatever is installed by then and wherever the task is carried."""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "crash"), str(TESTS / "lib")]
import harness  # noqa: E402
import skips  # noqa: E402
from harness import BIN, BUILD, shannon  # noqa: E402

SUM = b"""
import os, shannon
print(shannon.call("calculator", expression="6*7")["value"], sorted(os.listdir("/"))[1:])
"""


class Json(unittest.TestCase):
    """Requests and answers are written and read as `json` does it, by the same parts of CPython."""

    @classmethod
    def setUpClass(cls):
        spec = importlib.util.spec_from_file_location("shannon", harness.SOURCE / "sdk/python/shannon.py")
        cls.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(cls.module)

    def test_values_are_written_and_read_as_json_does(self):
        loop = []
        loop.append(loop)
        for value in ({"a": [1, -2.5e300, 1e-7, True, None, "\u00e9\u2028\"\\\n\x00\x7f"], "b": {}},
                      {1: 2, None: 3, True: 4, 1.5: 5}, (1, (2, 3)), 10**30, -0.0, "", "\ud800",
                      float("nan"), float("-inf"), {1, 2}, b"x", object, {(1, 2): 3}, loop):
            with self.subTest(value=value):
                try:
                    wanted = json.dumps(value, ensure_ascii=False, allow_nan=False)
                except (TypeError, ValueError) as error:
                    with self.assertRaisesRegex(type(error), "^" + re.escape(str(error)) + "$"):
                        self.module._text(value)
                    continue
                self.assertEqual(self.module._text(value), wanted)
                self.assertEqual(repr(self.module._parse(wanted, 0)[0]), repr(json.loads(wanted)))


class PythonModule(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        interpreter = skips.made(BUILD / "share/shannon/python.wasm")
        folder = harness.temporary_folder()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.data = cls.folder / "data"
        # A share folder of our own, whose module can change.
        cls.share = cls.folder / "share"
        (cls.share / "python").mkdir(parents=True)
        os.symlink(interpreter, cls.share / "python.wasm")
        cls.module = cls.share / "python/shannon.py"
        cls.installed = (BUILD / "share/shannon/python/shannon.py").read_bytes()

    def setUp(self):
        self.module.write_bytes(self.installed)

    def shannon(self, *args, data=None, **more):
        env = harness.clean_environment(SHANNON_SHARE=self.share)
        return shannon(*args, "--data-dir", data or self.data, env=env, timeout=300, **more)

    def run_script(self, text, name="main.py", check=0):
        path = self.folder / name
        path.write_bytes(text)
        return self.shannon("run", path, check=check)

    def last(self):
        listed = json.loads(self.shannon("tasks", "--json", check=0).stdout)
        return listed["tasks"][0]["task_id"]

    def verified(self, task, data=None):
        done = self.shannon("verify", task, "--json", data=data)
        return json.loads(done.stdout).get("ok"), done.stdout

    def started(self, task):
        archive = self.shannon("export", "--output", "-", task, check=0).stdout
        line = next(x for x in archive.split(b"\n") if b"WorkflowStarted" in x)
        return json.loads(json.loads(line[line.index(b'{"body"'):])["body"])

    def test_a_script_imports_it_and_replays_under_the_bytes_it_began_with(self):
        done = self.run_script(SUM)
        self.assertEqual(done.stdout, b"42 ['main.py', 'shannon.py']\n", done.stderr)
        task = self.last()
        self.module.write_bytes(b"raise SystemExit('another version')\n")
        self.assertEqual(self.verified(task)[0], True)
        done = self.run_script(SUM, check=1)
        self.assertIn(b"another version", done.stderr)

    def test_it_is_compiled_as_it_ships(self):
        data = self.folder / "shipped"
        path = self.folder / "compiled.py"
        path.write_text("import os, shannon\nshannon.call('calculator', expression='1')\n"
                        "print(sorted(os.listdir('/')), shannon.__file__)\n")
        done = shannon("run", path, "--data-dir", data, check=0, timeout=300)
        self.assertEqual(done.stdout, b"['compiled.py', 'shannon.pyc'] /shannon.pyc\n", done.stderr)
        listed = json.loads(shannon("tasks", "--json", "--data-dir", data, check=0).stdout)
        task = listed["tasks"][0]["task_id"]
        self.assertEqual(self.verified(task, data)[0], True)
        # Another interpreter may not understand it.
        python = BUILD / "share/shannon/python.wasm"
        done = shannon("run", path, "--data-dir", data, check=0, timeout=300,
                       env=harness.clean_environment(SHANNON_PYTHON_WASM=python))
        self.assertEqual(done.stdout, b"['__pycache__', 'compiled.py', 'shannon.py'] /shannon.py\n",
                         done.stderr)

    def test_it_brings_no_other_module_in_python(self):
        done = self.run_script(b"""
import sys
before = set(sys.modules)
import shannon
shannon.call("calculator", expression="6*7")
print(sorted(set(sys.modules) - before))
""")
        self.assertEqual(done.stdout, b"['_json', 'errno', 'shannon']\n", done.stderr)

    def test_an_exported_task_carries_it(self):
        self.run_script(SUM)
        task, out = self.last(), self.folder / "task.tar"
        self.shannon("export", "--with-interpreter", "--output", out, task, check=0)
        there = self.folder / "there"
        (there).mkdir(mode=0o700)
        shutil.copytree(self.data / "aot", there / "aot")
        self.shannon("import", out, data=there, check=0)
        self.assertEqual(self.verified(task, there)[0], True)

    def test_a_script_that_does_not_speak_of_it_finds_its_directory_empty(self):
        self.assertEqual(self.run_script(b"import os; print(os.listdir('/'))").stdout,
                         b"['main.py']\n")

    def test_a_script_of_that_name_is_the_script(self):
        done = self.run_script(b"import os; print('shannon', os.listdir('/'))", "shannon.py")
        self.assertEqual(done.stdout, b"shannon ['shannon.py']\n")

    def test_changed_bytes_under_its_hash_are_told(self):
        self.module.write_bytes(self.installed + b"# mine\n")
        self.run_script(SUM)
        task = self.last()
        kept = self.data / "modules" / self.started(task)["python_module"]
        self.assertEqual(kept.read_bytes(), self.installed + b"# mine\n")
        kept.chmod(0o600)
        kept.write_bytes(b"print('edited')\n")
        good, said = self.verified(task)
        self.assertEqual(good, False)
        self.assertIn(b"mismatch", said)

    def test_a_script_that_a_script_runs_has_it_too(self):
        path = self.folder / "parent.py"
        path.write_text("""
import shannon
inner = "import shannon; print('in'); shannon.output(shannon.input())"
done = shannon.python(inner, input={"a": 1})
print(done["stdout"], done["result"], done["exit_status"], end="")
""")
        done = self.shannon("run", "--tool", "python", path, check=0)
        self.assertEqual(done.stdout, b"in\n {'a': 1} 0", done.stderr)
        tasks = json.loads(self.shannon("tasks", "--json", check=0).stdout)["tasks"][:2]
        self.assertEqual([self.verified(t["task_id"])[0] for t in tasks], [True, True])

    def test_requests_that_cannot_be_are_errors_of_their_own_and_the_next_ones_are_answered(self):
        done = self.run_script(b"""
import shannon
deep = []
for _ in range(70):
    deep = [deep]
for value in ("a\\0b", 10**30, deep, "x" * (1 << 20)):
    try:
        shannon.call("calculator", expression="1+1", value=value)
    except shannon.Error as error:
        print(error.code, "NUL" in error.message)
beside = shannon.start("calculator", expression="1+1")
try:
    shannon.start("calculator", expression="\\0").wait()
except shannon.Error as error:
    print(error.code, beside.wait())
many = [shannon.start("signal", name="never") for _ in range(256)]
try:
    shannon.start("calculator", expression="1+1")
except shannon.Error as error:
    print(error.code)
try:
    shannon.checkpoint({})
except shannon.Error as error:
    print(error.code)
for one in many[1:]:
    one.drop()
try:
    shannon.checkpoint({})
except shannon.Error as error:
    print(error.code)
""")
        self.assertEqual(done.stdout.decode().splitlines(), [
            "invalid_json True", "invalid_json False", "limit_exceeded False",
            "limit_exceeded False", "invalid_json {'value': 2}", "limit_exceeded",
            "invalid_argument", "invalid_argument"], done.stderr)

    def test_errors_are_exceptions_with_a_code(self):
        done = self.run_script(b"""
import shannon
try:
    shannon.call("http", url="https://example.org/")
except shannon.Error as error:
    print(error.code, error.retryable)
""")
        self.assertEqual(done.stdout, b"permission_denied False\n", done.stderr)


if __name__ == "__main__":
    if not os.path.exists(BIN):
        raise SystemExit(f"{BIN}: build it first")
    unittest.main(verbosity=2)
