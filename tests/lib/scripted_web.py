#!/usr/bin/env python3
"""A scripted web server for tests. Standard library only.

    scripted_web.py --script FILE.json [--log FILE] [--port 0] [--bind 127.0.0.1] [--max-seconds 600]

Prints its port as the first line of standard output and stops by itself after --max-seconds or when
its parent is gone. The script is {"METHOD /path": ANSWER or [ANSWER, ...]}; the key is looked up
without the query, "/path" alone stands for any method, "*" for everything else, and a list is gone
through, its last answer repeated. Members of an answer:

    status, headers {name: text or [text...]}
    body (text), json (a value), body_base64, repeat (the body so many times)
    latin1 (send `body` in that encoding), chunked [text...] (in parts, with chunk_delay_ms between)
    delay_ms, hang (never answer), cut (close after so many bytes of the body), no_length
    echo (answer with the request as JSON: {method, path, headers, body})
    by_query {text: ANSWER} (the first whose text is in the query, decoded, answers instead)

Texts may hold ${PORT}. The log has one JSON line a request: {method, path, headers, body, time}."""

import argparse
import base64
import json
import os
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "scripted-web"

    def log_message(self, *args):
        pass

    def pick(self):
        path, _, query = self.path.partition("?")
        with self.server.lock:
            for key in (f"{self.command} {path}", path, "*"):
                found = self.server.script.get(key)
                if isinstance(found, list):
                    found = found.pop(0) if len(found) > 1 else found[0]
                if found is not None:
                    query = urllib.parse.unquote_plus(query)
                    return next((answer for text, answer in found.get("by_query", {}).items()
                                 if text in query), found)
        return {"status": 404, "body": f"no such path: {path}"}

    def fill(self, text):
        return text.replace("${PORT}", str(self.server.server_address[1]))

    def body_of(self, answer, request):
        if answer.get("echo"):
            return json.dumps(request).encode()
        if "json" in answer:
            return self.fill(json.dumps(answer["json"])).encode()
        if "body_base64" in answer:
            return base64.b64decode(answer["body_base64"])
        data = self.fill(answer.get("body", ""))
        data = data.encode("latin-1" if answer.get("latin1") else "utf-8")
        return data * answer.get("repeat", 1)

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        request = {"method": self.command, "path": self.path,
                   "headers": {k.lower(): v for k, v in self.headers.items()},
                   "body": self.rfile.read(length).decode("utf-8", "replace")}
        self.server.log(request)
        answer = self.pick()
        time.sleep(answer.get("delay_ms", 0) / 1000)
        if answer.get("hang"):
            time.sleep(3600)
        body = self.body_of(answer, request)
        self.send_response(answer.get("status", 200))
        headers = dict(answer.get("headers", {}))
        if "json" in answer or answer.get("echo"):
            headers.setdefault("Content-Type", "application/json")
        for name, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name, self.fill(one))
        if "chunked" in answer:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.send_chunks(answer)
            return
        if answer.get("no_length"):
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:answer.get("cut", len(body))])
        self.wfile.flush()
        if "cut" in answer:
            self.close_connection = True

    def send_chunks(self, answer):
        for i, part in enumerate(answer["chunked"]):
            if i:
                time.sleep(answer.get("chunk_delay_ms", 0) / 1000)
            data = self.fill(part).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if "cut" in answer:
            self.close_connection = True
        elif answer.get("hang_after"):
            time.sleep(3600)
        else:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, bind, port, script, log_path):
        super().__init__((bind, port), Handler)
        self.script = script
        self.lock = threading.Lock()
        self.log_file = open(log_path, "a", encoding="utf-8") if log_path else None

    def log(self, request):
        if self.log_file:
            with self.lock:
                self.log_file.write(json.dumps(dict(request, time=time.time())) + "\n")
                self.log_file.flush()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # clients that vanish are part of the tests
            super().handle_error(request, client_address)


def watch_parent(parent, deadline):
    while os.getppid() == parent and time.monotonic() < deadline:
        time.sleep(0.25)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--script", required=True)
    parser.add_argument("--log")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--max-seconds", type=float, default=600)
    args = parser.parse_args()
    script = json.load(open(args.script, encoding="utf-8"))
    server = Server(args.bind, args.port, script, args.log)
    threading.Thread(target=watch_parent,
                     args=(os.getppid(), time.monotonic() + args.max_seconds),
                     daemon=True).start()
    print(server.server_address[1], flush=True)
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
