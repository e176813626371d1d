"""A server made with the official SDK: over standard input and output, or, given a port, HTTP."""

import sys

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import ToolAnnotations

server = FastMCP("official", port=int(sys.argv[1]) if len(sys.argv) > 1 else 0, log_level="ERROR")


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def explode(why: str) -> str:
    """Fail."""
    raise ValueError(why)


@server.tool()
async def talk(context: Context) -> str:
    """Tell, then answer."""
    await context.info("one")
    await context.report_progress(1, 2, "half of it")
    await context.info("two")
    return "told"


if len(sys.argv) > 1:
    print(sys.argv[1], flush=True)
server.run("streamable-http" if len(sys.argv) > 1 else "stdio")
