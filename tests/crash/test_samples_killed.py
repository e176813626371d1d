"""Kill -9 before a commit, after it, and between commit and telling, while agents of many kinds work:
timers, signals, approvals, children, compensations, the memory of a session, standard input that is
typed, and a program made with Go. (One thing after another, many at once, Python and checkpoints: test_kill_everywhere.py.)

One server after another runs on the same data directory. Each is killed at an instant drawn from a
seed, in part while it recovers from the kill before. A client goes on with what it wanted: it
remembers every event and answer that it was told, and all of it has to be in the journal at the end,
under the same hash. The run digest, and those of all children, have to be those of the undisturbed
run; each journal verifies; no key is asked again whose outcome is in the journal.

  SHANNON_CRASH_SAMPLE=N     so many kills at each point (2)
  SHANNON_CRASH_ALL=1        one at every hit of each point
  SHANNON_CRASH_SEED=TEXT    another seed than the commit
  SHANNON_CRASH_ONLY=SAMPLE:POINT:K[:POINT:K]    just that one, as a failure prints it"""

import base64
import os
import pathlib
import random
import sys
import time
import unittest

import harness
from harness import FINAL, Died, ScriptedModel, Server
from test_kill_everywhere import MODEL, POINTS, commit_seed, completion_times

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "sdk"))
import toolchains  # noqa: E402

SEED = os.environ.get("SHANNON_CRASH_SEED") or commit_seed()
ALL = os.environ.get("SHANNON_CRASH_ALL") == "1"
WANTED = int(os.environ.get("SHANNON_CRASH_SAMPLE", "2"))
PATIENCE_S = 120
POLICY = """[[rules]]
agent = "*"
allow = { tools = ["llm", "kv", "calculator", "workflow"] }
"""


class Client:
    """Wants one task to be done. It survives the server, and forgets nothing that it was told."""

    def __init__(self, body, key):
        self.body, self.key = body, key
        self.task, self.told = None, []

    def submit(self, server):
        task = server.submit(self.body, self.key)
        assert self.task in (None, task), f"{self.key}: told {self.task}, and then {task}"
        self.task = task

    def read(self, server):
        """What is new in the journal; True at its end."""
        path = f"/api/v1/tasks/{self.task}/journal?after={len(self.told)}&wait=1"
        status, page, _ = server.request("GET", path)
        assert status == 200, (status, page)
        self.told += page["events"]
        return bool(self.told) and self.told[-1]["type"] in FINAL

    def act(self, server):
        """Its part in the work, if there is something to do now."""

    def go_on(self, server):
        end = time.monotonic() + PATIENCE_S
        self.submit(server)
        while not self.read(server):
            assert time.monotonic() < end, f"{self.key}: no end in sight: {self.told[-3:]}"
            self.act(server)


class Answering(Client):
    """Answers the questions of an agent: yes to the first, no to the second."""

    def __init__(self, body, key):
        super().__init__(body, key)
        self.answered = set()

    def act(self, server):
        status, page, _ = server.request("GET", "/api/v1/approvals?status=pending")
        assert status == 200, (status, page)
        for item in page["approvals"]:
            if item["workflow_id"] == self.task:
                name = item["approval_id"]
                assert name not in self.answered, f"{self.key}: {name} is asked again"
                status, done, _ = server.request("POST", "/api/v1/approvals/decision", {
                    "workflow_id": self.task, "approval_id": name,
                    "approved": "Send" in str(item["args"])})
                assert status in (200, 409), (status, done)
                self.answered.add(name)


class Signaling(Client):
    """Updates, each answered with the sum so far; then the signal that ends the agent."""

    def __init__(self, body, key):
        super().__init__(body, key)
        self.answers = []

    def update(self, server, n):
        path = f"/api/v1/tasks/{self.task}/updates/add"
        status, told, _ = server.request("POST", path, {
            "payload": n + 1, "update_id": f"u{n}", "wait_ms": 60000})
        assert status == 200, (status, told)
        return told["status"], told.get("result")

    def act(self, server):
        for n, answer in enumerate(self.answers):  # the same update has the same answer
            assert self.update(server, n) == answer, f"{self.key}: another answer to update {n}"
        while len(self.answers) < 4:
            self.answers.append(self.update(server, len(self.answers)))
        assert [a[1] for a in self.answers] == [1, 3, 6, 10], self.answers
        status, sent, _ = server.request("POST", f"/api/v1/tasks/{self.task}/signal",
                                         {"name": "stop"})
        assert status in (202, 409), (status, sent)


