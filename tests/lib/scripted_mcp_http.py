#!/usr/bin/env python3
"""A scripted MCP server for tests, over streamable HTTP. Standard library only.

    scripted_mcp_http.py [--log FILE] [--max-seconds 120] [BEHAVIOUR...]

Prints its port and stops by itself. Its tools answer in a stream of events: echo (at once), talk (two
notifications before the answer), ask (a ping of its own, answered only when the client has answered
that), cut (the stream ends after an event with an id; the answer comes on a GET with Last-Event-ID),
lost (ends without an id and without an answer), wait (never answers), flood (a message that is too
long), add (its schema wants two integers), grow (adds the tool `more` and says so on the stream that
clients open by GET), refuse (400), forget (404), break (503). DELETE is answered with 200. BEHAVIOUR: json (answers are plain JSON), no-get (405), strict (a
request before notifications/initialized is refused), no-session (gives none), no-delete (405), mute (a
DELETE is never answered). The log has a line for each message."""

import argparse
import json
import os
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMES = ("echo", "talk", "ask", "cut", "lost", "wait", "flood", "grow", "refuse", "forget",
         "break")


def text(value):
    return {"content": [{"type": "text", "text": value}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.give_session()
        self.end_headers()
        self.wfile.write(body)

    def give_session(self):
        if "no-session" not in self.server.behaviour:
            self.send_header("Mcp-Session-Id", "s1")

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, data, number=None, end="\n"):
        lines = [f"id: {number}"] if number else []
        lines += [": a comment", "event: message", f"data: {json.dumps(data)}" if data else "data:"]
        raw = "".join(line + end for line in lines + [""]).encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
        self.wfile.flush()

    def end(self):
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        server = self.server
        server.log({"get": self.headers.get("Last-Event-ID"),
                    "session": self.headers.get("Mcp-Session-Id")})
        if "no-get" in server.behaviour:
            self.reply(405)
            return
        self.stream()
        if self.headers.get("Last-Event-ID") == "e1":
            self.event({"jsonrpc": "2.0", "id": server.owed, "result": text("after all")}, "e2")
            self.end()
            return
        server.listening.set()
        while True:
            self.event({"jsonrpc": "2.0", **server.news.get()}, end="\r\n")

    def do_DELETE(self):
        server = self.server
        server.log({"delete": self.headers.get("Mcp-Session-Id", "none"),
                    "version": self.headers.get("MCP-Protocol-Version")})
        if "mute" in server.behaviour:
            time.sleep(3600)
        self.reply(405 if "no-delete" in server.behaviour else 200)

    def do_POST(self):
        server = self.server
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number, method = message.get("id"), message.get("method")
        server.log({"method": method, "id": number, "params": message.get("params"),
                    "version": self.headers.get("MCP-Protocol-Version"),
                    "session": self.headers.get("Mcp-Session-Id")})
        if number is None or method is None:
            time.sleep(0.2 if method == "notifications/initialized" else 0)
            server.initialized = server.initialized or method == "notifications/initialized"
            if method is None:
                server.answers.put(message)
            self.reply(202)
        elif method == "initialize":
            self.answer(number, {"protocolVersion": message["params"]["protocolVersion"],
                                 "capabilities": {"tools": {"listChanged": True}},
                                 "serverInfo": {"name": "scripted", "version": "1"}})
        elif "strict" in server.behaviour and not server.initialized:
            self.reply(400, b"too early")
        elif method == "tools/list":
            self.answer(number, {"tools": server.tools})
        else:
            self.call(number, message["params"]["name"], message["params"].get("arguments"))

    def answer(self, number, result):
        body = {"jsonrpc": "2.0", "id": number, "result": result}
        if "json" in self.server.behaviour:
            self.reply(200, json.dumps(body).encode())
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.give_session()
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.event(body)
            self.end()

    def call(self, number, name, arguments):
        server = self.server
        statuses = {"refuse": 400, "forget": 404, "break": 503}
        if name in statuses:
            self.reply(statuses[name], b"not like this")
            return
        if name in ("echo", "add", "more"):
            self.answer(number, text(json.dumps(arguments)))
            return
        self.stream()
        result = {"jsonrpc": "2.0", "id": number, "result": text("done")}
        if name == "talk":
            for done in (1, 2):
                self.event({"jsonrpc": "2.0", "method": "notifications/progress",
                            "params": {"progressToken": number, "progress": done}}, end="\r")
        elif name == "ask":
            self.event({"jsonrpc": "2.0", "id": "q1", "method": "ping"})
            result["result"] = text(json.dumps(server.answers.get(timeout=60)))
        elif name == "cut":
            server.owed = number
            self.event(None, "e1")
            self.end()
            return
        elif name == "lost":
            self.end()
            return
        elif name == "wait":
            time.sleep(3600)
        elif name == "flood":
            result["result"] = text("x" * (9 * 1024 * 1024))
        elif name == "grow":
            server.listening.wait(60)
            server.tools.append({"name": "more", "inputSchema": {"type": "object"}})
            server.news.put({"method": "notifications/tools/list_changed"})
        self.event(result)
        self.end()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, args):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour, self.path = args.behaviour, args.log
        self.tools = [{"name": n, "inputSchema": {"type": "object"}} for n in NAMES]
        self.tools.append({"name": "add", "inputSchema": {
            "type": "object", "required": ["a", "b"], "additionalProperties": False,
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "maximum": 10}}}})
        self.answers, self.news, self.listening = queue.Queue(), queue.Queue(), threading.Event()
        self.initialized, self.owed, self.lock = False, None, threading.Lock()

    def log(self, line):
        if self.path:
            with self.lock, open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--log")
    parser.add_argument("--max-seconds", type=float, default=120)
    parser.add_argument("behaviour", nargs="*")
    arguments = parser.parse_args()
    server = Server(arguments)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    parent, end = os.getppid(), time.monotonic() + arguments.max_seconds
    while os.getppid() == parent and time.monotonic() < end:
        time.sleep(0.25)
    os._exit(0)
