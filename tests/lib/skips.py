"""What is left out where a machine does not have what it needs: one line that nobody can miss, with the
way to get it. scripts/skipped collects these lines from the log of ctest."""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

SKIPPED = 77  # CTest's code, by tests/CMakeLists.txt
WAYS = {"go": "Go 1.22 or newer, from https://go.dev/dl", "cargo": "Rust, from https://rustup.rs",
        "rustc": "Rust, from https://rustup.rs", "node": "Debian: apt-get install nodejs",
        "npm": "Debian: apt-get install npm"}
WASI = "wasm32-wasip1"
LINE_MAX = 600  # pip and npm say much


def say(why):
    line = " ".join(str(why).split())
    line = line if len(line) <= LINE_MAX else line[:LINE_MAX] + "..."
    print(f"SKIPPED SKIPPED SKIPPED: {line}", file=sys.stderr, flush=True)


def skip(why):
    """None of this program's tests can run."""
    say(why)
    sys.exit(SKIPPED)


def missing(why):
    """This one cannot."""
    say(why)
    raise unittest.SkipTest(why)


def tool(*names):
    """The path of the first of these programs that is here; Debian names a package like its program
    where WAYS says nothing else."""
    for name in names:
        if shutil.which(name):
            return shutil.which(name)
    way = WAYS.get(names[0], f"Debian: apt-get install {names[0]}")
    return missing(f"there is no {' or '.join(names)} here ({way})")


def made(path):
    """That file, which `make` makes or fetches: a tree whose program alone was built has it not."""
    path = pathlib.Path(path)
    return path if path.exists() else missing(f"there is no {path}; `make` puts it there")


def python_wasm(build):
    """CPython for WebAssembly: the one that is named, or that of the build."""
    return made(os.environ.get("SHANNON_PYTHON_WASM") or
                pathlib.Path(build) / "share/shannon/python.wasm")


def rustc_for_wasi():
    """rustc, if it can compile for WASI."""
    rustc = tool("rustc")
    library = subprocess.run([rustc, "--print", "target-libdir", "--target", WASI],
                             capture_output=True, text=True, check=False).stdout.strip()
    if not list(pathlib.Path(library).glob("libstd-*.rlib")):
        missing(f"this Rust has no {WASI}; `rustup target add {WASI}` installs it")
    return rustc
