"""A virtual environment with what a file of requirements pins, made once in the build folder."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent
# What pip says when the packages themselves are wrong: nothing to be skipped over.
TAMPERED = ("DO NOT MATCH THE HASHES", "requirements to have their versions pinned")


def skip(reason):
    print(f"skipped: {reason}", file=sys.stderr)
    sys.exit(SKIPPED)


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=600)


@contextlib.contextmanager
def alone(folder):
    """Of several tests that need this folder one makes it, and the others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(folder, requirements):
    shutil.rmtree(folder, ignore_errors=True)
    done = run(sys.executable, "-m", "venv", str(folder))
    if done.returncode:
        skip(f"no virtual environment can be made (Debian: apt-get install python3-venv):\n"
             f"{done.stdout}")
    done = run(str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps",
               "--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes",
               "--retries", "1", "-r", str(requirements))
    if done.returncode:
        if any(text in done.stdout for text in TAMPERED):
            sys.exit(f"the pinned packages are not what they were:\n{done.stdout}")
        skip(f"the packages cannot be had from PyPI here:\n{done.stdout}")


def enter(build, requirements="client-requirements.txt", name="venv-client"):
    """Go on in that environment: returns there, and never before."""
    folder = pathlib.Path(build).resolve() / name
    if pathlib.Path(sys.prefix) == folder:
        return
    python = folder / "bin/python"
    requirements = HERE / requirements
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    ready = folder / "ready"
    with alone(folder):
        if not ready.exists() or ready.read_text() != digest or run(str(python), "-V").returncode:
            make(folder, requirements)
            ready.write_text(digest)
    sys.stdout.flush()
    os.execv(python, [str(python), *sys.argv])
