"""MCP servers that others wrote, with the official SDKs of Python and TypeScript: as children and behind
HTTP, with what they tell before they answer, and a stream that is closed and taken up again."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "crash"))
sys.path.insert(0, str(HERE.parent / "e2e"))
import client_venv  # noqa: E402
import mcp_npm  # noqa: E402

BUILD = os.environ.get("SHANNON_BUILD", HERE.parents[1] / "build/dev")
client_venv.enter(BUILD, "mcp-requirements.txt", "venv-mcp")

from test_tools import Tools  # noqa: E402

SERVER = str(HERE / "mcp_official.py")


class Official(Tools):
    def use(self):
        lines = self.call([("mcp:o/add", {"a": 40, "b": 2}), ("mcp:o/explode", {"why": "boom"}),
                           ("mcp:o/add", {"a": "x"}), ("mcp:o/talk", {})], "--tool", "mcp:o/*")
        self.assertEqual(lines[0]["ok"]["content"][0]["text"], "42")
        self.assertEqual(lines[0]["ok"]["structured"], {"result": 42})
        self.assertTrue(lines[1]["ok"]["is_error"])
        self.assertIn("boom", json.dumps(lines[1]))
        self.assertEqual(lines[2]["error"]["code"], "invalid_argument")
        self.assertIn("mcp:o/add.", lines[2]["error"]["message"])
        self.assertEqual(lines[3]["ok"]["content"][0]["text"], "told")

    def behind_http(self, command, cwd=None):
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cwd,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        port = int(server.stdout.readline())
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        self.config(f'[mcp.o]\nurl = "http://127.0.0.1:{port}/mcp"\n')
        self.use()


class Python(Official):
    def test_over_stdio(self):
        self.config(f"[mcp.o]\ncommand = {json.dumps([sys.executable, SERVER])}\n")
        self.use()

    def test_over_http(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.behind_http([sys.executable, SERVER, str(port)])


class TypeScript(Official):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = mcp_npm.folder(BUILD)
        cls.program = [shutil.which("node"), str(cls.client / "server.mjs")]

    def test_over_stdio(self):
        self.config(f"[mcp.o]\ncommand = {json.dumps(self.program)}\n")
        self.use()

    def test_over_http(self):
        self.behind_http([*self.program, "http"], self.client)

    def test_over_http_with_a_stream_that_is_taken_up_again(self):
        self.behind_http([*self.program, "http", "resume"], self.client)


if __name__ == "__main__":
    unittest.main()
