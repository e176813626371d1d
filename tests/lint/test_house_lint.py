"""Each house rule catches its bad sample, and lets a good one pass."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("SHANNON_SOURCE") or Path(__file__).resolve().parents[2])
SRC, API = "durable-shannon/src/", "shannon-api/src/"
GUARD = "#ifndef SH_X_H\n#define SH_X_H\n{}\n#endif\n"


def lint(files, exceptions=""):
    """The rule names that house-lint reports for a tree of these files, and its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        listed = Path(folder, "allowed.exceptions")
        listed.write_text(exceptions)
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "house-lint", "--root", folder, "--exceptions", listed],
            text=True, capture_output=True, check=False)
        if done.returncode not in (0, 1):
            raise AssertionError(done.stderr)
        rules = [line.split(": ")[1] for line in done.stdout.splitlines()]
        return rules, done.returncode


class BadSamples(unittest.TestCase):
    # rule, file, text
    BAD = [
        ("layer", SRC + "base/a.c", '#include "loop/loop.h"\n'),
        ("layer", SRC + "policy/a.c", '#include "store/store.h"\n'),
        ("layer", SRC + "store/a.c", '#include "tools/tools.h"\n'),
        ("layer", SRC + "microsandbox/a.c", '#include "engine/engine.h"\n'),
        ("layer", API + "http/a.c", '#include "engine/engine.h"\n'),
        ("private", SRC + "engine/a.c", '#include "microsandbox/guest.h"\n'),
        ("private", API + "workflow/a.c", '#include "store/store_private.h"\n'),
        ("include", SRC + "engine/a.c", '#include "../store/store.h"\n'),
        ("door", SRC + "engine/a.c", "#include <wasmtime.h>\n"),
        ("door", SRC + "tools/a.c", "#include <wasmtime/func.h>\n"),
        ("door", SRC + "engine/a.c", '#include "native.h"\n'),
        ("door", API + "http/a.c", '#include "native.h"\n'),
        ("door", SRC + "store/a.c", '#include "native_sandbox.h"\n'),
        ("door", SRC + "store/a.c", "#include <curl/curl.h>\n"),
        ("door", SRC + "engine/a.c", "#include <uv.h>\n"),
        ("door", SRC + "loop/a.c", "#include <microhttpd.h>\n"),
        ("door", SRC + "loop/a.c", "#include <sodium.h>\n"),
        ("door", SRC + "tools/a.c", "#include <jansson.h>\n"),
        ("door", SRC + "tools/a.c", "#include <assert.h>\n"),
        ("malloc", SRC + "loop/a.c", "void f(void) {\n    g = malloc(3);\n}\n"),
        ("malloc", SRC + "loop/a.c", "void f(void) {\n    free(g);\n}\n"),
        ("malloc", SRC + "base/a.c", "char *f(void) {\n    return strdup(g);\n}\n"),
        ("malloc", "tests/unit/test_a.c", "void f(void) {\n    g(calloc(1, 2));\n}\n"),
        ("banned", SRC + "tools/a.c", "void f(void) {\n    strcpy(a, b);\n}\n"),
        ("banned", SRC + "tools/a.c", "void f(void) {\n    sprintf(a, b);\n}\n"),
        ("banned", SRC + "tools/a.c", "void f(void) {\n    char *p = strtok(a, b);\n}\n"),
        ("banned", SRC + "tools/a.c", "int f(void) {\n    return atoi(a);\n}\n"),
        ("banned", API + "a.c", "void f(void) {\n    char *p = alloca(n);\n}\n"),
        ("banned", API + "a.c", "void f(void) {\n    longjmp(a, 1);\n}\n"),
        ("inputs", SRC + "engine/a.c", "void f(void) {\n    t = time(NULL);\n}\n"),
        ("inputs", SRC + "engine/a.c", "void f(void) {\n    t = sh_wall_us();\n}\n"),
        ("inputs", SRC + "engine/a.c", 'void f(void) {\n    p = getenv("X");\n}\n'),
        ("inputs", SRC + "policy/a.c", "void f(void) {\n    sh_random_bytes(p, 3);\n}\n"),
        ("typedef", SRC + "base/a.h", GUARD.format("typedef struct a {\n    int b;\n} a_t;")),
        ("typedef", API + "a.c", "typedef enum { A } a_t;\n"),
        ("auto", SRC + "base/a.c", "void f(void) {\n    sh_auto(sh_buf_done) struct sh_buf b;\n}\n"),
        ("auto", API + "a.c", "void f(void) {\n    sh_auto(g) struct a b = h(1, 2), c;\n}\n"),
        ("auto", "tests/unit/test_a.c", "void f(void) {\n    sh_auto(sh_free_p) char *p, *q = 0;\n}\n"),
        ("guard", SRC + "base/a.h", "int f(void);\n"),
        ("guard", SRC + "base/a.h", "#pragma once\n"),
        ("guard", SRC + "base/a.h", "#ifndef A_H\n#define B_H\n#endif\n"),
        ("length", SRC + "base/a.c", "int a;\n" * 1201),
        ("length", SRC + "base/a.c", "int f(int a) {\n" + "    a++;\n" * 150 + "    return a;\n}\n"),
        ("complexity", SRC + "base/a.c",
         "int f(int a) {\n" + "    if (a) {\n        a++;\n    }\n" * 25 + "    return a;\n}\n"),
        ("words", SRC + "base/a.c", "/* TO" "DO */\n"),
        ("words", "scripts/a", "# good enough for " "now\n"),
        ("words", "native/src/a.rs", "// a st" "ub\n"),
        ("words", "tests/e2e/a.py", f"PATH = '{Path.home()}/notes'\n"),
        ("text", "cmake/A.cmake", "set(a b) \n"),
    ]

    def test_each_bad_sample_is_caught_by_its_rule_alone(self):
        for rule, name, text in self.BAD:
            with self.subTest(rule=rule, name=name, text=text[:60]):
                self.assertEqual(lint({name: text}), ([rule], 1))


