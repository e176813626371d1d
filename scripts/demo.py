#!/usr/bin/env python3
"""The eyes of scripts/run-demo.

  demo.py watch --url URL --key FILE --task ID [--after SEQ] [--stop-after N] [--seq FILE]
      show a task's events as they come; with --stop-after, stop after N answers of the model
  demo.py answer --url URL --key FILE --task ID
  demo.py proof --url URL --key FILE --task ID --requests FILE
      compare the journal with what the model's server was asked"""

import argparse
import json
import sys
import time
import urllib.request


def get(args, path, headers=None, timeout=60):
    with open(args.key, encoding="ascii") as file:
        key = file.read().strip()
    request = urllib.request.Request(args.url + path, headers={"X-API-Key": key, **(headers or {})})
    return urllib.request.urlopen(request, timeout=timeout)


def frames(stream):
    frame = {}
    for raw in stream:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, colon, value = line.partition(":")
        if not line:
            if frame:
                yield frame
            frame = {}
        elif colon and name:
            frame[name] = value.strip()


def one_line(text, n=100):
    text = " ".join(str(text).split())
    return text if len(text) <= n else text[: n - 3] + "..."


def describe(data):
    payload = data.get("payload") or {}
    kind = data.get("type", "")
    if kind == "TOOL_INVOKED":
        return f"asks for {payload.get('tool')}"
    if kind == "TOOL_OBSERVATION":
        result = payload.get("result", payload.get("error"))
        text = result.get("content", result.get("message", result)) if isinstance(result, dict) else ""
        how = "answered" if payload.get("success") else "failed"
        return f"{payload.get('tool')} {how} in {payload.get('duration_ms')} ms: {one_line(text)}"
    return one_line(data.get("message", ""))


def watch(args):
    answers = 0
    headers = {"Last-Event-ID": str(args.after)} if args.after else {}
    with get(args, f"/api/v1/tasks/{args.task}/stream", headers, timeout=150) as stream:
        for frame in frames(stream):
            if frame.get("event") == "done":
                return 0
            if "id" not in frame:
                continue  # deltas are provisional; only what is durable is shown
            data = json.loads(frame["data"])
            if args.seq:
                with open(args.seq, "w", encoding="ascii") as file:
                    file.write(frame["id"])
            print(f"  {frame['id']:>4}  {frame.get('event', ''):<26} {describe(data)}", flush=True)
            payload = data.get("payload") or {}
            if data.get("type") == "TOOL_OBSERVATION" and payload.get("tool") == "llm":
                answers += 1
                if answers == args.stop_after:
                    return 0
    print("the stream ended before the task did", file=sys.stderr)
    return 1


def answer(args):
    with get(args, f"/api/v1/tasks/{args.task}") as reply:
        task = json.load(reply)
    print(json.dumps(task.get("output") or {"result": task.get("result")}, indent=2))
    if task["status"] != "TASK_STATUS_COMPLETED":
        print(f"the task is {task['status']}: {task.get('error')}", file=sys.stderr)
        return 1
    return 0


def read_journal(args):
    events, after, more = [], 0, True
    while more:
        with get(args, f"/api/v1/tasks/{args.task}/journal?after={after}") as reply:
            page = json.load(reply)
        events += page["events"]
        more = page["more"] and page["events"]
        after = events[-1]["seq"] if events else 0
    return events


def proof(args):
    keys, durable = {}, {}
    for event in read_journal(args):
        body = event["body"]
        if event["type"] == "ActivityScheduled" and body.get("op") == "llm":
            keys[body["ordinal"]] = body["key"]
        if event["type"] == "ActivityCompleted" and body["ordinal"] in keys:
            durable[keys[body["ordinal"]]] = event["time_us"] / 1e6
    asked, late = {}, 0
    with open(args.requests, encoding="utf-8") as file:
        for line in file:
            request = json.loads(line)
            key = request["idempotency_key"]
            asked[key] = asked.get(key, 0) + 1
            late += key in durable and request["time"] > durable[key]
    for number, (ordinal, key) in enumerate(sorted(keys.items()), 1):
        times = asked.get(key, 0)
        note = "" if times == 1 else "   <- under way when the server was killed"
        print(f"  llm call {number}: key {key}: asked {times} time(s){note}")
    if late or set(asked) != set(keys.values()) or len(durable) != len(keys):
        print(f"NOT AS PROMISED: {late} request(s) after their answer was in the journal; "
              f"{len(keys)} keys in the journal, {len(asked)} at the model's server", file=sys.stderr)
        return 1
    print(f"  {len(keys)} calls, {sum(asked.values())} requests; none was sent after its answer was "
          "in the journal.")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["watch", "answer", "proof"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--stop-after", type=int, default=0)
    parser.add_argument("--seq")
    parser.add_argument("--requests")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        return {"watch": watch, "answer": answer, "proof": proof}[args.what](args)
    except OSError as error:
        print(f"{args.url} after {time.monotonic() - started:.0f} s: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
