"""A failed agent says where: file and line of each frame, of inlined functions too, on stderr, in
the journal and in the API, whatever its module says of itself, and a replay is none the wiser."""

import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import Server, guest, shannon  # noqa: E402

SOURCE = harness.SOURCE / "tests/guests/trap_lines.c"
ORDER = ("inlined", "below", "above", "main")


def leb(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def read_leb(data, at):
    n = shift = 0
    while True:
        byte = data[at]
        n |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return n, at


def sections(module):
    """[id, content] of each."""
    at, found = 8, []
    while at < len(module):
        kind = module[at]
        size, start = read_leb(module, at + 1)
        found.append((kind, module[start:start + size]))
        at = start + size
    return found


def custom_name(kind, content):
    if kind != 0:
        return None
    n, at = read_leb(content, 0)
    return content[at:at + n].decode()


def custom(name, content):
    return 0, leb(len(name)) + name.encode() + content


def module_of(parts):
    return b"\0asm\1\0\0\0" + b"".join(bytes([k]) + leb(len(c)) + c for k, c in parts)


def lines_wanted():
    """The line of each function's place, from the comments in the source."""
    return {m.group(1): i for i, text in enumerate(SOURCE.read_text().splitlines(), 1)
            for m in [re.search(r"/\* line of (\w+) \*/", text)] if m}


def line_program(rows, special):
    """A unit of .debug_line, DWARF 4, of one file and so many rows."""
    header = struct.pack("<BBBbBB", 1, 1, 1, -3, 12, 13) + bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
    header += b"\0" + b"x.c\0\0\0\0" + b"\0"
    start = bytes([0, 5, 2]) + struct.pack("<I", 0)
    program = start + bytes([special]) * rows + bytes([0, 1, 1])
    body = struct.pack("<H", 4) + struct.pack("<I", len(header)) + header + program
    return struct.pack("<I", len(body)) + body


class Lines(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data = self.folder / "data"

    def trap(self, module, name="agent.wasm", **more):
        """What a run that traps leaves: its stderr, and its last event."""
        path = self.folder / name
        path.write_bytes(module)
        done = shannon("run", "--data-dir", self.data, path, check=134, **more)
        return done.stderr.decode(), self.last_event()

    def last_event(self):
        task = self.tasks()[0]["task_id"]
        out = shannon("events", "--data-dir", self.data, "--json", task, check=0).stdout
        events = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(events[-1]["type"], "WorkflowFailed")
        return events[-1]["body"]

    def tasks(self):
        listed = json.loads(shannon("tasks", "--data-dir", self.data, "--json", check=0).stdout)
        return listed["tasks"] if isinstance(listed, dict) else listed

    def without_lines(self, module, name="agent.wasm"):
        """It ends as it does, with names and without lines, and in time."""
        started = time.monotonic()
        text, body = self.trap(module, name)
        self.assertLess(time.monotonic() - started, 100)
        self.assertIn("unreachable", text)
        self.assertRegex(text, r"(?m)^  \d: below\b")
        self.assertEqual(body["trap"], "unreachable")
        self.assertTrue(all("offset" in frame for frame in body["backtrace"]), body)
        return text


class WhatCHasToSay(Lines):
    def test_each_frame_has_its_file_and_line(self):
        """The module has bulk instructions, so that its code was moved when it was compiled."""
        module = guest("trap_lines.wasm").read_bytes()
        code = next(c for k, c in sections(module) if k == 10)
        self.assertGreaterEqual(code.count(b"\xfc\x0a\0\0") + code.count(b"\xfc\x0b\0"), 5)
        text, body = self.trap(module)
        wanted = lines_wanted()
        self.assertEqual(set(wanted), set(ORDER))
        for i, name in enumerate(ORDER):
            self.assertRegex(text, rf"(?m)^  {i}: {name} at \S*tests/guests/trap_lines\.c:"
                                   rf"{wanted[name]}$")
            frame = body["backtrace"][i]
            self.assertEqual((frame["function"], frame["line"]), (name, wanted[name]), frame)
            self.assertEqual("inlined" in frame, name == "inlined")
        self.assertRegex(text.splitlines()[0],
                         rf'in function "below" at \S*trap_lines\.c:{wanted["inlined"]}$')
        self.assertEqual(body["backtrace"][0]["offset"], body["backtrace"][1]["offset"])

    def test_offsets_are_those_of_the_authors_module(self):
        module = guest("trap_lines.wasm").read_bytes()
        frame = self.trap(module)[1]["backtrace"][1]
        self.assertEqual(module[frame["offset"]], 0, "the offset is that of `unreachable`")

    def test_nothing_of_it_depends_on_the_environment(self):
        env = harness.clean_environment(WASMTIME_BACKTRACE_DETAILS="1")
        module = guest("trap_lines.wasm").read_bytes()
        self.assertEqual(self.trap(module)[0], self.trap(module, env=env)[0])

    def test_a_replay_is_the_same(self):
        self.trap(guest("trap_lines.wasm").read_bytes())
        done = shannon("verify", "--data-dir", self.data, "--json", self.tasks()[0]["task_id"],
                       check=0)
        self.assertIn(b'"replay":"ok"', done.stdout.replace(b" ", b""))

    def test_an_agent_without_lines_on_disk_finds_them_in_memory(self):
        """--ephemeral where no folder can be kept."""
        blocked = self.folder / "no-folder"
        blocked.write_text("")
        done = shannon("run", "--ephemeral", guest("trap_lines.wasm"), check=134,
                       env=harness.clean_environment(SHANNON_DATA_DIR=blocked))
        self.assertRegex(done.stderr.decode(), r"(?m)^  1: below at \S*trap_lines\.c:\d+$")

    def test_the_api_says_where(self):
        server = Server(self.data)
        self.addCleanup(server.stop)
        server.add_module(guest("trap_lines.wasm"), "trap_lines")
        task = server.submit({"query": "q", "agent": "trap_lines"})
        server.wait_for_end(task)
        seen = server.task(task)
        wanted = lines_wanted()
        self.assertIn(f"trap_lines.c:{wanted['inlined']}", seen["error"])
        for i, name in enumerate(ORDER):
            self.assertRegex(seen["backtrace"][i],
                             rf"^{name} at \S*trap_lines\.c:{wanted[name]}$")


class WhatOthersHaveToSay(Lines):
    def changed(self, change):
        """trap_lines.wasm with each section of debugging information changed, or dropped (None)."""
        parts = []
        for kind, content in sections(guest("trap_lines.wasm").read_bytes()):
            name = custom_name(kind, content)
            if name and name.startswith(".debug_"):
                at = len(leb(len(name))) + len(name)
                content = change(name, content[at:])
                if content is None:
                    continue
                kind, content = custom(name, content)
            parts.append((kind, content))
        return module_of(parts)

    def test_a_stripped_module_has_names_alone(self):
        text = self.without_lines(self.changed(lambda name, content: None))
        self.assertNotIn("trap_lines.c", text)

    def test_a_module_that_lost_a_part_of_it(self):
        for lost in (".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_ranges"):
            with self.subTest(lost=lost):
                self.without_lines(self.changed(lambda n, c: None if n == lost else c))

    def test_damaged_information_changes_nothing_else(self):
        seed = int(time.time()) if os.environ.get("SHANNON_FUZZ_SEED") == "0" else 7
        chance = random.Random(seed)

        def damage(name, content):
            content = bytearray(content)
            for _ in range(max(1, len(content) // 500)):
                content[chance.randrange(len(content))] = chance.randrange(256)
            return bytes(content)

        for i in range(12):
            with self.subTest(seed=seed, i=i):
                self.without_lines(self.changed(damage), f"damaged{i}.wasm")

    def test_random_information(self):
        chance = random.Random(11)
        self.without_lines(self.changed(lambda n, c: chance.randbytes(len(c))))

    def test_a_table_of_lines_that_explodes(self):
        """Fifty million rows from fifty megabytes: more than the child may hold, or as much as it
        can read in time. The agent ends as it does, and the program is as well as before."""
        program = line_program(50_000_000, 0x80)
        module = self.changed(lambda n, c: program if n == ".debug_line" else c)
        self.without_lines(module)
        self.without_lines(guest("trap_lines.wasm").read_bytes(), "after.wasm")

    def test_a_great_deal_of_information_is_read_all_the_same(self):
        """Thousands of units of other functions before the one that is asked for."""
        unit = line_program(2000, 0x80)
        module = self.changed(lambda n, c: c + unit * 8000 if n == ".debug_line" else c)
        self.assertGreater(len(module), 15 << 20)
        text, _ = self.trap(module)
        self.assertRegex(text, r"(?m)^  1: below at \S*trap_lines\.c:\d+$")

    def test_a_deep_stack_is_cut_and_read_once(self):
        text = shannon("run", "--data-dir", self.data, guest("diff_process.wasm"), "--", "traps",
                       "deep", check=134).stderr.decode()
        self.assertRegex(text, r"(?m)^  9: \w+ at \S*diff_process\.c:\d+$")
        self.assertLess(len(text.splitlines()), 130)

    def test_rust(self):
        rustc = shutil.which("rustc")
        target = "wasm32-wasip1"
        if not rustc or not pathlib.Path(subprocess.run(
                [rustc, "--print", "target-libdir", "--target", target], capture_output=True,
                text=True).stdout.strip() or "/nonexistent").is_dir():
            self.skipTest(f"no rustc for {target}")
        source = self.folder / "agent.rs"
        source.write_text("""
#[derive(Clone)]
struct Thing<T> { held: Vec<T> }

impl<T: Copy + Into<u64>> Thing<T> {
    #[inline(never)]
    fn fails(&self, at: usize) -> u64 {
        let copy = self.held.clone();
        copy[at].into() // fails
    }
}

fn main() {
    let thing = Thing { held: vec![1u32; 1000] };
    println!("{}", thing.fails(std::env::args().count() + 5000)); // calls
}
""")
        wasm = self.folder / "agent.wasm"
        subprocess.run([rustc, "--edition", "2021", "-O", "-g", "--target", target, "-C",
                        "target-feature=+bulk-memory", "-o", wasm, source], check=True,
                       cwd=self.folder)
        text, body = self.trap(wasm.read_bytes(), "rust.wasm")
        lines = source.read_text().splitlines()
        fails = 1 + next(i for i, line in enumerate(lines) if line.endswith("// fails"))
        calls = 1 + next(i for i, line in enumerate(lines) if line.endswith("// calls"))
        self.assertRegex(text, rf"(?m)^ +\d+: .*Thing<.*fails\S* at \S*agent\.rs:{fails}$")
        self.assertRegex(text, rf"(?m)^ +\d+: agent::main\S* at \S*agent\.rs:{calls}$")
        inlined = [f["function"] for f in body["backtrace"] if "inlined" in f]
        self.assertTrue(any("index" in name for name in inlined), inlined)


if __name__ == "__main__":
    unittest.main(verbosity=2)
