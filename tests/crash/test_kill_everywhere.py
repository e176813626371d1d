"""Kill -9 at every point of the journal, and nothing that anyone was told is lost.

Each sample agent runs undisturbed once. Then, for each crash point and each of its hits, a copy of
the same data directory runs it again, is killed there, is started again, and has to end with the same
run digest; the model's server has to have seen the same idempotency keys, and no request for an
answer that was in the journal already.

  SHANNON_CRASH_SAMPLE=N     so many hits of each point (default 3; first and last always)
  SHANNON_CRASH_ALL=1        every hit
  SHANNON_CRASH_ONLY=GUEST:POINT:K    just that one, as a failure prints it"""

import collections
import os
import random
import signal
import subprocess
import sys
import time
import unittest

import harness
sys.path.insert(0, str(harness.SOURCE / "tests/lib"))
import skips  # noqa: E402
from harness import Died, ScriptedModel, Server

POINTS = ("store_before_commit", "store_after_commit", "engine_before_tell")
GUESTS = ("seq.wasm", "par.wasm", "seq.py", "par.py", "anew.py", "checkpoint_files.wasm")
MODEL = {"default": {"delay_ms": 20}}
REQUEST = {"query": "the tale of a kettle", "input": {"query": "the tale of a kettle",
                                                      "sorted": True}}