class GoodSamples(unittest.TestCase):
    GOOD = [
        (SRC + "base/mem.c", "void *f(void) {\n    return malloc(3);\n}\n"),
        (SRC + "engine/a.c", '#include "store/store.h"\n#include "engine/private.h"\n'),
        (SRC + "microsandbox/a.c", '#include <wasmtime.h>\n#include "microsandbox/guest.h"\n'),
        (SRC + "store/store_surreal.c", '#include "native.h"\n'),
        (SRC + "microsandbox/a.c", '#include "native_sandbox.h"\n'),
        (SRC + "store/a.c", '#include "base/str.h"\n'),
        (API + "workflow/engine.c", '#include "engine/engine.h"\n#include <uv.h>\n'),
        (API + "native_bridge.c", '#include "native.h"\n'),
        ("tests/unit/test_a.c", '#include "../lib/b.h"\nvoid f(void) {\n    system(g);\n}\n'),
        (SRC + "tools/a.c", "/* malloc( and strcpy( in a comment */\nchar *p = \"free(x)\";\n"),
        (SRC + "tools/a.c", "void f(struct t *t) {\n    t->free(t);\n    t->ops.time(t);\n}\n"),
        (SRC + "engine/a.c", "void f(void) {\n    u = sh_event_time(e);\n}\n"),
        (SRC + "base/a.h", "/* What it is. */\n" + GUARD.format("struct a;")),
        (SRC + "base/a.h", GUARD.format("typedef void (*sh_a_fn)(void *arg);")),
        (SRC + "base/a.c", "void f(void) {\n    sh_auto(sh_buf_done) struct sh_buf b = {0}, c = g(1, 2);\n"
                           "    sh_auto(sh_free_p) char *p =\n        h((int[]){1, 2}, 3);\n}\n"),
        (SRC + "base/a.h", GUARD.format("/* sh_auto(f) int a; */\n"
                                        "#define sh_auto(f) __attribute__((cleanup(f)))\nint a;")),
        ("sdk/c/a.c", "char *f(void) {\n    return malloc(3);\n}\n"),
        (SRC + "base/a.c", "int a;\n" * 1200),
        (SRC + "base/a.c", "int f(int a) {\n" + "    a++;\n" * 147 + "    return a;\n}\n"),
        (SRC + "base/a.c",
         "int f(int a) {\n" + "    if (a) {\n        a++;\n    }\n" * 24 + "    return a;\n}\n"),
    ]

    def test_what_the_rules_allow_passes(self):
        for name, text in self.GOOD:
            with self.subTest(name=name, text=text[:60]):
                self.assertEqual(lint({name: text}), ([], 0))


class Exceptions(unittest.TestCase):
    BAD = {SRC + "loop/a.c": "void f(void) {\n    free(g);\n}\n"}

    def test_an_entry_excuses_its_breach_and_no_other(self):
        self.assertEqual(lint(self.BAD, f"malloc {SRC}loop/a.c free  # why\n"), ([], 0))
        rules, status = lint(self.BAD, f"malloc {SRC}loop/a.c malloc  # why\n")
        self.assertEqual((sorted(rules), status), (["exceptions", "malloc"], 1))

    def test_an_entry_that_excuses_nothing_is_a_breach(self):
        self.assertEqual(lint({}, f"malloc {SRC}loop/a.c free  # why\n"), (["exceptions"], 1))

    def test_an_entry_without_a_reason_is_a_breach(self):
        rules, _ = lint(self.BAD, f"malloc {SRC}loop/a.c free\n")
        self.assertEqual(sorted(rules), ["exceptions", "malloc"])


if __name__ == "__main__":
    unittest.main()
