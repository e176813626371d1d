"""Kill -9 at every point of the journal while an agent talks to a server. It connects anew when its
connection is lost and asks again, so it has to end with the same output as undisturbed; nothing that
was written is sent twice by a replay, and every journal verifies without the server."""

import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import harness
from harness import Died, Server, guest
from scripted_peer import Peer

POINTS = ("store_before_commit", "store_after_commit", "engine_before_tell")
WORDS = ["SET a 1", "GET a", "SET b 2", "GET b", "GET a"]
ANSWERS = "+OK\n1\n+OK\n2\n1"


class NetKilled(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.peer = Peer()
        self.addCleanup(self.peer.stop)
        self.policy = pathlib.Path(self.folder) / "policy.toml"
        self.policy.write_text('[[rules]]\nagent = "*"\nallow = { network = [{ scheme = "tcp", '
                               f'host = "127.0.0.1", port = {self.peer.port} }}] }}\n')
        self.request = {"agent": "agent", "query": "q",
                        "args": ["@steady", f"/net/tcp/127.0.0.1/{self.peer.port}", *WORDS]}
        self.server = None
        self.addCleanup(lambda: self.server and self.server.process.poll() is None and
                        self.server.kill())

    def start(self, data_dir, **environment):
        self.server = Server(data_dir, SHANNON_POLICY_FILE=str(self.policy), **environment)
        return self.server

    def prepare(self):
        template = os.path.join(self.folder, "template")
        server = self.start(template)
        server.add_module(guest("net.wasm"), "agent")
        self.assertEqual(server.stop(), 0)
        return template

    def counted(self, template):
        data_dir, counts = os.path.join(self.folder, "calm"), os.path.join(self.folder, "counts")
        harness.copy_tree(template, data_dir)
        server = self.start(data_dir, SHANNON_CRASH_COUNT=counts)
        events = server.wait_for_end(server.submit(self.request))
        self.assertEqual(events[-1]["body"]["result"], ANSWERS)
        self.assertEqual(server.stop(), 0)
        with open(counts, encoding="ascii") as file:
            return {line.split()[0]: int(line.split()[1]) for line in file}

    def one_kill(self, template, point, k):
        label = f"{point}:{k}"
        data_dir = os.path.join(self.folder, f"{point}-{k}")
        harness.copy_tree(template, data_dir)
        sent = len(self.peer.lines)
        task, killed = None, False
        try:
            server = self.start(data_dir, SHANNON_CRASH_AT=label)
            task = server.submit(self.request, "the-task")
            server.wait_for_end(task)
            killed = server.stop() == -signal.SIGKILL
        except Died as died:
            killed = died.killed
        server = self.start(data_dir)
        again = server.submit(self.request, "the-task")
        self.assertIn(task, (None, again), label)
        events = server.wait_for_end(again)
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)), label)
        self.assertEqual(events[-1]["type"], "WorkflowCompleted", (label, events[-1]))
        self.assertEqual(events[-1]["body"]["result"], ANSWERS, label)
        result = server.verify(again)
        self.assertTrue(result["ok"], (label, result))
        writes = [e for e in events if e["type"] == "Observed" and
                  e["body"]["kind"] == "net.write" and e["body"].get("bytes")]
        # Each write left once at most: a replay sends nothing.
        self.assertLessEqual(len(self.peer.lines) - sent, len(writes), label)
        self.assertEqual(server.stop(), 0, label)
        opens = [e for e in events if e["type"] == "Observed" and e["body"]["kind"] == "net.open"]
        return killed, len(opens) > 1

    def test_kill_at_points_of_the_journal(self):
        template = self.prepare()
        hits = self.counted(template)
        killed = runs = resets = 0
        for point in POINTS:
            most = hits[point]
            every = os.environ.get("SHANNON_CRASH_ALL") == "1"
            step = 1 if every else max(1, most // 4)
            for k in range(1, most + 1, step):
                with self.subTest(point=point, k=k):
                    runs += 1
                    died, again = self.one_kill(template, point, k)
                    killed += died
                    resets += again
        print(f"{runs} runs, {killed} killed, {resets} connected anew; hits {hits}",
              file=sys.stderr)
        self.assertGreaterEqual(killed * 2, runs)
        self.assertGreater(resets, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
