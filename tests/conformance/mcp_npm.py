"""The official TypeScript SDK of the Model Context Protocol, installed once a build as pinned."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "scripts"), str(HERE.parent / "lib")]
import pinned  # noqa: E402
import skips  # noqa: E402


def folder(build):
    """Where node finds it, beside the programs of mcp-client/; or the test is skipped."""
    try:
        return pinned.npm(pathlib.Path(build) / "mcp-client", HERE / "mcp-client")
    except pinned.Missing as why:
        return skips.missing(why)
