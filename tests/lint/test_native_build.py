"""scripts/native-build compiles once per key, alone, in a cache that is ours; cargo is a fake here."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(os.environ.get("SHANNON_SOURCE") or Path(__file__).resolve().parents[2])

CARGO = """#!{python}
import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/calls", "a") as f:
    f.write(" ".join(sys.argv[1:]) + "|" + os.environ.get("MAKEFLAGS", "") + "\\n")
if sys.argv[1] == "metadata":
    print(json.dumps({{"packages": [{{"name": "wasmtime-c-api-impl",
                                     "manifest_path": here + "/crate/Cargo.toml"}}]}}))
elif sys.argv[1] == "tree":
    print("a v1\\nb v1\\na v1 (*)")
elif os.path.exists(here + "/broken"):
    print("error: it does not compile", file=sys.stderr)
    sys.exit(101)
else:
    time.sleep(0.2)
    for name in "ab":
        print(json.dumps({{"reason": "compiler-artifact", "package_id": name,
                          "target": {{"kind": ["lib"]}}}}))
    release = sys.argv[sys.argv.index("--target-dir") + 1] + "/release"
    os.makedirs(release, exist_ok=True)
    line = "_48" if os.getcwd().endswith("48") else ""
    with open(release + "/libshannon_native" + line + ".a", "w") as f:
        f.write("archive" + line + " of " + open("../src/lib.rs" if line else "src/lib.rs").read())
