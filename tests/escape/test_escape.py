#!/usr/bin/env python3
"""The escape corpus: each attack runs under the real program, and containment is looked at from
outside. Nothing outside of the mapped directories is read or changed, the end is the one that was
promised, the program neither dies nor hangs. README.md says what each attack repeats.

SHANNON_ESCAPE_ONLY=NAME runs one of them."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "crash")]
import harness  # noqa: E402
from arena import Arena  # noqa: E402
from bombs import BOMBS  # noqa: E402
from harness import Server, shannon  # noqa: E402

ONLY = os.environ.get("SHANNON_ESCAPE_ONLY")
TIMEOUT = 300
# Where compiled code is kept between the attacks: not where the user or another test keeps it.
KEPT = harness.temporary_folder()
# Control characters that a terminal would obey, and the C1 set.
TERMINAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def attack(name):
    return harness.BUILD / "escape" / f"{name}.wasm"


# What each attack ends with: exit status and a pattern for standard error. A C guest says
# "contained" by itself; see escape.h.
CONTAINED = (0, "")
REFUSED = (125, r"not supported|is not valid")
TRAP = (134, r"trap: the agent trapped: ")
# name: (arguments after the agent, flags, end)
FILES = {name: ((), (), CONTAINED) for name in (
    "dotdot", "symlink_out", "symlink_creat", "trailing_slash", "open_trunc_read_only",
    "create_read_only", "link_across_grants", "proc_magic", "special_files", "renumber_300",
    "guessed_descriptors", "old_times", "padding", "iovecs", "path_bytes", "readdir_cookies",
    "poll_forged", "handle_flood", "sparse_file", "deep_tree", "many_files", "sockets")}
OTHERS = {
    "clocks": ((), (), CONTAINED),
    "dev_shannon": ((), ("--tool", "calculator", "--tool", "kv"), CONTAINED),
    "activity_flood": ((), ("--tool", "calculator"), CONTAINED),
    "hostile_names": ((), (), CONTAINED),
    "memory_grow": ((), (), (124, r"memory_limit")),
    "table_grow": ((), (), (124, r"memory_limit|fuel_exhausted")),
    "table_call": ((), (), (134, r"table out of bounds")),
    "table_type": ((), (), (134, r"type mismatch")),
    "recursion": ((), (), (134, r"stack_overflow")),
    "endless_loop": ((), ("--fuel", "100000000"), (124, r"fuel_exhausted")),
    "endless_host_calls": ((), ("--timeout", "2s"), (124, r"wall_clock_limit")),
    "endless_fill": ((), ("--timeout", "2s"), (124, r"wall_clock_limit|fuel_exhausted")),
    "output_flood": ((), (), (124, r"output_limit")),
    "emit_flood": ((), (), (124, r"journal_limit")),
    "checkpoint_loop": ((), (), (124, r"journal_limit")),
    "start_function": ((), ("--fuel", "100000000"), (124, r"fuel_exhausted")),
    "start_trap": ((), (), (134, r"unreachable")),
    "no_memory": ((), (), (0, None)),
    "memory_is_a_function": ((), (), (None, None)),
    "cranelift_shifted_address": ((), (), (134, r"memory out of bounds")),
    "cranelift_spilled_sign": ((), (), (134, r"memory out of bounds")),
    "cranelift_copysign": ((), (), (134, r"memory out of bounds")),
    "cranelift_vectors": ((), (), (134, r"memory out of bounds")),
    "tail_call_trap": ((), (), (None, r"unreachable|not supported")),
    "refused_memory64": ((), (), REFUSED),
    "refused_threads": ((), (), REFUSED),
    "refused_exceptions": ((), (), REFUSED),
    "refused_relaxed": ((), (), REFUSED),
    "refused_multi_memory": ((), (), (124, r"2 memories, at most 1")),
    "import_unknown": ((), (), (125, r"imports 4 things")),
    "import_type": ((), (), (125, r"imports 3 things|type")),
    "import_memory": ((), (), (125, r"imports 3 things")),
}
# A journal of the usual 64 MiB takes a minute to fill.
SMALL = {"emit_flood": {"journal": "4MiB"}, "checkpoint_loop": {"journal": "4MiB"}}
# Attacks with a test of their own below.
OWN = {"absolute", "environment", "swap_race", "leftovers", "ends", "memory_edge"}
ENDS = {"runs": (0,), "trap": (134, 125), "limit": (124,), "module": (125,), "import": (125,)}


class Corpus(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.arena = Arena(folder.name)
        self.addCleanup(self.arena.close)
        self.tmp = self.arena.folder / "tmp"
        self.tmp.mkdir()
        self.env = harness.clean_environment(ESCAPE_SECRET=self.arena.secret, TMPDIR=self.tmp,
                                             XDG_CACHE_HOME=self.tmp, XDG_DATA_HOME=KEPT.name)

    def dirs(self):
        return ("--dir", f"{self.arena.rw}::/rw", "--dir", f"{self.arena.ro}::/ro::ro")

    def run_attack(self, module, *args, flags=(), ephemeral=True):
        kept = ("--ephemeral",) if ephemeral else ("--data-dir", self.tmp / "data")
        return shannon("run", *kept, *self.dirs(), *flags, module, "--", *args, env=self.env,
                       timeout=TIMEOUT)

    def check(self, done, end):
        status, pattern = end
        told = done.stdout + done.stderr
        self.assertNotIn(b"ESCAPED", told, told[-2000:])
        self.assertGreaterEqual(done.returncode, 0, "the program died by a signal")
        if status is not None:
            self.assertEqual(done.returncode, status, told[-2000:])
        if end == CONTAINED and b"contained" not in done.stdout:
            self.fail(f"it did not say how it ended: {told[-2000:]}")
        if pattern:
            self.assertRegex(done.stderr.decode("utf-8", "replace"), pattern)
        self.assertNotIn(self.arena.secret.encode(), told)
        self.assertEqual(self.arena.differences(), [])

    def wanted(self, table):
        return {n: v for n, v in table.items() if ONLY in (None, n)}.items()


class Attacks(Corpus):
    def test_each_attack_is_listed(self):
        built = {p.stem for p in HERE.iterdir() if p.suffix in (".c", ".wat")}
        self.assertEqual(built, {*FILES, *OTHERS, *OWN})
        readme = (HERE / "README.md").read_text()
        for name in [*built, *BOMBS]:
            self.assertIn(f"`{name}`", readme, "the table of the README leaves it out")

    def test_attacks_on_files_are_contained_with_a_journal_and_without(self):
        for name, (args, flags, end) in self.wanted(FILES):
            for ephemeral in (True, False):
                with self.subTest(name=name, ephemeral=ephemeral):
                    self.check(self.run_attack(attack(name), *args, flags=flags,
                                               ephemeral=ephemeral), end)

    def test_attacks_on_the_machine_end_as_promised(self):
        for name, (args, flags, end) in self.wanted(OTHERS):
            with self.subTest(name=name):
                if name in SMALL:
                    path = self.tmp / "capabilities.json"
                    path.write_text(json.dumps({"limits": SMALL[name]}))
                    flags = ("--capabilities", path, *flags)
                done = self.run_attack(attack(name), *args, flags=flags,
                                       ephemeral=name not in SMALL)
                self.check(done, end)
                if name != "output_flood":  # its output is its own
                    self.assertIsNone(TERMINAL.search(done.stderr.decode("utf-8", "replace")),
                                      done.stderr[-2000:])

    def test_bombs_are_refused_or_run_within_their_limits(self):
        path = self.tmp / "bomb.wasm"
        for name, (make, ends) in self.wanted(BOMBS):
            with self.subTest(name=name):
                path.write_bytes(make())
                done = self.run_attack(path)
                allowed = [s for e in ([ends] if isinstance(ends, str) else ends) for s in ENDS[e]]
                self.assertIn(done.returncode, allowed, done.stderr[-2000:])
                self.assertIsNone(TERMINAL.search(done.stderr.decode("utf-8", "replace")),
                                  done.stderr[-2000:])
                self.assertEqual(bool(done.returncode), bool(done.stderr))

    def test_absolute_paths_do_not_leave(self):
        for ephemeral in (True, False):
            self.check(self.run_attack(attack("absolute"), self.arena.outside / "secret",
                                       ephemeral=ephemeral), CONTAINED)

    def test_nothing_of_the_environment_is_there_and_an_argument_stays_one(self):
        self.check(self.run_attack(attack("environment"), "a b\nc", "--dir", "/::/host",
                                   flags=("--env", "GIVEN=x\ty")), CONTAINED)
        for bad in ("=x", "A\nB=1", ""):
            done = self.run_attack(attack("environment"), flags=("--env", bad))
            self.assertEqual(done.returncode, 125, done)

    def test_one_past_the_end_of_memory_traps_at_every_width(self):
        for which in range(5):
            with self.subTest(which=which):
                self.check(self.run_attack(attack("memory_edge"), str(which)),
                           (134, "memory out of bounds"))

    def test_ends_that_pretend(self):
        for args, status in ((("exit", "0"), 0), (("exit", "7"), 7), (("exit", "126"), 126),
                             (("exit", "256"), None), (("exit", "-1"), None),
                             (("raise", "9"), 134), (("raise", "11"), 134), (("raise", "0"), 9),
                             (("raise", "77"), 9)):
            with self.subTest(args=args):
                self.check(self.run_attack(attack("ends"), *args), (status, None))

    def test_a_directory_that_is_swapped_for_a_link_leads_nowhere(self):
        turns = "20000" if os.environ.get("SHANNON_LONG") else "3000"
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(self.run_attack, attack("swap_race"), role, turns)
                    for role in ("swap_1", "swap_2", "open", "open")]
            for job in jobs:
                self.check(job.result(), CONTAINED)


class OneServer(Corpus):
    """All of them at once on one server, each in an arena of its own; it is well afterwards."""

    def setUp(self):
        super().setUp()
        self.many = self.tmp / "many"

    def place(self, name):
        (self.many / name).mkdir(parents=True)
        arena = Arena(self.many / name)
        self.addCleanup(arena.close)
        return arena

    def start(self):
        data = self.tmp / "data"
        data.mkdir(mode=0o700)
        (data / "policy.toml").write_text(f"""
