"""poll() on standard input, a connection, /dev/shannon and time at once, by an ordinary C program
under the real program: each ends it, replays do the same, and a killed server's task goes on."""

import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import harness  # noqa: E402
from harness import Lines, Server, guest, shannon  # noqa: E402
from scripted_peer import Peer  # noqa: E402

LONG = "60000"


def sleep_line(ms):
    return json.dumps({"op": "sleep", "args": {"ms": ms}})


class Mixtures(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.data = pathlib.Path(folder.name) / "data"
        self.peer = Peer()
        self.addCleanup(self.peer.stop)
        self.path = f"/net/tcp/127.0.0.1/{self.peer.port}"

    def start(self, *args):
        process = subprocess.Popen(
            [harness.BIN, "run", "--data-dir", str(self.data), "--allow-net",
             f"tcp://127.0.0.1:{self.peer.port}", guest("mixture.wasm"), "--", *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=harness.clean_environment())
        self.addCleanup(process.wait, harness.WAIT_S)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process, Lines(process.stdout)

    def check_verified(self):
        done = shannon("verify", "--data-dir", self.data, "--all", "--json", check=0)
        self.assertNotIn(b'"ok":false', done.stdout.replace(b" ", b""), done)

    def test_time_ends_a_poll_of_standard_input(self):
        process, lines = self.start("50", "4")
        lines.wait_for("late")
        process.stdin.close()
        self.assertEqual(process.wait(harness.WAIT_S), 0)
        self.assertTrue(lines.all().startswith("late\n"), lines.all())
        self.check_verified()

    def test_standard_input_ends_it(self):
        process, lines = self.start(LONG, "2")
        process.stdin.write(b"typed\n")
        process.stdin.flush()
        lines.wait_for("stdin: typed")
        process.stdin.close()
        self.assertEqual(process.wait(harness.WAIT_S), 0)
        self.assertEqual(lines.all(), "stdin: typed\nstdin: end\n")
        self.check_verified()

    def test_a_connection_and_an_activity_end_it(self):
        process, lines = self.start(LONG, "4", self.path, "PING", "/dev/shannon", sleep_line(300))
        lines.wait_for("slept_ms")
        process.stdin.write(b"typed\n")
        process.stdin.flush()
        lines.wait_for("stdin: typed")
        self.assertIn(f"{self.path}: +PONG", lines.all())
        process.stdin.close()
        self.assertEqual(process.wait(harness.WAIT_S), 0)
        self.check_verified()

    def test_a_killed_servers_task_goes_on(self):
        server = Server(self.data)
        server.add_module(guest("mixture.wasm"), "mixture")
        task = server.submit({"agent": "mixture", "query": "q", "stdin_live": True,
                              "args": ["100", "40", "/dev/shannon", sleep_line(1500)]})
        server.wait_until(task, lambda events: sum(e["type"] == "Observed" for e in events) >= 3)
        server.kill()
        server = Server(self.data)
        self.addCleanup(server.kill)
        server.wait_for_end(task)
        said = server.task(task)["result"].split("\n")
        self.assertEqual(said[:3], ["late"] * 3, said)
        self.assertIn("stdin: end", said)  # standard input ends with the process that had it
        self.assertEqual(sum("slept_ms" in line for line in said), 1, said)
        self.assertTrue(server.verify(task)["ok"])


if __name__ == "__main__":
    unittest.main()
