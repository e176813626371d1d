"""Five activities, one after the other, through /dev/shannon."""
import json

device = open("/dev/shannon", "r+b", buffering=0)
pending = b""


def read_line():
    global pending
    while b"\n" not in pending:
        chunk = device.read(65536)
        if not chunk:
            raise SystemExit("the device ended with no answer")
        pending += chunk
    line, pending = pending.split(b"\n", 1)
    return json.loads(line)


def call(number, op, args):
    device.write(json.dumps({"id": number, "op": op, "args": args}).encode() + b"\n")
    answer = read_line()
    assert answer["id"] == number, answer
    if "error" in answer:
        print(op, "failed:", answer["error"]["message"])
        raise SystemExit(1)
    return answer["ok"]


query = call(0, "input", {}).get("query", "")
print("calculator:", call(1, "calculator", {"expression": "6*7"})["value"])
call(2, "kv.put", {"key": "seq", "value": {"n": [1, 2, 3]}})
print("kv.get:", call(3, "kv.get", {"key": "seq"})["value"])
messages = [{"role": "user", "content": "Summarise: " + query}]
print("llm:", call(4, "llm", {"messages": messages})["content"])
call(5, "sleep", {"ms": 20})
print("done")
