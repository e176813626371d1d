"""`shannon run` where another process owns the data directory: everything that test_run_cli.py
promises of a run alone, and what two processes owe each other."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
import test_run_cli as alone  # noqa: E402
from harness import Lines, ScriptedModel, Server, guest, shannon  # noqa: E402

LIMIT = harness.WAIT_S


class Joined(alone.Run):
    """A server owns the data directory before anything is run."""

    def setUp(self):
        super().setUp()
        self.serve()

    def serve(self, **environment):
        self.server = Server(self.data, **environment)
        self.addCleanup(self.server.kill)

    def start(self, *args, **more):
        process = subprocess.Popen(
            [harness.BIN, "run", "--data-dir", str(self.data), *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=harness.clean_environment(), **more)
        self.addCleanup(self.end, process)
        return process, Lines(process.stdout), Lines(process.stderr)

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait(LIMIT)
        if not process.stdin.closed:
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass

    def tasks(self):
        return self.server.request("GET", "/api/v1/tasks")[1]["tasks"]


class JoinedToOne(alone.Run):
    """One server for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.owned = harness.temporary_folder()
        cls.addClassCleanup(cls.owned.cleanup)
        cls.server = Server(pathlib.Path(cls.owned.name) / "data")
        cls.addClassCleanup(cls.server.kill)

    def setUp(self):
        super().setUp()
        self.data = self.server.data_dir


class WhatAnAgentIsGiven(JoinedToOne, alone.WhatAnAgentIsGiven):
    def test_tools(self):
        """Models and keys are the owner's; the flags that allow them are the runner's."""
        model = ScriptedModel(self.folder)
        self.addCleanup(model.stop)
        self.data = self.folder / "data"
        server = Server(self.data, **model.environment())
        self.addCleanup(server.kill)
        done = self.run_agent("--tool", "llm", "--tool", "kv", "--tool", "calculator", "--input",
                              '{"query":"q"}', guest("seq.wasm"), check=0)
        self.assertRegex(done.stdout.decode(), r'calculator: \{"value":42(\.0)?\}')
        self.assertEqual(len(model.requests()), 1)


class HowItEnds(JoinedToOne, alone.HowItEnds):
    def test_a_closed_output_ends_the_task(self):
        read, write = os.pipe()
        os.close(read)
        process = subprocess.Popen(
            [harness.BIN, "run", "--data-dir", str(self.data), guest("flood.wasm"), "1024"],
            stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.DEVNULL,
            env=harness.clean_environment())
        os.close(write)
        self.assertEqual(process.wait(LIMIT), 128 + signal.SIGPIPE)
        task = self.server.request("GET", "/api/v1/tasks")[1]["tasks"][0]["task_id"]
        self.assertEqual(self.server.task(task)["status"], "TASK_STATUS_CANCELLED")

    def test_ephemeral_keeps_nothing(self):
        """It runs alone, whoever owns the data directory."""
        tasks = self.server.request("GET", "/api/v1/tasks")[1]["total_count"]
        done = shannon("run", "--ephemeral", "--data-dir", self.data, guest("exit7.wasm"), check=7)
        self.assertEqual(done.stdout, b"seven\n")
        self.assertEqual(self.server.request("GET", "/api/v1/tasks")[1]["total_count"], tasks)

    def test_a_failure_with_json_prints_the_result_too(self):
        done = self.run_agent("--json", "--fuel", "1000000", guest("spin.wasm"), check=124)
        self.assertEqual(json.loads(done.stdout)["error_code"], "fuel_exhausted", done)
        self.assertIn(b"fuel", done.stderr)


class WrongInput(Joined, alone.WrongInput):
    # of servers and of folders that are nobody's yet
    test_a_data_directory_that_is_not_writable = None
    test_a_full_disk = None
    test_a_port_in_use = None
    test_a_configuration_with_an_unknown_key = None
    test_an_owner_that_does_not_answer = None

    def test_a_configuration_of_ones_own(self):
        config = self.file("own.toml", '[server]\nlog = "info"\n')
        self.fails_in_one_line(125, "--config.*%d" % self.server.process.pid, "--config", config,
                               guest("exit7.wasm"))


