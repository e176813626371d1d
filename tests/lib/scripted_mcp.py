#!/usr/bin/env python3
"""A scripted MCP server for tests, over standard input and output. Standard library only.

    scripted_mcp.py [--log FILE] [--tools FILE.json] [BEHAVIOUR...]

Its tools: echo (gives its arguments and the environment's names), fail (isError), refuse (a JSON-RPC
error), die (ends the process), hang (tells of its progress three times, and no more), big (N bytes of text), sample (asks the client to sample first).
--tools FILE replaces descriptions: {tool: {member: value}}. BEHAVIOUR: garbage (no JSON at the
start), old (an unknown protocol version), silent (never answers), pages (one tool a page). Each start
and each call is a line of the log."""

import argparse
import json
import os
import sys

TOOLS = {name: {"name": name, "description": f"does {name}", "inputSchema": {"type": "object"}}
         for name in ("echo", "fail", "refuse", "die", "hang", "big", "sample")}
TOOLS["echo"]["annotations"] = {"readOnlyHint": True}


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(value):
    return {"content": [{"type": "text", "text": value}]}


class Server:
    def __init__(self, args):
        self.args = args
        self.waiting = None
        self.tools = {k: dict(v) for k, v in TOOLS.items()}
        if args.tools:
            for name, members in json.load(open(args.tools)).items():
                self.tools[name].update(members)
        self.log({"start": os.getpid()})

    def log(self, line):
        if self.args.log:
            with open(self.args.log, "a") as file:
                file.write(json.dumps(line) + "\n")

    def call(self, number, params):
        name, arguments = params["name"], params.get("arguments") or {}
        self.log({"call": name, "arguments": arguments, "meta": params.get("_meta")})
        if name == "echo":
            send({"id": number, "result": {**text(json.dumps(arguments)), "structuredContent": {
                "arguments": arguments, "environment": sorted(os.environ),
                "descriptors": sorted(os.listdir("/proc/self/fd"))[:-1],
                "group": os.getpgid(0) == os.getpid()}}})
        elif name == "hang":
            token = (params.get("_meta") or {}).get("progressToken")
            for done in (1, 2, 3):
                send({"method": "notifications/progress",
                      "params": {"progressToken": token, "progress": done}})
        elif name == "fail":
            send({"id": number, "result": {**text("it went wrong"), "isError": True}})
        elif name == "refuse":
            send({"id": number, "error": {"code": -32602, "message": "no such thing"}})
        elif name == "die":
            sys.stderr.write("dying as asked\n")
            sys.stderr.flush()
            os._exit(3)
        elif name == "big":
            send({"id": number, "result": text("x" * int(arguments["n"]))})
        elif name == "sample":
            self.waiting = number
            send({"id": 900, "method": "sampling/createMessage", "params": {}})

    def message(self, message):
        number, method = message.get("id"), message.get("method")
        if method == "initialize":
            version = "1999-01-01" if "old" in self.args.behaviour else "2025-06-18"
            send({"id": number, "result": {"protocolVersion": version,
                                           "capabilities": {"tools": {}},
                                           "serverInfo": {"name": "scripted", "version": "1"}}})
        elif method == "tools/list":
            names = sorted(self.tools)
            if "pages" in self.args.behaviour:
                at = int((message.get("params") or {}).get("cursor", 0))
                page = {"tools": [self.tools[names[at]]]}
                if at + 1 < len(names):
                    page["nextCursor"] = str(at + 1)
            else:
                page = {"tools": [self.tools[n] for n in names]}
            send({"id": number, "result": page})
        elif method == "tools/call":
            self.call(number, message["params"])
        elif number == 900:
            send({"id": self.waiting, "result": text(f"refused: {message['error']['code']}")})

    def run(self):
        if "garbage" in self.args.behaviour:
            print("Welcome to my server!", flush=True)
        for line in sys.stdin:
            if "silent" not in self.args.behaviour:
                self.message(json.loads(line))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--log")
    parser.add_argument("--tools")
    parser.add_argument("behaviour", nargs="*")
    Server(parser.parse_args()).run()
