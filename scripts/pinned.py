"""Packages of others as a file pins them, installed once a build: a virtual environment of PyPI's, a
folder of npm's. Whoever needs the same folder at the same time waits for the one that makes it.

Missing says why they cannot be had here, which is a reason to skip; Tampered that they are not what
was pinned, which is none."""

import contextlib
import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys

PATIENCE = 600
TAMPERED = ("DO NOT MATCH THE HASHES", "requirements to have their versions pinned", "EINTEGRITY")


class Missing(Exception):
    pass


class Tampered(Exception):
    pass


def install(command, cwd=None):
    try:
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=PATIENCE,
                              cwd=cwd)
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} took more than {PATIENCE} s") from None
    if any(text in done.stdout for text in TAMPERED):
        raise Tampered(f"the pinned packages are not what they were:\n{done.stdout}")
    return done.returncode, done.stdout.strip()


@contextlib.contextmanager
def made(folder, pins, is_sound):
    """Gives whether the folder has to be made anew; it counts as made when the block is left well.
    `pins` is what it depends on; is_sound() may doubt one that was made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(pins + sys.version.encode()).hexdigest()
    ready = folder / "ready"
    with open(f"{folder}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists() and ready.read_text() == digest and is_sound():
            yield False
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield True
        ready.write_text(digest)


def runs(python):
    """A virtual environment breaks when the interpreter that it was made of goes."""
    try:
        return subprocess.run([python, "-V"], stdout=subprocess.DEVNULL, check=False,
                              timeout=60).returncode == 0
    except OSError:
        return False


def python(folder, requirements):
    """The interpreter of a virtual environment in `folder` that has what the file `requirements`
    pins by version and hash."""
    folder = pathlib.Path(folder).resolve()
    program = folder / "bin/python"
    with made(folder, pathlib.Path(requirements).read_bytes(), lambda: runs(program)) as wanted:
        if wanted:
            status, said = install([sys.executable, "-m", "venv", folder])
            if status:
                raise Missing("no virtual environment can be made (Debian: apt-get install "
                              f"python3-venv):\n{said}")
            status, said = install([program, "-m", "pip", "install", "--quiet", "--no-deps",
                                    "--disable-pip-version-check", "--only-binary", ":all:",
                                    "--require-hashes", "--retries", "1", "-r", requirements])
            if status:
                raise Missing(f"the packages cannot be had from PyPI here:\n{said}")
    return program


def npm(folder, source):
    """`folder` with a copy of the files of `source` and what its package-lock.json pins."""
    for name in ("node", "npm"):
        if not shutil.which(name):
            raise Missing(f"{name} is not installed (Debian: apt-get install {name})")
    folder, source = pathlib.Path(folder).resolve(), pathlib.Path(source)
    with made(folder, (source / "package-lock.json").read_bytes(), lambda: True) as wanted:
        folder.mkdir(exist_ok=True)
        for path in source.iterdir():
            if path.is_file():
                shutil.copy(path, folder / path.name)
        if wanted:
            status, said = install(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
                                    "--loglevel=error"], cwd=folder)
            if status:
                raise Missing(f"the packages cannot be had from npm here:\n{said}")
    return folder
