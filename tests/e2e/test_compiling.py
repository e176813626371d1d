"""Modules that compile for minutes: what is compiled already runs beside them, and the server stops
in time."""

import os
import pathlib
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
from harness import Died, Server, guest  # noqa: E402

OPERATIONS = (0x6A, 0x6C, 0x73, 0x71, 0x74)  # i32.add, mul, xor, and, shl


def leb(value):
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def section(number, body):
    return bytes([number]) + leb(len(body)) + body


def slow_module(seed, functions=100, steps=12000):
    """Within every bound, and minutes of work for a compiler: long functions of mixed locals."""
    x = seed
    instructions = bytearray()
    for i in range(steps):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        instructions += bytes([0x20, x % 20, 0x20, (x >> 8) % 20, OPERATIONS[(x >> 16) % 5],
                               0x21, (x >> 4) % 20])
        if i % 10 == 0:
            instructions += bytes([0x20, x % 20, 0x04, 0x40, 0x20, 0, 0x41, 1, 0x6A, 0x21, 0, 0x0B])
    body = b"\x01\x14\x7f" + bytes(instructions) + b"\x0b"
    return (b"\0asm\x01\0\0\0" + section(1, b"\x01\x60\0\0") +
            section(3, leb(functions) + b"\0" * functions) + section(7, b"\x01\x06_start\0\0") +
            section(10, leb(functions) + (leb(len(body)) + body) * functions))


def workers(server):
    """The compilers at work: the server's children."""
    task = pathlib.Path(f"/proc/{server.process.pid}/task")
    return {child for thread in task.iterdir()
            for child in (thread / "children").read_text().split()}


class Compiling(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="shannon-e2e-")
        self.addCleanup(folder.cleanup)
        self.server = Server(pathlib.Path(folder.name) / "data")
        self.addCleanup(lambda: self.server.process.poll() is None and self.server.kill())

    def add_slowly(self, seed):
        def post():
            try:
                self.server.request("POST", f"/api/v1/modules?name=slow{seed}", slow_module(seed),
                                    {"Content-Type": "application/wasm"}, timeout=600)
            except (Died, AssertionError):
                pass  # the server is stopped while it compiles

        thread = threading.Thread(target=post)
        thread.start()
        self.addCleanup(thread.join)

    def wait_for_workers(self, number):
        until = time.monotonic() + 120
        while len(workers(self.server)) < number:
            self.assertLess(time.monotonic(), until, workers(self.server))
            time.sleep(0.1)
        return workers(self.server)

    def test_what_is_compiled_runs_while_all_compilers_are_held_and_the_server_stops(self):
        self.server.add_module(guest("exit7.wasm"), "small")
        places = min(4, max(2, len(os.sched_getaffinity(0))))
        for seed in range(places + 1):
            self.add_slowly(seed + 1)
        held = self.wait_for_workers(2)
        task = self.server.submit({"query": "q", "agent": "small"})
        until = time.monotonic() + 60
        while True:
            _, body, _ = self.server.request("GET", f"/api/v1/tasks/{task}")
            if body["status"] == "TASK_STATUS_FAILED":
                break
            self.assertLess(time.monotonic(), until, body)
            time.sleep(0.1)
        self.assertEqual(body["exit_status"], 7, body)
        self.assertTrue(held & workers(self.server), "the slow modules were compiled meanwhile")
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
