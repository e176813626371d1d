#!/usr/bin/env python3
"""What the host adds to calls that leave, beside curl doing the same in the same minutes against the
same servers on this machine: a streamed answer of a model, and 200 requests and 200 fetched pages side
by side. curl only carries the pages; web_fetch also reads each as HTML5 in a confined child. Each side
goes three times in turns, and the best of each counts. $SHANNON_BIN and $SHANNON_BUILD name what is
measured; one JSON line a figure."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_program import figure, started, stop
from bench_server import Client

LIB = Path(__file__).resolve().parents[1] / "tests/lib"
TURNS = 3
CALLS = 50
WIDE = 200
DELAY_MS = 100  # of each answer of the web server: what waiting side by side is for
ANSWER = "word " * 200
PAGE = ("<!doctype html><html><head><title>A page</title></head><body><article><h1>A page</h1>"
        + "<p>Some text and <a href='/next'>a link</a>.</p>" * 40 + "</article></body></html>")


def serve(*command):
    """A scripted server and its port."""
    server = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    return server, int(server.stdout.readline())


def curl_seconds(folder, requests, *flags):
    """One curl for all of them: the time from its first request to its end."""
    config = folder / "curl"
    config.write_text("\nnext\n".join(requests) + "\n")
    begun = time.perf_counter()
    done = subprocess.run(["curl", "--silent", "--no-progress-meter", "--no-buffer", "--fail", *flags, "--config",
                           str(config)], stdout=subprocess.PIPE, timeout=300, check=False)
    if done.returncode:
        sys.exit(f"bench_tools: curl ended with {done.returncode}")
    return time.perf_counter() - begun


class Side:
    """An agent that makes the same calls."""

    def __init__(self, client):
        self.client = client

    def seconds(self, op, args, n, at_once):
        task_input = {"op": op, "args": args, "n": n, "at_once": at_once}
        begun = time.perf_counter()
        task = self.client.submit("many", input=task_input,
                                  limits={"activities": 1000, "parallel_activities": at_once})
        self.client.finish(task)
        seconds = time.perf_counter() - begun
        result = self.client.result(task).split()
        if result != [str(n)]:
            sys.exit(f"bench_tools: {n} calls of {op} gave {result}")
        return seconds


class Many(Client):
    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=120)
        connection.request(method, path, json.dumps(body) if body else None,
                           {"X-API-Key": self.key})
        answer = connection.getresponse()
        row = json.loads(answer.read())
        connection.close()
        if answer.status != 200:
            sys.exit(f"bench_tools: {method} {path} was answered {answer.status}: {row}")
        return row

    def submit(self, agent, **body):
        return self.ask("POST", "/api/v1/tasks", {"query": "go", "agent": agent, **body})["task_id"]

    def result(self, task):
        return self.ask("GET", f"/api/v1/tasks/{task}")["result"]


def streamed(side, folder, port):
    """A model's answer of 200 words, one part each, as fast as the server sends it."""
    ask = {"messages": [{"role": "user", "content": "go"}]}
    body = json.dumps(json.dumps(dict(ask, model="m", stream=True,
                                      stream_options={"include_usage": True})))
    one = (f'url = "http://127.0.0.1:{port}/v1/chat/completions"\ndata = {body}\n'
           'header = "Content-Type: application/json"\nsilent\noutput = "/dev/null"')
    curl = ours = None
    for _ in range(TURNS):
        taken = curl_seconds(folder, [one] * CALLS) / CALLS * 1e3
        curl = min(curl or taken, taken)
        taken = side.seconds("llm", ask, CALLS, 1) / CALLS * 1e3
        ours = min(ours or taken, taken)
    figure("llm_streamed_by_curl", curl, "ms", note=f"one of {CALLS}, one after the other")
    figure("llm_streamed_by_an_agent", ours, "ms", note="journaled before and after")
    figure("llm_streamed_overhead", ours - curl, "ms")
    figure("llm_streamed_against_curl", ours / curl, "x")


def wide(side, folder, port):
    url = f"http://127.0.0.1:{port}/page"
    one = f'url = "{url}"\nsilent\noutput = "/dev/null"'
    curl, ours = [], {"http": [], "web_fetch": []}
    for _ in range(TURNS):
        curl.append(curl_seconds(folder, [one] * WIDE, "--parallel", "--parallel-immediate",
                                 "--parallel-max", str(WIDE)) * 1e3)
        for op, taken in ours.items():
            taken.append(side.seconds(op, {"url": url}, WIDE, WIDE) * 1e3)
    figure("200_requests_by_curl_parallel", min(curl), "ms",
           note=f"each is answered after {DELAY_MS} ms")
    for op, what, note in (("http", "requests", "submitted, journaled, checked, answered"),
                           ("web_fetch", "fetches", "that, robots.txt, and HTML read as text")):
        figure(f"200_{what}_by_an_agent", min(ours[op]), "ms", note=note)
        figure(f"200_{what}_against_curl", min(ours[op]) / min(curl), "x")


def main():
    binary = os.environ.get("SHANNON_BIN", "build/release/bin/shannon")
    build = Path(os.environ.get("SHANNON_BUILD", "build/release"))
    folder = Path(tempfile.mkdtemp(prefix="shannon-bench-tools-", dir=build))
    if not shutil.which("curl"):
        sys.exit("bench_tools: curl is missing; scripts/deps installs it")
    llm_script, web_script = folder / "llm.json", folder / "web.json"
    llm_script.write_text(json.dumps({"default": {"content": ANSWER}}))
    web_script.write_text(json.dumps({
        "/page": {"body": PAGE, "delay_ms": DELAY_MS, "headers": {"Content-Type": "text/html"}},
        "*": {"status": 404}}))
    llm, llm_port = serve(str(LIB / "scripted_llm.py"), "--port", "0", "--script", str(llm_script))
    web, web_port = serve(str(LIB / "scripted_web.py"), "--script", str(web_script))
    data = folder / "data"
    data.mkdir(mode=0o700)
    (data / "policy.toml").write_text(
        '[[rules]]\nagent = "*"\n[rules.allow]\ntools = ["llm", "http", "web_fetch"]\n'
        f'network = [{{ scheme = "http", host = "127.0.0.1", port = {web_port} }}]\n')
    env = dict(os.environ, SHANNON_LLM_BASE_URL=f"http://127.0.0.1:{llm_port}/v1",
               SHANNON_LLM_MODEL="m")
    server, _ = started(binary, data, env)
    try:
        client = Many(server, data)
        client.register("many", (build / "guests/many.wasm").read_bytes())
        side = Side(client)
        side.seconds("llm", {"messages": [{"role": "user", "content": "go"}]}, 1, 1)  # compiled
        streamed(side, folder, llm_port)
        wide(side, folder, web_port)
    finally:
        stop(server)
        for child in (llm, web):
            child.kill()
            child.wait()
            child.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
