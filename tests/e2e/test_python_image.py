"""The interpreter's image runs a script as the interpreter does: the same output, the same end. It
is made anew byte for byte, and taken only for scripts that meet nothing else at their start."""

import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import harness  # noqa: E402
import skips  # noqa: E402
from harness import BIN, BUILD, SOURCE, clean_environment, shannon  # noqa: E402

SHARE = BUILD / "share/shannon"
PLAIN, IMAGE = SHARE / "python.wasm", SHARE / "python-image.wasm"
PUBLISHED, MADE = BUILD / "python/python.wasm", BUILD / "python/python-image.wasm"  # not optimized
PROGRAMS = SOURCE / "tests/programs/python"

# name: (script, arguments, stdin). Nothing in them prints an address or the order of a set.
SCRIPTS = {
    "print": ("print(1)\n", [], b""),
    "empty": ("", [], b""),
    "arguments": ("import sys\nprint(sys.argv, sys.orig_argv, __file__, __name__)\n",
                  ["-c", "--", "", "two words", "\u00e9\u4e2d\U0001f600", "x" * 5000], b""),
    "many_arguments": ("import sys\nprint(len(sys.argv), sys.argv[-1])\n",
                       [str(n) for n in range(900)], b""),
    "what_sys_says": ("""
import os, site, sys
for name in ("path", "flags", "executable", "_base_executable", "prefix", "exec_prefix",
             "base_prefix", "platlibdir", "version", "platform", "byteorder", "maxsize",
             "warnoptions", "_xoptions", "pycache_prefix", "dont_write_bytecode", "hash_info",
             "meta_path", "implementation", "thread_info", "builtin_module_names", "argv"):
    print(name, getattr(sys, name, "none"))
print(sorted(sys.modules), sorted(sys.path_importer_cache), sorted(vars(sys)))
print(dict(os.environ), os.getcwd(), os.listdir("/"), os.listdir("."), os.umask(0o22))
print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.getfilesystemencoding(),
      sys.getfilesystemencodeerrors(), sys.getdefaultencoding(), sys.get_int_max_str_digits())
print(site.getsitepackages(), site.ENABLE_USER_SITE, sorted(globals()), __builtins__)
""", [], b""),
    "streams": ("""
import sys
for s in (sys.stdin, sys.stdout, sys.stderr):
    print(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.write_through, s.isatty(),
          s.seekable(), s.fileno(), s.buffer.raw.closefd, s.newlines, s.closed)
print(sys.stdout is sys.__stdout__, sys.stdin is sys.__stdin__)
sys.stderr.write("to stderr")
""", [], b""),
    "stdin": ("""
import sys
print(repr(input()), repr(sys.stdin.readline()), sys.stdin.buffer.read())
try:
    input("more? ")
except EOFError as e:
    print(repr(e))
""", [], "eins\nzwei \u00e9\nrest\x00\xff".encode("latin-1", "replace") + b"\n"),
    "traceback": ("def f():\n    raise ValueError('x')\n\nf()\n", [], b""),
    "chained": ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e\n",
                [], b""),
    "syntax_error": ("print('never')\nif:\n", [], b""),
    "null_byte": ("print(1)\n\0\n", [], b""),
    "bad_encoding": ("# -*- coding: none-such -*-\n", [], b""),
    "latin1_source": ("# -*- coding: latin-1 -*-\nprint(ascii('\u00e9'))\n", [], b""),
    "exit_0": ("import sys\nprint('a', end='')\nsys.exit()\n", [], b""),
    "exit_7": ("import sys\nsys.exit(7)\n", [], b""),
    "exit_text": ("import sys\nsys.exit('because')\n", [], b""),
    "exit_300": ("raise SystemExit(300)\n", [], b""),
    "exit_at_once": ("import os\nprint('lost')\nos._exit(3)\n", [], b""),
    "keyboard_interrupt": ("raise KeyboardInterrupt\n", [], b""),
    "atexit": ("""
import atexit, sys
class Last:
    def __del__(self):
        sys.__stdout__.write("deleted\\n")
kept = Last()
atexit.register(print, "first registered")
atexit.register(lambda: 1 / 0)
sys.stdout.write("no line end")
""", [], b""),
    "broken_stdout": ("import sys\nsys.stdout.close()\n", [], b""),
    "excepthook": ("import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[1])\n1 / 0\n", [],
                   b""),
    "main_module": ("""
import __main__, runpy, sys
print(__main__.__file__, sys.modules["__main__"].__dict__ is globals(), __spec__, __cached__,
      __loader__.__class__.__name__, __package__, __doc__)
open("/helper.py", "w").write("print('helper', __name__, __file__)\\n")
import helper
runpy.run_path("/helper.py", run_name="ran")
print(sorted(__import__("os").listdir("/")))
""", [], b""),
    "recursion": ("""
def f(n):
    return f(n + 1)
try:
    f(0)
except RecursionError as e:
    print(e)
""", [], b""),
    "memory": ("""
try:
    x = bytearray(1 << 30)
except MemoryError:
    print("no memory")
print(sum(len(b"x" * 100000) for _ in range(100)))
""", [], b""),
    "gc": ("import gc\nprint(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks)\n",
           [], b""),
    "warnings": ("import warnings\nwarnings.warn('careful')\nprint(warnings.filters)\n"
                 "def f(): return 1 is 1\n", [], b""),
    "locale": ("import locale\nprint(locale.getlocale(), locale.getpreferredencoding())\n", [], b""),
    "breakpoint": ("breakpoint()\n", [], b"p 6 * 7\nc\n"),
    "frozen_modules": ("import this, __hello__\n__hello__.main()\n", [], b""),
    "compiled": ("import py_compile, sys\nprint(py_compile.compile('/compiled.py'))\n", [], b""),
    "builtins": ("print(sorted(dir(__builtins__)), copyright, credits, exit, quit)\n", [], b""),
}