class AtTheTerminal(Joined):
    def test_output_comes_while_it_runs_and_input_goes_in(self):
        process, out, err = self.start(guest("hello.wasm"))
        self.assertTrue(out.wait_for("argv"), err.all())  # and nothing has been typed
        process.stdin.write(b"one\n")
        process.stdin.flush()
        process.stdin.write(b"two\n" + b"x" * 100000 + b"\n")
        process.stdin.close()
        self.assertEqual(process.wait(LIMIT), 0, err.all())
        text = out.wait_for("x{100000}") and out.all()
        self.assertIn("one\ntwo\n", text)

    def test_an_interrupt_cancels_the_task(self):
        process, out, err = self.start(guest("hello.wasm"))
        self.assertTrue(out.wait_for("argv"), err.all())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(LIMIT), 128 + signal.SIGINT, err.all())
        self.assertTrue(err.wait_for("shannon: canceled"), err.all())
        task = self.tasks()[0]["task_id"]
        self.assertEqual(self.server.task(task)["status"], "TASK_STATUS_CANCELLED")
        self.assertIsNone(self.server.process.poll())

    def test_who_is_killed_leaves_the_task_to_the_owner(self):
        process, out, err = self.start("--input", '{"times":2,"ms":700}', guest("sleepers.wasm"))
        end = time.monotonic() + LIMIT
        while not self.tasks() and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
        task = self.tasks()[0]["task_id"]
        self.assertEqual(self.server.wait_for_end(task)[-1]["type"], "WorkflowCompleted",
                         err.all() + out.all())

    def test_an_owner_that_dies_is_told_and_the_task_goes_on_with_the_next(self):
        process, out, err = self.start("--input", '{"times":1,"ms":4000}', guest("sleepers.wasm"))
        end = time.monotonic() + LIMIT
        while not self.tasks() and time.monotonic() < end:
            time.sleep(0.01)
        task = self.tasks()[0]["task_id"]
        self.server.wait_until(task, lambda ev: any(e["type"] == "ActivityScheduled" for e in ev))
        pid = self.server.process.pid
        self.server.kill()
        self.assertEqual(process.wait(LIMIT), 125, out.all())
        line = err.wait_for("shannon: process %d" % pid)
        self.assertTrue(line and task in line.string, err.all())
        self.serve()
        self.assertEqual(self.server.wait_for_end(task)[-1]["type"], "WorkflowCompleted")


class WhatItMay(Joined):
    def test_flags_are_policy_for_that_task_only(self):
        notes = self.folder / "notes"
        notes.mkdir()
        (notes / "note.txt").write_text("remember the milk")
        self.server.add_module(guest("files.wasm"), "files")
        done = self.run_agent("--dir", f"{notes}::/notes::ro", "files", check=0)
        self.assertIn("/notes/note.txt: remember the milk", done.stdout.decode())
        status, body, _ = self.server.request("POST", "/api/v1/tasks", {
            "agent": "files", "query": "q", "capabilities": {"filesystem": [
                {"host": str(notes), "guest": "/notes", "dir_perms": ["read"],
                 "file_perms": ["read"]}]}})
        if status == 200:  # a server asks a person first
            events = self.server.wait_until(
                body["task_id"], lambda ev: any(e["type"] == "ApprovalRequested" for e in ev))
            self.assertFalse(any(e["type"] == "Output" for e in events))
        else:
            self.assertEqual(status, 403, body)

    def test_a_policy_that_asks_denies_at_once_because_nobody_is_asked(self):
        policy = self.file("ask.toml", '[[rules]]\nagent = "*"\n[rules.ask]\ntools = ["kv"]\n')
        done = self.run_agent("--policy", policy, guest("seq.wasm"))
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(b"kv.put failed: ", done.stdout)

    def test_what_a_runner_may_say_is_refused_from_who_only_has_the_key(self):
        status, body, _ = self.server.request("POST", "/api/v1/run", {
            "agent": "hello", "query": "q", "operator": {"capabilities": {"tools": ["llm"]}}})
        self.assertEqual((status, body["error"]["code"]), (403, "permission_denied"), body)
        self.server.add_module(guest("hello.wasm"), "hello")
        status, body, _ = self.server.request("POST", "/api/v1/tasks", {
            "agent": "hello", "query": "q", "operator": {"capabilities": {"tools": ["http"]}}})
        if status == 200:
            events = self.server.wait_for_end(body["task_id"])
            decided = next(e for e in events if e["type"] == "PolicyDecided")
            self.assertNotIn("http", decided["body"]["capabilities"].get("tools", []))

    def test_priority(self):
        done = self.run_agent("--priority", "8", "--events", guest("exit7.wasm"), check=7)
        self.assertIn(b"WorkflowStarted", done.stderr)
        self.fails_in_one_line(125, "--priority 10: expected 0 to 9", "--priority", "10",
                               guest("exit7.wasm"))


