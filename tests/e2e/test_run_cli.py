"""Every promise of `shannon run`: flags, exit statuses, one clear line for each wrong input."""

import fcntl
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import harness  # noqa: E402
import skips  # noqa: E402
from harness import ScriptedModel, Server, guest, shannon  # noqa: E402

NOBODY = 65534


class Run(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data = self.folder / "data"

    def run_agent(self, *args, **more):
        return shannon("run", "--data-dir", self.data, *args, **more)

    def fails(self, status, pattern, *args, **more):
        """The exit status, and one line on stderr that says why."""
        done = self.run_agent(*args, **more)
        text = done.stderr.decode("utf-8", "replace")
        self.assertEqual(done.returncode, status, (args, done.stdout[-300:], text))
        self.assertRegex(text, pattern)
        return text

    def fails_in_one_line(self, status, pattern, *args, **more):
        """One line says it all; the functions on an agent's stack may follow, indented."""
        lines = self.fails(status, pattern, *args, **more).splitlines()
        self.assertRegex(lines[0], pattern)
        self.assertTrue(all(line.startswith("  ") for line in lines[1:]), lines)

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path


class WhatAnAgentIsGiven(Run):
    def test_arguments_environment_and_stdin(self):
        done = self.run_agent("--env", "LANG=C", "--env", "A=b=c", "--argv0", "zed",
                              guest("hello.wasm"), "--", "one", "--two", stdin=b"typed\n", check=0)
        lines = done.stdout.decode().splitlines()
        self.assertEqual(lines[:4], ["hello", "argv[0]=zed", "argv[1]=one", "argv[2]=--two"])
        self.assertEqual(sorted(lines[4:]), ["env A=b=c", "env LANG=C", "typed"])
        self.assertEqual(done.stderr, b"done\n")

    def test_nothing_of_our_environment_reaches_the_agent(self):
        env = harness.clean_environment(SECRET="hunter2")
        done = self.run_agent(guest("hello.wasm"), env=env, check=0)
        self.assertNotIn(b"hunter2", done.stdout)
        self.assertNotIn(b"env ", done.stdout)

    def test_input_from_flag_file_and_stdin(self):
        for given, stdin in (('{"times":2,"ms":1}', b""),
                             ("@" + str(self.file("in.json", '{"times":2,"ms":1}')), b""),
                             ("-", b'{"times":2,"ms":1}')):
            with self.subTest(given=given):
                done = self.run_agent("--input", given, guest("sleepers.wasm"), stdin=stdin, check=0)
                self.assertEqual(done.stdout, b"slept 2 times\n")

    def test_a_mapped_directory_is_read_only_when_it_says_so(self):
        notes = self.folder / "notes"
        notes.mkdir()
        (notes / "note.txt").write_text("remember the milk")
        done = self.run_agent("--dir", f"{notes}::/notes::ro", guest("files.wasm"), check=0)
        text = done.stdout.decode()
        self.assertIn("/notes/note.txt: remember the milk", text)
        self.assertIn("/d/a.txt: written by the agent", text)
        self.assertIn("/work/d/a.txt: written by the agent", text)
        self.assertIn("/d/ b.txt", text)
        self.assertIn("write /notes/new.txt: ", text)
        self.assertFalse((notes / "new.txt").exists())
        self.assertNotIn("root:", text)

    def test_a_mapped_directory_is_written_otherwise(self):
        notes = self.folder / "notes"
        notes.mkdir()
        self.run_agent("--dir", f"{notes}::/notes", guest("files.wasm"), check=0)
        self.assertEqual((notes / "new.txt").read_text(), "may be refused")

    def test_clock_and_randomness(self):
        self.run_agent(guest("clock_random.wasm"), check=0)

    def test_tools(self):
        model = ScriptedModel(self.folder)
        self.addCleanup(model.stop)
        env = harness.clean_environment(**model.environment())
        done = self.run_agent("--tool", "llm", "--tool", "kv", "--tool", "calculator", "--input",
                              '{"query":"q"}', guest("seq.wasm"), env=env, check=0)
        self.assertRegex(done.stdout.decode(), r'calculator: \{"value":42(\.0)?\}')
        self.assertIn(b"llm: answer ", done.stdout)
        self.assertEqual(len(model.requests()), 1)

    def test_a_manifest_beside_the_file_is_what_it_asks_for(self):
        module = self.file("bot.wasm", guest("oom.wasm").read_bytes())
        self.file("bot.toml", '[capabilities.limits]\nmemory = "4MiB"\n')
        self.fails(124, "memory_limit", module)
        self.file("bot.json", '{"capabilities": {"filesystem": [{"host": "/x", "guest": "/x"}], '
                              '"required": ["/x"]}}')
        self.fails(126, "/x", module)  # .json comes first
        self.file("bot.json", '{"capabilities": {"tools": 1}}')
        self.fails(125, "tools", module)
        self.file("bot.json", '{"capabilities": []}')
        self.fails(125, "capabilities", module)
        (self.folder / "bot.json").unlink()
        self.file("bot.toml", "limits = {")
        self.fails(125, "bot.toml", module)

    def test_a_file_of_the_agents_own_is_no_manifest(self):
        module = self.file("bot.wasm", guest("hello.wasm").read_bytes())
        self.file("bot.json", '{"tools": 1, "args": []}')
        self.run_agent(module, check=0)

    def test_a_python_script(self):
        skips.python_wasm(harness.BUILD)
        done = self.run_agent(guest("hello.py"), "--", "x", stdin=b"to python\n", check=0,
                              timeout=300)
        self.assertEqual(done.stdout.decode().splitlines(),
                         ["hello from python 3", "argv ['x']", "LANG None", "stdin to python"])

    def test_a_python_script_may_begin_with_a_bracket(self):
        skips.python_wasm(harness.BUILD)
        for text in ("(print(42))", "(lambda: print(42))()", '("""doc""")\nprint(42)',
                     "(modules := 42)\nprint(modules)"):
            with self.subTest(text=text):
                done = self.run_agent(self.file("bracket.py", text), check=0, timeout=300)
                self.assertEqual(done.stdout, b"42\n")

    def test_wat_text_is_a_module_too(self):
        wat = self.file("nothing.wat", '(module (memory (export "memory") 1) (func (export "_start")))')
        self.assertEqual(self.run_agent(wat, check=0).stdout, b"")


class HowItEnds(Run):
    def test_exit_status_7(self):
        done = self.run_agent(guest("exit7.wasm"), check=7)
        self.assertEqual(done.stdout, b"seven\n")

    def test_a_trap_is_134_with_function_names(self):
        text = self.fails(134, "unreachable", guest("trap.wasm"))
        for name in ("third_function", "second_function", "first_function"):
            self.assertIn(name, text)

    def test_a_trap_names_its_files_and_lines(self):
        source = pathlib.Path(__file__).resolve().parents[1] / "guests" / "trap.c"
        line = 1 + next(i for i, text in enumerate(source.read_text().splitlines())
                        if "__builtin_trap();" in text)
        text = self.fails(134, "unreachable", guest("trap.wasm"))
        for name in ("third_function", "second_function", "first_function"):
            self.assertRegex(text, re.compile(rf"{name} at \S*tests/guests/trap\.c:\d+$", re.M))
        self.assertIn(f"trap.c:{line}\n", text)

    def test_out_of_fuel_is_124(self):
        self.fails_in_one_line(124, "fuel", "--fuel", "1000000", guest("spin.wasm"))

    def test_out_of_time_is_124(self):
        started = time.monotonic()
        self.fails_in_one_line(124, "time", "--timeout", "1s", "--fuel", "1000000000000000",
                               guest("spin.wasm"))
        self.assertLess(time.monotonic() - started, 60)

    def test_out_of_memory_is_124(self):
        self.fails(124, "memory", "--memory", "16MiB", guest("oom.wasm"))

    def test_one_gigabyte_on_stdout_meets_the_limit(self):
        done = self.run_agent(guest("flood.wasm"), "--", "1024")
        self.assertEqual(done.returncode, 124, done.stderr)
        self.assertIn(b"output", done.stderr)
        self.assertLessEqual(len(done.stdout), 8 << 20)
        self.assertGreater(len(done.stdout), 4 << 20)

    def test_json_gives_the_result_object(self):
        done = self.run_agent("--json", guest("exit7.wasm"), check=7)
        result = json.loads(done.stdout)
        self.assertEqual(result["exit_status"], 7, result)

    def test_events_go_to_stderr(self):
        done = self.run_agent("--events", guest("clock_random.wasm"), check=0)
        for name in (b"WorkflowStarted", b"WorkflowCompleted"):
            self.assertIn(name, done.stderr)

    def test_ephemeral_keeps_nothing(self):
        done = shannon("run", "--ephemeral", guest("exit7.wasm"), check=7,
                       env=harness.clean_environment(SHANNON_DATA_DIR=self.data))
        self.assertEqual(done.stdout, b"seven\n")
        left = os.listdir(self.data) if self.data.exists() else []
        self.assertLessEqual(set(left), {"aot"}, "only compiled code may stay, as a cache")


class WrongInput(Run):
    def test_what_is_no_script(self):
        self.fails_in_one_line(125, "x.py: expected a Python script in UTF-8, but it is empty",
                               self.file("x.py", b""))
        self.fails_in_one_line(125, "x.py: .* it is not UTF-8", self.file("x.py", b"\xff\xfe"))

    def test_text_that_is_no_module_shows_nothing_of_the_host(self):
        said = self.fails(125, "not WebAssembly text", self.file("x.wat", b"(module (func"),
                          env=harness.clean_environment(RUST_BACKTRACE="1"))
        self.assertNotIn("backtrace", said)

    def test_a_fifo_is_read_if_somebody_writes_to_it(self):
        for name in ("fifo.wasm", "fifo.py"):
            os.mkfifo(self.folder / name)
            self.fails_in_one_line(125, "FIFO, and nobody writes", self.folder / name)
        script = '"$0" run --data-dir "$1" <(sleep 1; cat "$2")'
        done = subprocess.run(["bash", "-c", script, harness.BIN, self.data, guest("exit7.wasm")],
                              env=harness.clean_environment(), timeout=120, check=False,
                              capture_output=True)
        self.assertEqual(done.returncode, 7)

    def test_what_is_no_module(self):
        whole = guest("exit7.wasm").read_bytes()
        unknown = self.file("unknown.wat", '(module (import "env" "fork" (func)) '
                                           '(memory (export "memory") 1) (func (export "_start")))')
        cases = (
            (self.file("text.wasm", "this is not a module"), "module"),
            (self.file("cut.wasm", whole[:len(whole) // 2]), "module"),
            (self.file("empty.wasm", b""), "module|empty"),
            (self.folder / "missing.wasm", "missing.wasm"),
            (unknown, "env.fork"),
        )
        for path, pattern in cases:
            with self.subTest(path=path.name):
                self.fails_in_one_line(125, pattern, path)

    def test_wrong_flags(self):
        cases = (
            (("--tmeout", "1s"), "--timeout"),
            (("--fuel", "plenty"), "plenty"),
            (("--memory", "12 parsecs"), "12 parsecs"),
            (("--timeout", "soon"), "soon"),
            (("--input", "{not json"), "JSON|json"),
            (("--input", "@" + str(self.folder / "absent.json")), "absent.json"),
            (("--dir", str(self.folder / "absent") + "::/x"), "absent"),
            (("--env", "NOVALUE"), "NOVALUE"),
            (("--capabilities", str(self.file("caps.json", '{"tols":["llm"]}'))), "tols"),
        )
        for flags, pattern in cases:
            with self.subTest(flags=flags):
                self.fails_in_one_line(125, pattern, *flags, guest("exit7.wasm"))

    def test_an_unknown_command_and_an_unknown_agent(self):
        done = shannon("rnu", check=125)
        self.assertIn(b"run", done.stderr)
        self.fails_in_one_line(125, "no_such_agent", "no_such_agent")

    def test_a_directory_that_nobody_may_map(self):
        self.fails(126, "/proc", "--dir", "/proc::/p", guest("exit7.wasm"))
        self.fails(126, "data", "--dir", f"{self.data}::/d", guest("exit7.wasm"))
        self.fails(126, "data", "--dir", f"{self.folder}::/d", guest("exit7.wasm"))

    def test_a_task_that_never_ran_is_verified_without_a_replay(self):
        gone = self.folder / "gone"
        self.fails_in_one_line(125, "no directory .*gone", "--dir", "%s::/g" % gone,
                               guest("hello.wasm"))
        task = json.loads(shannon("tasks", "--json", "--data-dir", self.data).stdout)["tasks"][0]
        done = shannon("verify", task["task_id"], "--json", "--data-dir", self.data)
        verified = json.loads(done.stdout)
        self.assertEqual((done.returncode, verified["ok"], verified["replay"]),
                         (0, True, "skipped"), verified)

    def test_an_empty_query_is_refused(self):
        self.fails_in_one_line(125, "query is empty; expected 1 to 10000 characters",
                               "--input", '{"query":""}', guest("hello.wasm"))
        self.fails_in_one_line(125, "at most 10000 characters, got 10001",
                               "--input", json.dumps({"query": "q" * 10001}), guest("hello.wasm"))
        self.run_agent("--input", json.dumps({"query": "q" * 10000}), guest("hello.wasm"), check=0)

    def test_a_denied_tool_fails_in_the_agent(self):
        policy = self.file("policy.toml", '[[rules]]\nagent = "*"\n[rules.deny]\ntools = ["kv"]\n')
        done = self.run_agent("--policy", policy, guest("seq.wasm"), env=harness.clean_environment(
            SHANNON_LLM_BASE_URL="http://127.0.0.1:9/v1"), timeout=300)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(b"kv.put failed: ", done.stdout)

    def test_an_owner_that_does_not_answer(self):
        """It holds the lock and listens nowhere: it is waited for, and then named."""
        self.data.mkdir(mode=0o700)
        with open(self.data / "lock", "w") as lock:
            lock.write("%d\n" % os.getpid())
            lock.flush()
            whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(lock, fcntl.F_OFD_SETLK, whole)
            text = self.fails(125, str(os.getpid()), guest("exit7.wasm"))
        self.assertIn("--ephemeral", text)

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            env = harness.clean_environment(SHANNON_SERVER_LISTEN=f"127.0.0.1:{port}")
            done = shannon("serve", "--data-dir", self.data, env=env, check=125)
            self.assertIn(str(port).encode(), done.stderr)

    def test_a_configuration_with_an_unknown_key(self):
        config = self.file("shannon.toml", "[server]\nlissten = \"127.0.0.1:0\"\n")
        done = shannon("serve", "--data-dir", self.data, "--config", config, check=125)
        self.assertIn(b"listen", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "another user's view needs root to begin with")
    def test_a_data_directory_that_is_not_writable(self):
        os.chmod(self.folder, 0o755)
        try:
            subprocess.run([harness.BIN, "version"], user=NOBODY, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"an unprivileged user cannot run the program here: {error}")
        done = subprocess.run([harness.BIN, "run", "--data-dir", self.data, guest("exit7.wasm")],
                              user=NOBODY, group=NOBODY, extra_groups=[], stdin=subprocess.DEVNULL,
                              capture_output=True, env=harness.clean_environment(), timeout=60)
        self.assertEqual(done.returncode, 125, done)
        self.assertIn(str(self.data).encode(), done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
    def test_a_full_disk(self):
        small = self.folder / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small],
                          capture_output=True).returncode != 0:
            self.skipTest("mounting is not allowed here")
        try:
            with open(small / "filler", "wb", buffering=0) as filler:
                try:
                    while filler.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            done = shannon("run", "--data-dir", small / "data", guest("exit7.wasm"))
            self.assertEqual(done.returncode, 125, done)
            self.assertRegex(done.stderr.decode(), "(?i)space|disk")
        finally:
            subprocess.run(["umount", "-l", small], check=False)


class Neighbours(Run):
    def test_an_endless_loop_delays_nobody(self):
        server = Server(self.data)
        self.addCleanup(server.kill)
        server.add_module(guest("spin.wasm"), "spin")
        server.add_module(guest("sleepers.wasm"), "sleeper")
        spin = server.submit({"query": "spin", "agent": "spin",
                              "limits": {"fuel": 1 << 60, "wall_clock": "10m"}})
        tasks = [server.submit({"agent": "sleeper", "query": "q",
                                "input": {"times": 3, "ms": 20}}) for _ in range(100)]
        for task in tasks:
            self.assertEqual(server.wait_for_end(task)[-1]["type"], "WorkflowCompleted")
        self.assertEqual(server.task(spin)["status"], "TASK_STATUS_RUNNING")
        status, _, _ = server.request("POST", f"/api/v1/tasks/{spin}/cancel", {"reason": "enough"})
        self.assertIn(status, (200, 202))
        self.assertEqual(server.wait_for_end(spin)[-1]["type"], "WorkflowCancelled")
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
