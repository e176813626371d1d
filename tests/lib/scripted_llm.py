#!/usr/bin/env python3
"""A scripted OpenAI-compatible server for tests. Standard library only.

    scripted_llm.py --port 0 [--script FILE.json] [--log FILE] [--max-seconds 600]

Prints its port as the first line of standard output, serves on 127.0.0.1, and stops by itself
after --max-seconds or when its parent is gone.

Without a script every request is answered by a function of its body alone, streamed or not:
"answer N to: LAST USER MESSAGE". The script is {"rules": [RULE...], "default": RULE} or a plain
list of rules. A rule with "match" answers each request whose last user message contains that text
("times": at most so often); rules without "match" answer one request each, in order ("times": N).
Rules with "match" go first, then the next in order, then "default". Members of a rule:

    content, tool_calls, finish_reason, model, usage     the answer; usage null leaves it out
    delay_ms            wait before answering            chunk_delay_ms   wait between stream parts
    after               wait until a request whose last user message contains this was answered
    status, headers     another HTTP status; with `error` (text) or `body` (raw) as its body
    body                this raw text as the body (malformed answers), with `content_type`
    cut                 close the connection after so many stream parts (or bytes of a plain body)
    hang, hang_after    never answer; or stop after so many stream parts
    ignore_stream       answer plainly even when a stream was asked for

The log has one JSON line a request, written when it ends: {time, idempotency_key, digest, body,
last_user, status, sent, headers, authorized}; `sent` says whether the whole response was handed
over. The line is in the file before the last byte leaves, so that whoever has the answer finds it."""

import argparse
import hashlib
import json
import os
import select
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_MAX = 16 * 1024 * 1024


def text_of(content):
    if isinstance(content, list):
        return "".join(p.get("text", "") for p in content if isinstance(p, dict))
    return content if isinstance(content, str) else ""


def last_user(body):
    for message in reversed(body.get("messages") or []):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def digest_of(body):
    """Of what is asked, not of how the answer shall travel."""
    asked = {k: v for k, v in body.items() if k not in ("stream", "stream_options")}
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def parts_of(content):
    """Stream parts: words with the blank before them."""
    parts, word = [], ""
    for char in content:
        if char == " " and word:
            parts.append(word)
            word = ""
        word += char
    return parts + ([word] if word else [])


class Script:
    def __init__(self, path):
        doc = json.load(open(path, encoding="utf-8")) if path else {}
        if isinstance(doc, list):
            doc = {"rules": doc}
        unknown = set(doc) - {"rules", "default"}
        if unknown:
            raise SystemExit(f"scripted_llm: unknown members in the script: {sorted(unknown)}")
        self.rules = [dict(r) for r in doc.get("rules", [])]
        self.default = doc.get("default", {})
        self.used = [0] * len(self.rules)
        self.answered = []
        self.changed = threading.Condition()

    def pick(self, message):
        with self.changed:
            for i, rule in enumerate(self.rules):
                if "match" in rule and rule["match"] in message:
                    if self.used[i] < rule.get("times", float("inf")):
                        self.used[i] += 1
                        return rule
            for i, rule in enumerate(self.rules):
                if "match" not in rule and self.used[i] < rule.get("times", 1):
                    self.used[i] += 1
                    return rule
            return self.default

    def note_answered(self, message):
        with self.changed:
            self.answered.append(message)
            self.changed.notify_all()

    def wait_answered(self, text, gone):
        with self.changed:
            while not any(text in message for message in self.answered) and not gone():
                self.changed.wait(0.05)


