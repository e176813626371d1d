"""A virtual environment with what client-requirements.txt pins, made once in the build folder."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "client-requirements.txt"
# What pip says when the packages themselves are wrong: nothing to be skipped over.
TAMPERED = ("DO NOT MATCH THE HASHES", "requirements to have their versions pinned")


def skip(reason):
    print(f"skipped: {reason}", file=sys.stderr)
    sys.exit(SKIPPED)


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=600)


def make(folder):
    shutil.rmtree(folder, ignore_errors=True)
    done = run(sys.executable, "-m", "venv", str(folder))
    if done.returncode:
        skip(f"no virtual environment can be made (Debian: apt-get install python3-venv):\n"
             f"{done.stdout}")
    done = run(str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps",
               "--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes",
               "--retries", "1", "-r", str(REQUIREMENTS))
    if done.returncode:
        if any(text in done.stdout for text in TAMPERED):
            sys.exit(f"the pinned packages are not what they were:\n{done.stdout}")
        skip(f"the packages cannot be had from PyPI here:\n{done.stdout}")


def enter(build):
    """Go on in that environment: returns there, and never before."""
    folder = pathlib.Path(build).resolve() / "venv-client"
    if pathlib.Path(sys.prefix) == folder:
        return
    python = folder / "bin/python"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != digest or run(str(python), "-V").returncode:
        make(folder)
        ready.write_text(digest)
    sys.stdout.flush()
    os.execv(python, [str(python), *sys.argv])