class Typing(Client):
    """Types lines as its task reads them. After a crash the task reads what is journaled, and its end."""

    LINES = [b"alpha\n", b"beta\n", b"gamma\n"]

    def typed(self):
        """What the task has read, as it was told."""
        return b"".join(base64.b64decode(e["body"]["data"]) for e in self.told
                        if e["type"] == "Observed" and e["body"]["kind"] == "stdin")

    def act(self, server):
        lines = self.typed().count(b"\n")
        chunk = self.LINES[lines].decode() if lines < len(self.LINES) else ""
        if getattr(self, "sent", None) == lines:
            return  # it is on its way
        status, reply, _ = server.request("POST", f"/api/v1/tasks/{self.task}/stdin",
                                          {"data": chunk, "eof": not chunk})
        assert status in (200, 404, 409), (status, reply)  # it has ended, or was taken up again
        self.sent = lines


class SamplesKilled(unittest.TestCase):
    maxDiff = None
    client = Client
    same = ("tasks", "digests", "ends", "asked")  # in every run

    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.data = pathlib.Path(folder.name) / "data"
        self.data.mkdir(mode=0o700)
        (self.data / "policy.toml").write_text(POLICY)
        self.counts = pathlib.Path(folder.name) / "counts"
        self.model = ScriptedModel(folder.name, MODEL)
        self.addCleanup(self.model.stop)
        self.seen, self.server, self.environment = 0, None, {}
        self.addCleanup(lambda: self.server and self.server.process.poll() is None and
                        self.server.kill())

    def start(self, **more):
        self.server = Server(self.data, **self.model.environment(), **self.environment, **more)
        return self.server

    def requests(self, key):
        """Of each task that one run of the sample is made of."""
        return [{"query": "the tale of a kettle", "agent": "agent", "session_id": f"s-{key}",
                 **self.extra}]

    # ---- what has to be true at the end ----

    def family(self, task):
        status, page, _ = self.server.request("GET", f"/api/v1/tasks?parent_id={task}")
        self.assertEqual(status, 200, page)
        return [task, *sorted(t["task_id"] for t in page["tasks"])]

    def check_told(self, client, label):
        events = self.server.journal(client.task)
        self.assertEqual(events[:len(client.told)], client.told, f"{label}: told, and lost")
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)), label)

    def check_model(self, tasks, label):
        """What was asked under each key, and never after its outcome was in the journal."""
        done = {}
        for task in tasks:
            events = self.server.journal(task)
            done.update({f"{task}:{n}": at for n, at in completion_times(events).items()})
            done.update({f"{task}:c{e['body']['ordinal']}": e["time_us"] / 1e6 for e in events
                         if e["type"].startswith("Compensation") and "Retried" not in e["type"]})
        time.sleep(0.05)  # the model's server writes a line a moment after the answer
        fresh, bodies = self.model.requests()[self.seen:], {}
        self.seen += len(fresh)
        for request in fresh:
            key = request["idempotency_key"]
            self.assertIn(key, done, f"{label}: asked, and nobody knows why")
            self.assertLessEqual(request["time"], done[key],
                                 f"{label}: {key} was asked again after its outcome was durable")
            self.assertEqual(bodies.setdefault(key, request["digest"]), request["digest"],
                             f"{label}: one key, different bodies")
        return sorted(bodies.values())

    def check(self, clients, label):
        """gives what has to be the same in every run."""
        tasks = [t for c in clients for t in self.family(c.task)]
        digests = []
        for client in clients:
            self.check_told(client, label)
        for task in tasks:
            verified = self.server.verify(task)
            self.assertTrue(verified["ok"], f"{label}: {verified}")
            digests.append(verified["digest"])
        ends = [c.told[-1]["type"] for c in clients]
        found = {"tasks": len(tasks), "digests": digests, "ends": ends,
                 "asked": self.check_model(tasks, label)}
        return {name: found[name] for name in self.same}

    # ---- the runs ----

    def prepare(self, module, extra, **environment):
        self.environment, self.extra = environment, extra
        server = self.start()
        server.add_module(module, "agent")
        server.add_module(harness.guest("seq.wasm"), "seq")
        self.assertEqual(server.stop(), 0, server.output.all())

    def calm(self):
        server = self.start(SHANNON_CRASH_COUNT=self.counts)
        clients = [self.client(body, f"calm-{n}") for n, body in enumerate(self.requests("calm"))]
        for client in clients:
            client.go_on(server)
        expected = self.check(clients, "undisturbed")
        self.assertEqual(server.stop(), 0, server.output.all())
        lines = self.counts.read_text(encoding="ascii").splitlines()
        return {line.split()[0]: int(line.split()[1]) for line in lines}, expected

    def until_killed(self, clients, point, k):
        """False: that instant never came."""
        try:
            server = self.start(SHANNON_CRASH_AT=f"{point}:{k}")
            for client in clients:
                client.go_on(server)
            server.kill()
            return False
        except Died as died:
            self.assertTrue(died.killed, died)
            return True

    def one_run(self, number, kills, expected, label):
        bodies = self.requests(f"run-{number}")
        clients = [self.client(body, f"run-{number}-{n}") for n, body in enumerate(bodies)]
        killed = sum([self.until_killed(clients, point, k) for point, k in kills])
        server = self.start()
        for client in clients:
            client.go_on(server)
        self.assertEqual(self.check(clients, label), expected, label)
        server.kill()
        return killed

    def plans(self, name, hits):
        """[[(point, k), ...], ...]: where each run is killed."""
        only = os.environ.get("SHANNON_CRASH_ONLY", "").split(":")
        if only != [""]:
            return [list(zip(only[1::2], map(int, only[2::2])))]
        draw, plans = random.Random(f"{SEED} {name}"), []
        for point in POINTS:
            self.assertGreater(hits.get(point, 0), 0, f"{point} was never reached: {hits}")
            every = range(1, hits[point] + 1)
            for k in every if ALL else draw.sample(every, min(WANTED, len(every))):
                again = draw.choice(POINTS)
                second = [(again, draw.randint(1, 1 + hits[again] // 2))]
                plans.append([(point, k)] + (second if draw.random() < 0.4 else []))
        return plans

    def sweep(self, module, extra=None, **environment):
        name = pathlib.Path(module).stem
        if os.environ.get("SHANNON_CRASH_ONLY", name).split(":")[0] != name:
            self.skipTest("another one was asked for")
        self.prepare(module, extra or {}, **environment)
        hits, expected = self.calm()
        plans, killed, wanted = self.plans(name, hits), 0, 0
        for number, kills in enumerate(plans):
            label = f"SHANNON_CRASH_ONLY={name}:" + ":".join(f"{p}:{k}" for p, k in kills)
            with self.subTest(label):
                wanted += len(kills)
                killed += self.one_run(number, kills, expected, label)
        print(f"{name}: seed {SEED}, {len(plans)} runs, {killed} of {wanted} kills; hits {hits}, "
              f"{len(expected.get('asked', []))} questions", file=sys.stderr, flush=True)
        # How writes share commits differs from run to run, so a late hit may not come again.
        self.assertGreaterEqual(killed * 2, wanted, "most kills have to happen")
        return expected

    # ---- the samples ----

    def test_timers(self):
        expected = self.sweep(harness.guest("timers.wasm"),
                              SHANNON_ENGINE_PASSIVATE_AFTER="100ms")
        self.assertEqual(len(expected["asked"]), 2)

    def test_signals(self):
        self.client = Signaling
        self.sweep(harness.guest("counter.wasm"))

    def test_approvals(self):
        self.client = Answering
        expected = self.sweep(harness.guest("approvals.wasm"))
        self.assertEqual(len(expected["asked"]), 2)

    def test_children(self):
        expected = self.sweep(harness.guest("family.wasm"),
                              {"input": {"children": 3, "agent": "seq"}})
        self.assertEqual((expected["tasks"], len(expected["asked"])), (4, 3))

    def test_compensations(self):
        expected = self.sweep(harness.guest("saga.wasm"))
        self.assertEqual(expected["ends"], ["WorkflowFailed"])
        self.assertEqual(len(expected["asked"]), 4)  # two steps, and both undone

    def test_standard_input(self):
        """How much of it a run reads depends on when it was killed: all else does not."""
        self.client, self.same = Typing, ("tasks", "ends")
        check = self.check

        def and_what_was_read(clients, label):
            for client in clients:
                result = self.server.task(client.task)["result"]
                lines = [f"read {line}" for line in client.typed().decode().split()]
                self.assertEqual(result.splitlines(), [*lines, "end"], label)
                if label == "undisturbed":
                    self.assertEqual(client.typed(), b"".join(Typing.LINES))
            return check(clients, label)

        self.check = and_what_was_read
        self.sweep(harness.guest("typed.wasm"), {"stdin_live": True})

    def test_sessions(self):
        one = self.requests
        self.requests = lambda key: one(key) * 2
        expected = self.sweep(harness.guest("session.wasm"))
        self.assertEqual(len(expected["asked"]), 2)

    def test_go(self):
        self.sweep(toolchains.build("go", toolchains.steps("go"), "steps-killed"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