class Cut(Exception):
    """The rule says that the connection ends here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "scripted-llm"

    def log_message(self, *args):
        pass

    def client_gone(self):
        try:
            ready, _, _ = select.select([self.connection], [], [], 0)
            return bool(ready) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def pause(self, ms):
        end = time.monotonic() + ms / 1000
        while time.monotonic() < end and not self.client_gone():
            time.sleep(max(0.0, min(0.02, end - time.monotonic())))

    def hang(self):
        while not self.client_gone():
            time.sleep(0.02)
        raise Cut()

    line = None  # of the log, until it is written

    def finish_with(self, last, status):
        self.wfile.flush()
        if self.line:
            self.server.script.note_answered(self.line["last_user"])
            self.line.update(status=status, sent=True)
            self.server.log(self.line)
            self.line = None
        self.wfile.write(last)
        self.wfile.flush()

    def send_plain(self, status, data, content_type, headers=None, cut=None):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if cut is not None:
            self.wfile.write(data[:cut])
            self.wfile.flush()
            raise Cut()
        self.wfile.write(data[:-1])
        self.finish_with(data[-1:], status)

    def send_json(self, status, doc, headers=None, cut=None):
        self.send_plain(status, json.dumps(doc).encode(), "application/json", headers, cut)

    def write_chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def send_stream(self, rule, answer, include_usage):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in rule.get("headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        base = {"id": answer["id"], "object": "chat.completion.chunk", "model": answer["model"]}
        message = answer["choices"][0]["message"]
        deltas = [{"role": "assistant", "content": ""}]
        deltas += [{"content": part} for part in parts_of(message["content"] or "")]
        for i, call in enumerate(message.get("tool_calls") or []):
            deltas.append({"tool_calls": [dict(call, index=i)]})
        chunks = [dict(base, choices=[{"index": 0, "delta": d, "finish_reason": None}])
                  for d in deltas]
        reason = answer["choices"][0]["finish_reason"]
        chunks.append(dict(base, choices=[{"index": 0, "delta": {}, "finish_reason": reason}]))
        if include_usage and answer.get("usage"):
            chunks.append(dict(base, choices=[], usage=answer["usage"]))
        for i, chunk in enumerate(chunks):
            if rule.get("cut") == i:
                raise Cut()
            if rule.get("hang_after") == i:
                self.hang()
            if i:
                self.pause(rule.get("chunk_delay_ms", 0))
            self.write_chunk(f"data: {json.dumps(chunk)}\n\n")
        self.write_chunk("data: [DONE]\n\n")
        self.finish_with(b"0\r\n\r\n", 200)

    def answer_of(self, rule, body, digest):
        message = last_user(body)
        content = rule.get("content", f"answer {int(digest[:6], 16)} to: {message}")
        if "tool_calls" in rule and "content" not in rule:
            content = None
        told = {"role": "assistant", "content": content}
        if rule.get("tool_calls"):
            told["tool_calls"] = rule["tool_calls"]
        asked = sum(len(text_of(m.get("content")).split()) for m in body["messages"])
        said = len((content or "").split())
        usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
        reason = rule.get("finish_reason", "tool_calls" if rule.get("tool_calls") else "stop")
        answer = {"id": f"chatcmpl-{digest[:12]}", "object": "chat.completion", "created": 0,
                  "model": rule.get("model", body.get("model", "scripted")),
                  "choices": [{"index": 0, "message": told, "finish_reason": reason}]}
        usage = rule.get("usage", usage)
        if usage:
            answer["usage"] = usage
        return answer

    def respond(self, rule, body, digest):
        if "after" in rule:
            self.server.script.wait_answered(rule["after"], self.client_gone)
        self.pause(rule.get("delay_ms", 0))
        if self.client_gone():
            raise Cut()
        if rule.get("hang"):
            self.hang()
        status = rule.get("status", 200)
        headers, cut = rule.get("headers"), rule.get("cut")
        if "body" in rule:
            kind = rule.get("content_type", "application/json")
            self.send_plain(status, rule["body"].encode(), kind, headers, cut)
        elif status != 200:
            text = rule.get("error", f"scripted status {status}")
            self.send_json(status, {"error": {"message": text, "code": rule.get("code")}}, headers,
                           cut)
        elif body.get("stream") and not rule.get("ignore_stream"):
            usage = (body.get("stream_options") or {}).get("include_usage")
            self.send_stream(rule, self.answer_of(rule, body, digest), usage)
        else:
            self.send_json(200, self.answer_of(rule, body, digest), headers, cut)

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if self.path != "/v1/chat/completions":
            self.close_connection = True
            self.send_json(404, {"error": {"message": f"no such path: {self.path}"}})
            return
        if not length.isdigit() or int(length) > BODY_MAX:
            self.close_connection = True
            self.send_json(411, {"error": {"message": "a Content-Length is needed"}})
            return
        raw = self.rfile.read(int(length))
        try:
            body = json.loads(raw)
            assert isinstance(body["messages"], list)
        except (ValueError, KeyError, TypeError, AssertionError):
            self.send_json(400, {"error": {"message": "expected a chat completion request"}})
            return
        digest, message = digest_of(body), last_user(body)
        line = {"time": time.time(), "idempotency_key": self.headers.get("Idempotency-Key"),
                "digest": digest, "last_user": message, "body": body, "status": None,
                "sent": False, "headers": {k.lower(): v for k, v in self.headers.items()
                                           if k.lower() != "authorization"}}
        line["authorized"] = "Authorization" in self.headers
        self.line = line
        try:
            self.respond(self.server.script.pick(message), body, digest)
        except (Cut, OSError):
            self.close_connection = True
        if self.line:
            self.server.log(self.line)
            self.line = None

    def do_GET(self):
        if self.path == "/v1/models":
            model = {"id": "scripted", "object": "model", "owned_by": "tests"}
            self.send_json(200, {"object": "list", "data": [model]})
        else:
            self.send_json(404, {"error": {"message": f"no such path: {self.path}"}})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port, script, log_path):
        super().__init__(("127.0.0.1", port), Handler)
        self.script = script
        self.log_file = open(log_path, "a", encoding="utf-8") if log_path else None
        self.log_lock = threading.Lock()

    def log(self, line):
        if self.log_file:
            with self.log_lock:
                self.log_file.write(json.dumps(line) + "\n")
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
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script")
    parser.add_argument("--log")
    parser.add_argument("--max-seconds", type=float, default=600)
    args = parser.parse_args()
    server = Server(args.port, Script(args.script), args.log)
    threading.Thread(target=watch_parent,
                     args=(os.getppid(), time.monotonic() + args.max_seconds),
                     daemon=True).start()
    print(server.server_address[1], flush=True)
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