"""


class NativeBuild(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.clone("one")
        self.tools = self.top / "tools"
        wasmtime = self.tools / "crate" / "include" / "wasmtime"
        wasmtime.mkdir(parents=True)
        (wasmtime.parent / "wasmtime.h").write_text("/* wasmtime.h */\n")
        (wasmtime / "conf.h.in").write_text(
            "#cmakedefine WASMTIME_FEATURE_POOLING_ALLOCATOR\n#cmakedefine WASMTIME_FEATURE_WASI\n")
        for name, text in (("cargo", CARGO.format(python=sys.executable)),
                           ("rustc", "#!/bin/sh\necho rustc 1.95.0\n")):
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)
        self.cache = self.top / "cache"

    def clone(self, name):
        clone = self.top / name
        (clone / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "native-build", clone / "scripts")
        (clone / "native" / "src").mkdir(parents=True)
        (clone / "native" / "Cargo.lock").write_text("lock\n")
        (clone / "native" / "Cargo.toml").write_text(
            '[dependencies.wasmtime-c-api-impl]\nversion = "1"\nfeatures = ["pooling-allocator"]\n')
        (clone / "native" / "src" / "lib.rs").write_text("// first\n")
        shutil.copytree(clone / "native", clone / "native" / "wasmtime-48",
                        ignore=shutil.ignore_patterns("src", "wasmtime-48"))
        return clone

    def start(self, clone, *arguments):
        env = dict(os.environ, PATH=f"{self.tools}:{os.environ['PATH']}", MAKEFLAGS="-j9",
                   SHANNON_NATIVE_CACHE=str(self.cache))
        return subprocess.Popen([sys.executable, self.top / clone / "scripts" / "native-build",
                                 *map(str, arguments)], env=env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def build(self, clone="one", *line):
        child = self.start(clone, *line, "archive", self.top / clone / "build" / "native")
        _, errors = child.communicate(timeout=60)
        return child.returncode, errors

    def builds(self):
        calls = self.tools / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [line for line in lines if line.startswith("build ")]

    def test_the_first_build_compiles_and_the_next_clone_takes_what_is_there(self):
        self.assertEqual(self.build()[0], 0)
        self.clone("two")
        status, errors = self.build("two")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(len(self.builds()), 1)
        for clone in ("one", "two"):
            native = self.top / clone / "build" / "native"
            self.assertEqual((native / "libshannon_native.a").read_text(), "archive of // first\n")
            self.assertTrue((native / "include" / "wasmtime.h").exists())

    def test_what_is_there_waits_for_nobody_who_compiles(self):
        self.build()
        with (self.cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(self.build(), (0, ""))

    def test_an_archive_that_somebody_removed_is_made_again(self):
        self.build()
        (self.top / "one" / "build" / "native" / "libshannon_native.a").unlink()
        self.assertEqual(self.build()[0], 0)
        native = self.top / "one" / "build" / "native"
        self.assertEqual((native / "libshannon_native.a").read_text(), "archive of // first\n")
        self.assertEqual(len(self.builds()), 2)

    def test_the_first_compile_says_what_it_does_and_how_long_it_takes(self):
        _, errors = self.build()
        self.assertIn("once on this machine", errors)
        self.assertIn("40 minutes", errors)

    def test_cargo_is_called_as_by_hand_and_sees_no_flags_of_make(self):
        self.build()
        call, makeflags = self.builds()[0].split("|")
        self.assertTrue(call.startswith(f"build --release --locked --target-dir {self.cache}/cargo"))
        self.assertEqual(makeflags, "")

    def test_a_changed_source_or_compiler_gets_its_own_archive(self):
        self.build()
        (self.top / "one" / "native" / "src" / "lib.rs").write_text("// second\n")
        self.assertEqual(self.build()[0], 0)
        native = self.top / "one" / "build" / "native"
        self.assertEqual((native / "libshannon_native.a").read_text(), "archive of // second\n")
        (self.tools / "rustc").write_text("#!/bin/sh\necho rustc 1.96.0\n")
        self.build()
        self.assertEqual(len(self.builds()), 3)

    def test_each_line_of_wasmtime_has_its_manifest_and_archive_and_they_share_cargos_folder(self):
        native = self.top / "one" / "build" / "native" / "libshannon_native.a"
        self.build()
        self.assertEqual(self.build("one", "--wasmtime", "48"), (0, mock.ANY))
        self.assertEqual(native.read_text(), "archive_48 of // first\n")
        self.assertEqual(self.build("one", "--wasmtime", "40"), (0, ""))
        self.assertEqual(native.read_text(), "archive of // first\n")
        self.assertEqual(len({call.split("--target-dir ")[1] for call in self.builds()}), 1)
        self.assertEqual(len(self.builds()), 2)
        (self.top / "one" / "native" / "wasmtime-48" / "Cargo.lock").write_text("another\n")
        self.assertEqual(self.build()[1], "")
        self.build("one", "--wasmtime", "48")
        self.assertEqual(len(self.builds()), 3)

    def test_an_unknown_line_of_wasmtime_is_refused_with_the_known_ones(self):
        status, errors = self.build("one", "--wasmtime", "47")
        self.assertEqual(status, 1)
        self.assertIn("expected 40 or 48", errors)

    def test_both_lines_ask_for_the_same_of_everything_but_wasmtime(self):
        """Else the second one compiles SurrealDB again."""
        lines = []
        for folder in ("native", "native/wasmtime-48"):
            manifest = tomllib.loads((ROOT / folder / "Cargo.toml").read_text())
            locked = tomllib.loads((ROOT / folder / "Cargo.lock").read_text())["package"]
            surreal = {(p["name"], p["version"]) for p in locked if "surreal" in p["name"]}
            for follower in ("wasmtime-c-api-impl", "wasmtime-environ", "addr2line"):
                del manifest["dependencies"][follower]["version"]
            profiles = manifest["profile"]["release"]
            own = profiles["package"].pop(manifest["package"]["name"])
            lines.append((manifest["dependencies"], profiles, own, surreal))
        self.assertEqual(lines[0], lines[1])

    def test_two_builds_at_once_compile_once(self):
        self.clone("two")
        children = [self.start(c, "archive", self.top / c / "build" / "native")
                    for c in ("one", "two")]
        for child in children:
            child.communicate(timeout=60)
            self.assertEqual(child.returncode, 0)
        self.assertEqual(len(self.builds()), 1)

    def test_only_the_newest_four_archives_are_kept(self):
        for number in range(6):
            (self.top / "one" / "native" / "src" / "lib.rs").write_text(f"// {number}\n")
            self.build()
        archives = list(self.cache.glob("lib-*"))
        self.assertEqual(len(archives), 4)
        self.assertIn((self.top / "one" / "build" / "native").resolve(),
                      [path.resolve() for path in archives])

    def test_a_failed_compile_shows_cargos_words_and_keeps_nothing(self):
        (self.tools / "broken").touch()
        status, errors = self.build()
        self.assertEqual(status, 1)
        self.assertIn("it does not compile", errors)
        self.assertEqual(list(self.cache.glob("lib-*")), [])
        (self.tools / "broken").unlink()
        self.assertEqual(self.build()[0], 0)

    def test_a_cache_that_others_can_reach_is_refused_with_the_way_out(self):
        self.cache.mkdir(mode=0o755)
        self.cache.chmod(0o755)
        status, errors = self.build()
        self.assertEqual(status, 1)
        self.assertIn("chmod 700", errors)
        self.assertEqual(self.builds(), [])

    def test_headers_need_no_compiler_and_name_our_features(self):
        dest = self.top / "headers"
        child = self.start("one", "headers", dest)
        child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0)
        conf = (dest / "wasmtime" / "conf.h").read_text()
        self.assertIn("#define WASMTIME_FEATURE_POOLING_ALLOCATOR\n", conf)
        self.assertIn("/* #undef WASMTIME_FEATURE_WASI */\n", conf)
        self.assertEqual(self.builds(), [])


if __name__ == "__main__":
    unittest.main()
