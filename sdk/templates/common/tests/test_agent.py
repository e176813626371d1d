"""Runs the agent against a scripted model: offline, and the same every time."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from model import Model

ROOT = pathlib.Path(__file__).resolve().parent.parent
AGENT = ROOT / os.environ["AGENT"]
DATA = ROOT / "build/data"  # compiled code is kept here; `make clean` removes it


def shannon(*args, **environment):
    return subprocess.run([os.environ.get("SHANNON", "shannon"), *map(str, args), "--data-dir",
                           str(DATA)], capture_output=True, text=True, timeout=300,
                          env={**os.environ, **environment}, check=False)


def setUpModule():
    if not (DATA / "aot").exists():
        print("compiling for this machine: only the first test here waits, some seconds for Python",
              file=sys.stderr, flush=True)


class Agent(unittest.TestCase):
    def ask(self, query, *answers):
        model = Model(*answers)
        self.addCleanup(model.stop)
        done = shannon("run", "--input", json.dumps({"query": query}), AGENT,
                       **model.environment())
        return done, model.questions

    def test_it_answers_with_what_the_model_said(self):
        done, questions = self.ask("Why is the sky blue?", "Air scatters blue light.")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["answer"], "Air scatters blue light.")
        self.assertEqual(questions, ["Answer in one sentence: Why is the sky blue?"])

    def test_it_says_why_it_could_not(self):
        done, _ = self.ask("Why?", 400)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("upstream_rejected", done.stderr)

    def test_it_replays(self):
        self.ask("Why?", "Because.")
        done = shannon("verify", "--all")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
