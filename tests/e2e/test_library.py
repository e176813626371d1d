#!/usr/bin/env python3
"""The C library as a stranger has it: installed, found by pkg-config, compiled against, killed and
started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = os.environ["SHANNON_SOURCE"]
BUILD = os.environ["SHANNON_BUILD"]
BIN = os.environ["SHANNON_BIN"]
LIMIT = 120


class Library(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("pkg-config") or not shutil.which("cc"):
            print("skipped: no pkg-config or no C compiler")
            sys.exit(77)
        cls.folder = tempfile.mkdtemp(prefix="shannon-library-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        prefix = os.path.join(cls.folder, "usr")
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix, "--component", "library"],
                       check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
        os.makedirs(os.path.join(prefix, "bin"))
        os.symlink(BIN, os.path.join(prefix, "bin", "shannon"))
        pc = next(d for d, _, files in os.walk(prefix) if "durable_shannon.pc" in files)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "durable_shannon"], check=True,
                               capture_output=True, text=True, timeout=LIMIT,
                               env=dict(os.environ, PKG_CONFIG_PATH=pc)).stdout.split()
        cls.libdir = os.path.dirname(pc)
        cls.program = os.path.join(cls.folder, "embed")
        subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic",
                        os.path.join(SOURCE, "examples/embed/embed.c"), "-o", cls.program, *flags,
                        "-Wl,-rpath," + cls.libdir], check=True, timeout=LIMIT)

    def embed(self, data, *args):
        return subprocess.Popen([self.program, data, *args], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def test_the_example_runs_an_agent(self):
        data = os.path.join(self.folder, "one")
        agent = os.path.join(BUILD, "guests", "seq.wasm")
        run = self.embed(data, os.path.join(BUILD, "guests", "hello.wasm"), "anything")
        out, err = run.communicate(timeout=LIMIT)
        self.assertEqual(run.returncode, 0, err)
        task = json.loads(out.splitlines()[1])
        self.assertEqual(task["status"], "completed", task)
        self.assertIn("WorkflowStarted", err)
        self.assertIn("WorkflowCompleted", err)
        # the program reads what the library wrote, once that has let go of it
        done = subprocess.run([BIN, "verify", task["id"], "--json", "--data-dir", data],
                              capture_output=True, text=True, timeout=LIMIT, check=False)
        self.assertTrue(json.loads(done.stdout)["ok"], done)
        run = self.embed(data, agent, 'no "quotes"')
        _, err = run.communicate(timeout=LIMIT)
        self.assertEqual((run.returncode, "invalid_json" in err), (1, True), err)

    def test_a_task_goes_on_after_its_program_was_killed(self):
        data = os.path.join(self.folder, "two")
        counter = os.path.join(BUILD, "guests", "counter.wasm")
        run = self.embed(data, counter, "count")
        task = run.stdout.readline().strip()
        self.assertTrue(task.startswith("wf-"), task)
        while '"Published"' not in run.stderr.readline():
            self.assertIsNone(run.poll())
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=LIMIT)
        with subprocess.Popen([BIN, "serve", "--data-dir", data, "--listen", "127.0.0.1:0"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            end = time.monotonic() + LIMIT
            while time.monotonic() < end:
                done = subprocess.run([BIN, "update", task, "add", "5", "--json", "--data-dir", data],
                                      capture_output=True, text=True, timeout=LIMIT, check=False)
                if done.returncode == 0:
                    break
                time.sleep(0.1)
            self.assertEqual(json.loads(done.stdout)["result"], 5, done)
            done = subprocess.run([BIN, "signal", task, "stop", "--data-dir", data],
                                  capture_output=True, text=True, timeout=LIMIT, check=False)
            self.assertEqual(done.returncode, 0, done)
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=LIMIT)
        run = self.embed(data, counter, task)
        out, err = run.communicate(timeout=LIMIT)
        self.assertEqual(run.returncode, 0, err)
        self.assertEqual(json.loads(out.splitlines()[1])["result"], "5")

    def test_only_its_own_names_are_shown(self):
        library = os.path.join(self.libdir, "libdurable_shannon.so")
        if not shutil.which("nm"):
            self.skipTest("no nm")
        names = subprocess.run(["nm", "-D", "--defined-only", library], check=True, text=True,
                               capture_output=True, timeout=LIMIT).stdout.split("\n")
        names = [line.split()[-1].split("@")[0] for line in names if line]
        self.assertTrue(all(n.startswith("durable_") for n in names), names[:20])


if __name__ == "__main__":
    unittest.main(verbosity=2)