IMPORTS = """
import sys
for name in sorted(sys.stdlib_module_names - {"antigravity", "__main__"}):
    try:
        m = __import__(name)
        print(name, getattr(m, "__file__", None), len(dir(m)))
    except BaseException as e:
        print(name, type(e).__name__, str(e).split(" at 0x")[0])
print(len(sys.modules))
"""


class PythonImage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for module in (PLAIN, IMAGE):
            skips.made(module)
        folder = harness.temporary_folder()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.hashes = {name: subprocess.run(
            ["sha256sum", path], capture_output=True, check=True).stdout[:64].decode()
            for name, path in (("plain", PLAIN), ("image", IMAGE))}
        for plain in (False, True):  # compiled once each
            done = cls.run_script(cls.script("warm.py", "print(1)\n"), plain=plain)
            assert (done.returncode, done.stdout) == (0, b"1\n"), done

    @classmethod
    def script(cls, name, text):
        path = cls.folder / name
        path.write_bytes(text.encode("latin-1" if "latin-1" in text else "utf-8"))
        return path

    @classmethod
    def run_script(cls, script, *args, plain=False, stdin=b"", flags=(), timeout=600):
        more = {"SHANNON_PYTHON_WASM": PLAIN} if plain else {}
        env = clean_environment(**more)
        if not plain:
            env.pop("SHANNON_PYTHON_WASM", None)
        return shannon("run", "--data-dir", cls.folder / "data", *flags, script, "--", *args,
                       stdin=stdin, timeout=timeout, env=env)

    def interpreter(self, *flags, name="print.py", plain=False):
        """Which one WorkflowStarted froze, and the task."""
        done = self.run_script(self.script(name, "print(1)\n"), plain=plain,
                               flags=("--events", *flags))
        self.assertEqual(done.returncode, 0, done)
        started = next(json.loads(line) for line in done.stderr.splitlines()
                       if b'"WorkflowStarted"' in line)
        which = {v: k for k, v in self.hashes.items()}
        return which[started["body"]["interpreter"]]

    def same(self, script, *args, stdin=b"", flags=(), in_order=list):
        theirs, ours = (self.run_script(script, *args, plain=plain, stdin=stdin, flags=flags)
                        for plain in (True, False))

        def told(done):
            texts = (re.sub(rb" at 0x[0-9a-f]+", b" at 0x", t) for t in (done.stdout, done.stderr))
            return [done.returncode, *(in_order(t.split(b"\n")) for t in texts)]
        self.assertEqual(told(theirs), told(ours))
        return ours

    def test_scripts_cannot_tell_the_image_from_the_interpreter(self):
        for name, (text, args, stdin) in SCRIPTS.items():
            with self.subTest(script=name):
                self.same(self.script(f"case_{name}.py", text), *args, stdin=stdin)

    def test_every_module_of_the_library_is_imported_alike(self):
        done = self.same(self.script("imports.py", IMPORTS), flags=("--fuel", "100000000000"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(done.stdout.count(b"\n"), 250)

    def test_programs_of_a_day_run_alike(self):
        daily = self.same(PROGRAMS / "daily.py", "/")
        self.assertEqual(daily.returncode, 0, daily.stderr)
        self.same(PROGRAMS / "refused.py")
        for guest in sorted((SOURCE / "tests/guests").glob("*.py")):
            with self.subTest(guest=guest.name):
                # What runs side by side ends in any order.
                self.same(guest, "x", stdin=b"typed\n",
                          in_order=sorted if guest.name == "par.py" else list)

    def test_it_is_taken_where_the_start_would_be_the_same(self):
        (self.folder / "mapped").mkdir()
        self.assertEqual(self.interpreter(), "image")
        self.assertEqual(self.interpreter("--argv0", "zed"), "image")
        self.assertEqual(self.interpreter("--fuel", "1000000000", "--memory", "64MiB"), "image")
        self.assertEqual(self.interpreter("--env", "A=b"), "plain")
        self.assertEqual(self.interpreter("--env", "PYTHONOPTIMIZE=1"), "plain")
        self.assertEqual(self.interpreter("--dir", f"{self.folder / 'mapped'}::/mapped"), "plain")
        self.assertEqual(self.interpreter("--argv0", "/bin/zed"), "plain")
        self.assertEqual(self.interpreter(plain=True), "plain", "one that was named is used as is")

    def test_what_it_ran_replays_and_verifies(self):
        script = self.script("replayed.py", "import random, time\n"
                             "print(random.random(), time.time(), hash('x'))\n")
        done = self.run_script(script, flags=("--json",))
        self.assertEqual(done.returncode, 0, done)
        checked = shannon("verify", "--data-dir", self.folder / "data", "--all", timeout=900)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_random_numbers_are_new_in_each_run(self):
        script = self.script("draws.py",
                             "import random, os\nprint(random.random(), os.urandom(8))\n")
        one, two = self.run_script(script), self.run_script(script)
        self.assertEqual((one.returncode, two.returncode), (0, 0), (one, two))
        self.assertNotEqual(one.stdout, two.stdout)

    def on_terminal(self, script, plain):
        env = clean_environment(**({"SHANNON_PYTHON_WASM": PLAIN} if plain else {}))
        master, slave = pty.openpty()
        seen = []

        def collect():
            try:
                while data := os.read(master, 4096):
                    seen.append(data)
            except OSError:  # the last writer has gone
                pass
        reader = threading.Thread(target=collect)
        process = subprocess.Popen([BIN, "run", "--data-dir", self.folder / "data", script],
                                   stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        reader.start()
        try:
            status = process.wait(600)
        finally:
            process.kill()
            process.wait()
        reader.join(60)
        os.close(master)
        return status, b"".join(seen)

    def test_a_terminal_is_written_line_by_line(self):
        script = self.script("terminal.py", """
import os, sys
print([(s.isatty(), s.line_buffering) for s in (sys.stdin, sys.stdout, sys.stderr)])
print("before")
os.write(1, b"then\\n")
""")
        theirs, ours = self.on_terminal(script, True), self.on_terminal(script, False)
        self.assertEqual(theirs, ours)
        self.assertIn(b"[(True, True), (True, True), (True, True)]\r\nbefore\r\nthen\r\n", ours[1])

    def make(self, python, cache):
        target = self.folder / "made.wasm"
        env = clean_environment(XDG_CACHE_HOME=cache)
        done = subprocess.run([SOURCE / "scripts/python-image", BIN, python, target], env=env,
                              capture_output=True, timeout=900, check=False)
        return done, target

    def test_the_same_image_is_made_again(self):
        cache = self.folder / "cache"
        done, target = self.make(PUBLISHED, cache)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(target.read_bytes(), MADE.read_bytes())
        kept = next((cache / "shannon/python").iterdir())
        kept.write_bytes(kept.read_bytes()[:-1] + b"x")  # a cache that was damaged is not used
        target.unlink()
        self.assertEqual(self.make(PUBLISHED, cache)[0].returncode, 0)
        self.assertEqual(target.read_bytes(), MADE.read_bytes())

    def test_the_optimizer_uses_no_cache_that_was_damaged(self):
        small = BUILD / "guests/hello.wasm"
        target = self.folder / "optimized.wasm"
        command = [SOURCE / "scripts/optimize-wasm", small, target]
        env = clean_environment(XDG_CACHE_HOME=self.folder / "cache")
        subprocess.run(command, env=env, check=True, timeout=300)
        made = target.read_bytes()
        self.assertEqual(shannon("run", "--ephemeral", target).returncode, 0)
        kept = next((self.folder / "cache/shannon/python").glob("optimized-*.wasm"))
        self.assertEqual(kept.read_bytes(), made)
        kept.write_bytes(made[:-1] + b"x")
        subprocess.run(command, env=env, check=True, timeout=300)
        self.assertEqual(target.read_bytes(), made)

    def test_the_doctor_names_it(self):
        for plain in (False, True):
            env = clean_environment(**({"SHANNON_PYTHON_WASM": PLAIN} if plain else {}))
            done = shannon("doctor", "--json", "--data-dir", self.folder / "data", env=env)
            with self.subTest(plain=plain):
                found = next(c for c in json.loads(done.stdout)["checks"]
                             if c["check"] == "python image")
                self.assertEqual(found["state"], "ok")
                self.assertRegex(found["text"], "SHANNON_PYTHON_WASM" if plain else str(IMAGE.name))

    def test_no_image_is_made_of_another_interpreter(self):
        other = self.folder / "other.wasm"
        other.write_bytes(PUBLISHED.read_bytes()[:-1])
        done, target = self.make(other, self.folder / "cache-of-none")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"the places are known for", done.stderr)
        self.assertFalse((self.folder / "cache-of-none").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