def commit_seed():
    """Samples differ between commits and are the same for one."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=harness.SOURCE, capture_output=True,
                          text=True)
    return done.stdout.strip() or "none"


def sample(hits, seed):
    every = list(range(1, hits + 1))
    wanted = int(os.environ.get("SHANNON_CRASH_SAMPLE", "3"))
    if os.environ.get("SHANNON_CRASH_ALL") == "1" or hits <= wanted:
        return every
    between = random.Random(seed).sample(every[1:-1], max(0, wanted - 2))
    return sorted({1, hits, *between})


def keys_by_ordinal(events):
    return {e["body"]["key"]: e["body"]["ordinal"] for e in events
            if e["type"] == "ActivityScheduled" and e["body"].get("op") == "llm"}


def completion_times(events):
    return {e["body"]["ordinal"]: e["time_us"] / 1e6 for e in events
            if e["type"] in ("ActivityCompleted", "ActivityFailed")}


class KillEverywhere(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.model = ScriptedModel(self.folder, MODEL)
        self.addCleanup(self.model.stop)
        self.seen = 0
        self.request = {**REQUEST, "agent": "agent"}
        self.server = None
        self.addCleanup(lambda: self.server and self.server.process.poll() is None and
                        self.server.kill())

    def start(self, data_dir, **environment):
        self.server = Server(data_dir, **self.model.environment(), **environment)
        return self.server

    def prepare(self, name):
        """A data directory with the agent registered and compiled. A script runs once, because its
        interpreter is compiled at its first use, which takes longer than all the rest."""
        if name.endswith(".py"):
            skips.python_wasm(harness.BUILD)
        template = os.path.join(self.folder, "template")
        server = self.start(template)
        server.add_module(harness.guest(name), "agent")
        if name.endswith(".py"):
            events = server.wait_for_end(server.submit({"query": "warm up", "agent": "agent"}))
            self.new_requests(set(keys_by_ordinal(events)))
        self.assertEqual(server.stop(), 0, server.output.all())
        return template

    def new_requests(self, wanted):
        """The requests since last asked, once all wanted keys are among them. The model's server
        writes a line when a request has ended, which may be a moment after we have the answer."""
        end = time.monotonic() + 10
        while True:
            requests = self.model.requests()[self.seen:]
            if wanted <= {r["idempotency_key"] for r in requests} or time.monotonic() > end:
                self.seen += len(requests)
                return requests
            time.sleep(0.02)

    def check_requests(self, events, label):
        keys, completed = keys_by_ordinal(events), completion_times(events)
        requests = self.new_requests(set(keys))
        self.assertEqual({r["idempotency_key"] for r in requests}, set(keys), label)
        for request in requests:
            ordinal = keys[request["idempotency_key"]]
            self.assertLessEqual(request["time"], completed[ordinal],
                                 f"{label}: asked again after its answer was in the journal")
        bodies = collections.defaultdict(set)
        for request in requests:
            bodies[request["idempotency_key"]].add(request["digest"])
        self.assertTrue(all(len(b) == 1 for b in bodies.values()),
                        f"{label}: one key, different bodies")
        return sorted(keys.values())

    def check_verify(self, server, task, label):
        result = server.verify(task)
        self.assertTrue(result["ok"], f"{label}: {result}")
        self.assertEqual(result["chain"], "ok", label)
        return result

    def undisturbed(self, template):
        data_dir, counts = os.path.join(self.folder, "calm"), os.path.join(self.folder, "counts")
        harness.copy_tree(template, data_dir)
        server = self.start(data_dir, SHANNON_CRASH_COUNT=counts)
        task = server.submit(self.request, "calm")
        events = server.wait_for_end(task)
        self.assertEqual(events[-1]["type"], "WorkflowCompleted", events[-1])
        self.assertEqual(server.stop(), 0, server.output.all())
        with open(counts, encoding="ascii") as file:
            hits = {line.split()[0]: int(line.split()[1]) for line in file}
        server = self.start(data_dir)
        result = self.check_verify(server, task, "undisturbed")
        ordinals = self.check_requests(events, "undisturbed")
        server.stop()
        self.assertTrue(ordinals, "the sample agent asks the model at least once")
        return hits, result["digest"], ordinals

    def run_with_kill(self, data_dir, point, k):
        """gives (task or None, was it killed)."""
        task, killed = None, False
        try:
            server = self.start(data_dir, SHANNON_CRASH_AT=f"{point}:{k}")
            task = server.submit(self.request, "the-task")
            server.wait_for_end(task)
            killed = server.stop() == -signal.SIGKILL  # a point may lie in the stop
        except Died as died:
            killed = died.killed
        return task, killed

    def one_kill(self, template, name, point, k, digest, ordinals):
        label = f"SHANNON_CRASH_ONLY={name}:{point}:{k}"
        data_dir = os.path.join(self.folder, f"{point}-{k}")
        harness.copy_tree(template, data_dir)
        told, killed = self.run_with_kill(data_dir, point, k)
        server = self.start(data_dir)
        # A client that was told nothing asks again with the same key and gets the same task.
        task = server.submit(self.request, "the-task")
        if told:
            self.assertEqual(task, told, f"{label}: the task that the client was told of is lost")
        events = server.wait_for_end(task)
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)), label)
        result = self.check_verify(server, task, label)
        self.assertEqual(result["digest"], digest, label)
        self.assertEqual(self.check_requests(events, label), ordinals, label)
        self.assertEqual(server.stop(), 0, f"{label}: {server.output.all()}")
        return killed

    def sweep(self, name):
        only = os.environ.get("SHANNON_CRASH_ONLY", "").split(":")
        if only != [""] and only[0] != name:
            self.skipTest("another one was asked for")
        template = self.prepare(name)
        hits, digest, ordinals = self.undisturbed(template)
        killed = runs = 0
        for point in POINTS:
            self.assertGreater(hits.get(point, 0), 0, f"{point} was never reached: {hits}")
            chosen = sample(hits[point], f"{commit_seed()} {name} {point}")
            if only != [""]:
                chosen = [int(only[2])] if only[1] == point else []
            for k in chosen:
                with self.subTest(guest=name, point=point, k=k):
                    runs += 1
                    killed += self.one_kill(template, name, point, k, digest, ordinals)
        print(f"{name}: {runs} runs, {killed} killed; hits {hits}", file=sys.stderr)
        # How writes share commits differs from run to run, so a late hit may not come again.
        self.assertGreaterEqual(killed * 2, runs, "most kills have to happen")

    def test_seq_wasm(self):
        self.sweep("seq.wasm")

    def test_par_wasm(self):
        self.sweep("par.wasm")

    def test_checkpoint_files_wasm(self):
        self.sweep("checkpoint_files.wasm")

    def test_seq_py(self):
        self.sweep("seq.py")

    def test_par_py(self):
        self.sweep("par.py")

    def test_anew_py(self):
        self.sweep("anew.py")

    def test_the_order_that_a_guest_shows_is_the_order_of_its_journal(self):
        template = self.prepare("par.wasm")
        for k in (0, 2, 4, 6):
            with self.subTest(k=k):
                data_dir = os.path.join(self.folder, f"order-{k}")
                harness.copy_tree(template, data_dir)
                environment = {"SHANNON_CRASH_AT": f"engine_before_tell:{k}"} if k else {}
                request = {"query": "order", "agent": "agent"}
                try:
                    server = self.start(data_dir, **environment)
                    server.wait_for_end(server.submit(request, "order"))
                    server.stop()
                except Died as died:
                    self.assertTrue(died.killed, died)
                server = self.start(data_dir)
                task = server.submit(request, "order")
                events = server.wait_for_end(task)
                order = [e["body"]["ordinal"] for e in events
                         if e["type"] in ("ActivityCompleted", "TimerFired")]
                names = ["calculator", "llm first", "llm second", "llm third", "sleep 700",
                         "sleep 900"]
                shown = [line.split(":")[0] for line in
                         server.task(task)["result"].splitlines()]
                first = min(order)
                self.assertEqual(shown, [names[o - first] for o in order])
                self.check_verify(server, task, f"order {k}")
                server.stop()


class ReplayCopy(KillEverywhere):
    """One journal, replayed twice and in another place: the same events and the same fuel."""

    test_seq_wasm = test_par_wasm = test_seq_py = test_par_py = None
    test_anew_py = test_checkpoint_files_wasm = None
    test_the_order_that_a_guest_shows_is_the_order_of_its_journal = None

    def replay(self, name):
        template = self.prepare(name)
        here, there = os.path.join(self.folder, "here"), os.path.join(self.folder, "there")
        harness.copy_tree(template, here)
        server = self.start(here)
        task = server.submit({"query": "copy", "agent": "agent"})
        events = server.wait_for_end(task)
        first = self.check_verify(server, task, name)
        second = self.check_verify(server, task, name)
        self.assertEqual(first, second)
        self.assertEqual(first["events"], len(events))
        self.assertEqual(server.stop(), 0)
        harness.copy_tree(here, there)
        server = self.start(there)
        self.assertEqual(self.check_verify(server, task, name), first)
        self.assertEqual(server.journal(task), events)
        server.stop()
        asked = self.new_requests(set(keys_by_ordinal(events)))
        self.assertEqual(len(asked), len(keys_by_ordinal(events)), "a replay called out")

    def test_replay_copy_wasm(self):
        self.replay("seq.wasm")

    def test_replay_copy_python(self):
        self.replay("par.py")

    def test_replay_copy_clock_and_randomness(self):
        self.replay("clock_random.wasm")


if __name__ == "__main__":
    unittest.main(verbosity=2)
