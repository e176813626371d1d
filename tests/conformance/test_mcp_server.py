"""Shannon as an MCP server, to clients that others wrote: the official SDKs of Python and TypeScript,
over stdin and stdout and over HTTP."""

import asyncio
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "e2e"))
import client_venv  # noqa: E402
import mcp_npm  # noqa: E402
import skips  # noqa: E402

client_venv.enter(os.environ.get("SHANNON_BUILD", HERE.parents[1] / "build/dev"),
                  "mcp-requirements.txt", "venv-mcp")

import mcp  # noqa: E402
from mcp import types  # noqa: E402
from mcp.client.stdio import stdio_client  # noqa: E402
from mcp.client.streamable_http import streamablehttp_client  # noqa: E402
from test_api import BIN, BUILD, Server  # noqa: E402

PATIENCE = 600
POLICY = '[[rules]]\nagent = "*"\nask = { tools = ["calculator"] }\n'
TOOLS = ["pending_approvals", "run_python", "run_wasm", "submit_task", "task_status"]


def guest():
    return base64.b64encode((pathlib.Path(BUILD) / "guests/activity.wasm").read_bytes()).decode()


class Folder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Each of these clients runs Python in the sandbox, too."""
        skips.python_wasm(BUILD)
        cls.folder = tempfile.mkdtemp(prefix="shannon-mcp-sdk-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        (pathlib.Path(cls.folder) / "policy.toml").write_text(POLICY)

    def serve(self):
        server = Server(self.folder)
        self.addCleanup(server.stop)
        key = (pathlib.Path(self.folder) / "mcp-key").read_text().strip()
        return server.facts["url"] + "/mcp", key


class Python(Folder):
    async def use(self, streams):
        questions, progress = [], []

        async def elicited(_context, params):
            questions.append(params.message)
            return types.ElicitResult(action="accept", content={"decision": "once"})

        async def told(_progress, _total, message):
            progress.append(message)

        async with streams as pair, mcp.ClientSession(
                pair[0], pair[1], elicitation_callback=elicited) as session:
            hello = await session.initialize()
            self.assertEqual(hello.serverInfo.name, "shannon")
            self.assertEqual(hello.protocolVersion, types.LATEST_PROTOCOL_VERSION)
            await session.send_ping()
            listed = await session.list_tools()
            self.assertEqual(sorted(t.name for t in listed.tools), TOOLS)
            ran = await session.call_tool("run_python", {"code": "print(6 * 7)", "wait_s": 250},
                                          progress_callback=told)
            self.assertFalse(ran.isError, ran)
            self.assertEqual(ran.structuredContent["stdout"], "42\n")
            self.assertTrue(any(p.startswith("started as ") for p in progress), progress)
            failed = await session.call_tool("run_python", {"code": "1 / 0", "wait_s": 250})
            self.assertTrue(failed.isError)
            self.assertIn("ZeroDivisionError", failed.content[0].text)
            asked = await session.call_tool("run_wasm", {"module_base64": guest(), "wait_s": 250})
            self.assertEqual(asked.structuredContent["result"], {"ok": {"value": 42}})
            self.assertEqual(len(questions), 1)
            status = await session.call_tool("task_status",
                                             {"task_id": ran.structuredContent["task_id"]})
            self.assertEqual(status.structuredContent["status"], "completed")
            pending = await session.call_tool("pending_approvals", {})
            self.assertEqual(pending.structuredContent["approvals"], [])
            with self.assertRaises(mcp.McpError):
                await session.list_prompts()

    def test_over_stdio(self):
        parameters = mcp.StdioServerParameters(
            command=BIN, args=["mcp", "--data-dir", self.folder], env=dict(os.environ))
        asyncio.run(asyncio.wait_for(self.use(stdio_client(parameters)), PATIENCE))

    def test_over_http(self):
        url, key = self.serve()
        asyncio.run(asyncio.wait_for(
            self.use(streamablehttp_client(url, {"Authorization": "Bearer " + key})), PATIENCE))


class TypeScript(Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = mcp_npm.folder(BUILD)

    def use(self, *args):
        done = subprocess.run(["node", "client.mjs", *args], cwd=self.client, text=True,
                              capture_output=True, timeout=PATIENCE, check=False,
                              env={**os.environ, "GUEST": guest()})
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        self.assertEqual((seen["server"]["name"], seen["tools"]), ("shannon", TOOLS))
        self.assertEqual(seen["run"]["structuredContent"]["stdout"], "42\n")
        self.assertTrue(seen["fails"]["isError"])
        self.assertIn("code is missing", seen["wrong"]["content"][0]["text"])
        self.assertEqual(seen["asked"]["structuredContent"]["result"], {"ok": {"value": 42}})
        self.assertEqual(len(seen["questions"]), 1)
        self.assertEqual(seen["status"]["structuredContent"]["status"], "completed")
        self.assertEqual(seen["pending"]["structuredContent"]["approvals"], [])
        self.assertEqual(seen["aborted"], "aborted")
        self.assertEqual(seen["canceled"]["structuredContent"]["status"], "cancelled")

    def test_over_stdio(self):
        self.use("stdio", str(pathlib.Path(BIN).resolve()), "mcp", "--data-dir", self.folder)

    def test_over_http(self):
        self.use("http", *self.serve())


if __name__ == "__main__":
    unittest.main()