class SideBySide(Joined):
    def serve(self, **environment):
        """Nobody serves: the first run owns the data directory."""

    def owned(self, pid):
        end = time.monotonic() + LIMIT
        lock = self.data / "lock"
        while time.monotonic() < end:
            if lock.exists() and lock.read_text().strip() == str(pid) and \
                    (self.data / "sock").exists():
                return True
            time.sleep(0.01)
        return False

    def test_the_second_joins_the_first(self):
        first, out, err = self.start(guest("hello.wasm"))
        self.assertTrue(self.owned(first.pid) and out.wait_for("argv"), err.all())
        done = self.run_agent("--env", "A=1", guest("hello.wasm"), stdin=b"second\n", check=0)
        self.assertEqual(done.stdout.decode().splitlines()[-2:], ["env A=1", "second"])
        self.assertIsNone(first.poll())
        first.stdin.close()
        self.assertEqual(first.wait(LIMIT), 0, err.all())
        self.assertEqual(len(json.loads(
            shannon("tasks", "--json", "--data-dir", self.data).stdout)["tasks"]), 2)

    def test_the_first_leaves_when_its_work_and_theirs_is_done(self):
        first, out, err = self.start(guest("hello.wasm"))
        self.assertTrue(self.owned(first.pid) and out.wait_for("argv"), err.all())
        second, out2, err2 = self.start(guest("hello.wasm"))
        self.assertTrue(out2.wait_for("argv"), err2.all())
        first.stdin.write(b"mine is done\n")
        first.stdin.close()
        self.assertTrue(err.wait_for("done"), err.all())
        third = self.run_agent(guest("exit7.wasm"), check=7)  # it is still there for others
        self.assertEqual(third.stdout, b"seven\n")
        self.assertIsNone(first.poll())
        second.stdin.write(b"and mine\n")
        second.stdin.close()
        self.assertEqual((second.wait(LIMIT), first.wait(LIMIT)), (0, 0), err.all() + err2.all())
        self.assertIn("and mine", out2.wait_for("and mine") and out2.all())

    def test_an_interrupt_takes_the_first_from_under_the_second(self):
        first, out, err = self.start(guest("hello.wasm"))
        self.assertTrue(self.owned(first.pid) and out.wait_for("argv"), err.all())
        second, out2, err2 = self.start(guest("hello.wasm"))
        self.assertTrue(out2.wait_for("argv"), err2.all())
        first.send_signal(signal.SIGINT)
        self.assertTrue(err.wait_for("canceled"), err.all())
        self.assertIsNone(first.poll())
        first.send_signal(signal.SIGINT)  # it is not to wait
        self.assertEqual(first.wait(LIMIT), 128 + signal.SIGINT)
        self.assertEqual(second.wait(LIMIT), 125, err2.all())
        self.assertTrue(err2.wait_for("process %d" % first.pid), err2.all())

    def test_many_at_once_all_run(self):
        """Whoever comes first owns it; the others join, also while it starts and while it leaves."""
        runs = [self.start("--argv0", "n%d" % i, guest("hello.wasm")) for i in range(6)]
        for process, _, _ in runs:
            process.stdin.close()
        for i, (process, out, err) in enumerate(runs):
            self.assertEqual(process.wait(LIMIT), 0, err.all())
            self.assertTrue(out.wait_for(r"argv\[0\]=n%d$" % i), out.all())
        self.assertEqual(shannon("verify", "--all", "--data-dir", self.data).returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
