#!/usr/bin/env python3
"""Writes the exports under tests/replay/journals that every later version must verify and replay.

    SHANNON_BUILD=build/dev python3 tests/replay/make_fixtures.py VERSION

makes tests/replay/journals/VERSION/NAME.tar, one for each sample below. Run it once for a release and
commit what it wrote; a fixture that exists is never written again. Beside each lies NAME.json, what
`shannon verify` said: run digest, fuel, events."""

import json
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "crash"))
from harness import ScriptedModel, clean_environment, guest, shannon  # noqa: E402

SAMPLES = {
    "hello": (["--env", "LANG=C", "--argv0", "zed", "hello.wasm", "--", "one"], b"typed\n"),
    "sequence": (["seq.wasm"], b""),
    "parallel": (["parallel.wat"], b""),
    "activity": (["activity.wat"], b""),
    "checkpoint": (["checkpoint.wat"], b""),
    "clock-and-random": (["clock_random.wasm"], b""),
    "trap": (["trap.wat"], b""),
    "out-of-fuel": (["--fuel", "1000000", "endless.wat"], b""),
}


def module(name):
    path = HERE.parent / "guests" / name
    return guest(name) if name.endswith(".wasm") else path


def make(name, args, stdin, target, env):
    with tempfile.TemporaryDirectory() as data:
        args = [str(module(a)) if a.endswith((".wasm", ".wat")) else a for a in args]
        shannon("run", "--data-dir", data, *args, stdin=stdin, env=env, timeout=300)
        tasks = json.loads(shannon("tasks", "--json", "--data-dir", data, check=0).stdout)["tasks"]
        task = tasks[0]["task_id"]
        out = target / f"{name}.tar"
        shannon("export", "--output", str(out), task, "--data-dir", data, check=0)
        done = shannon("verify", task, "--json", "--data-dir", data, timeout=300)
        verified = json.loads(done.stdout)
        if not verified["ok"]:
            out.unlink()
            sys.exit(f"{name}: {verified}")
        facts = {k: verified.get(k) for k in ("digest", "fuel", "events", "replay", "key")}
        out.with_suffix(".json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
        print(f"{name}: {out.stat().st_size} bytes, {facts['events']} events, {facts['replay']}")


def main():
    target = HERE / "journals" / sys.argv[1]
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        model = ScriptedModel(folder)
        try:
            for name, (args, stdin) in SAMPLES.items():
                if not (target / f"{name}.tar").exists():
                    make(name, args, stdin, target, clean_environment(**model.environment()))
        finally:
            model.stop()


if __name__ == "__main__":
    main()
