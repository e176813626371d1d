"""The tests of this folder that need packages of PyPI's run again in an environment that has them."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "scripts"), str(HERE.parent / "lib")]
import pinned  # noqa: E402
import skips  # noqa: E402


def enter(build, requirements="client-requirements.txt", name="venv-client"):
    """Go on in that environment: returns there, and never before."""
    folder = pathlib.Path(build).resolve() / name
    if pathlib.Path(sys.prefix) == folder:
        return
    try:
        python = pinned.python(folder, HERE / requirements)
    except pinned.Missing as why:
        skips.skip(why)
    sys.stdout.flush()
    os.execv(python, [str(python), *sys.argv])
