"""Six activities at once; prints them in the order in which their answers come, or sorted by name when
the input says {"sorted": true}: that order is the same in every run."""
import json

device = open("/dev/shannon", "r+b", buffering=0)
pending = b""


def send(name, op, args):
    device.write(json.dumps({"id": name, "op": op, "args": args}).encode() + b"\n")


def read_line():
    global pending
    while b"\n" not in pending:
        chunk = device.read(65536)
        if not chunk:
            return None
        pending += chunk
    line, pending = pending.split(b"\n", 1)
    return json.loads(line)


send("input", "input", {})
sorted_wanted = read_line()["ok"].get("sorted", False)
send("calculator", "calculator", {"expression": "2^10"})
for number in (1, 2, 3):
    message = {"role": "user", "content": f"par-{number} of python"}
    send(f"llm {number}", "llm", {"messages": [message]})
send("sleep 700", "sleep", {"ms": 700})
send("sleep 900", "sleep", {"ms": 900})
lines = []
while (answer := read_line()) is not None:
    result = answer.get("ok", answer.get("error"))
    lines.append(answer["id"] + " " + json.dumps(result, sort_keys=True))
    if not sorted_wanted:
        print(lines[-1])
if sorted_wanted:
    print("\n".join(sorted(lines)))