[[rules]]
agent = "*"
allow = {{ tools = ["calculator", "kv"], filesystem = [{{ host = "{self.many}", guest = "/",
  dir_perms = ["read", "write"], file_perms = ["read", "write"] }}] }}
""")
        server = Server(data, ESCAPE_SECRET=self.arena.secret, TMPDIR=self.tmp)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def submit(self, server, name, arena, *args, **limits):
        return server.submit({"query": "q", "agent": name, "args": list(args), "capabilities": {
            "tools": ["calculator", "kv"], "limits": limits,
            "filesystem": [{"host": str(arena.rw), "guest": "/rw",
                            "dir_perms": ["read", "write"], "file_perms": ["read", "write"]},
                           {"host": str(arena.ro), "guest": "/ro", "dir_perms": ["read"],
                            "file_perms": ["read"]}]}})

    def test_all_attacks_at_once_leave_a_server_that_is_well(self):
        server = self.start()
        names = [n for n, (_, _, end) in {**FILES, **OTHERS}.items()
                 if not n.startswith(("import", "refused"))
                 and n not in ("many_files", "checkpoint_loop") and ONLY in (None, n)]
        tasks = {}
        for name in names:
            server.add_module(attack(name), name)
            arena = self.place(name)
            tasks[name] = arena, self.submit(server, name, arena, fuel=300000000, wall_clock="20s")
        for name, (arena, task) in tasks.items():
            with self.subTest(name=name):
                events = server.wait_for_end(task, TIMEOUT)
                told = json.dumps(events)
                self.assertNotIn(arena.secret, told)
                self.assertNotRegex(told, "ESCAPED.{0,200}")
                self.assertEqual(arena.differences(), [])
                self.assertNotEqual(events[-1]["body"].get("code"), "internal_error", events[-1])
        status, health, _ = server.request("GET", "/health")
        self.assertEqual(status, 200, health)
        self.assertEqual(server.stop(), 0, server.output.all())

    def test_forged_names_make_no_frames_in_the_stream(self):
        server = self.start()
        server.add_module(attack("hostile_names"), "hostile_names")
        task = self.submit(server, "hostile_names", self.place("names"))
        events = server.wait_for_end(task)
        stream = self.stream(server, task)
        ids = [int(n) for n in re.findall(r"^id: ?(\d+)$", stream, re.M)]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertLessEqual(set(ids), {e["seq"] for e in events})
        for line in stream.split("\n"):
            self.assertRegex(line, r"^(id|event|data|retry)?:|^$")
            if line.startswith("data:"):
                text = line[5:].strip()
                if text.startswith("{"):
                    json.loads(text)
        self.assertIsNone(TERMINAL.search(stream))
        self.assertEqual(stream.count("event: WORKFLOW_COMPLETED"), stream.count("event: done"))

    def stream(self, server, task):
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        key = (server.data_dir / "api-key").read_text().strip()
        connection.request("GET", f"/api/v1/stream/sse?workflow_id={task}", None,
                           {"X-API-Key": key})
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def test_memory_of_one_agent_is_not_seen_by_the_next(self):
        server = self.start()
        server.add_module(attack("leftovers"), "leftovers")
        arena = self.place("leftovers")
        for role in ("fill", "fill", "look", "look", "fill", "look"):
            task = self.submit(server, "leftovers", arena, role, "SECRETxx")
            end = server.wait_for_end(task)[-1]
            self.assertEqual(end["type"], "WorkflowCompleted", (role, end))


if __name__ == "__main__":
    unittest.main(verbosity=2)
