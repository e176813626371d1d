"""The agent that every SDK has an example of asks for the same things, in the same order, and is told
the same, whatever language it is written in; its replay agrees with its journal."""

import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import toolchains  # noqa: E402
from toolchains import LANGUAGES, harness  # noqa: E402
from harness import ScriptedModel, shannon  # noqa: E402

GRANTS = ("--tool", "llm", "--tool", "kv", "--tool", "calculator")


class Steps(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = harness.temporary_folder()
        cls.addClassCleanup(folder.cleanup)
        cls.data = pathlib.Path(folder.name) / "data"
        cls.model = ScriptedModel(folder.name)
        cls.addClassCleanup(cls.model.stop)
        cls.env = harness.clean_environment(**cls.model.environment())
        cls.expected = cls.run_agent("c")

    @classmethod
    def run_agent(cls, language):
        agent = toolchains.build(language, toolchains.steps(language), "steps")
        done = shannon("run", "--data-dir", cls.data, *GRANTS, "--events", "--input",
                       '{"query": "q"}', agent, env=cls.env, timeout=300, check=0)
        events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{")]
        told = [e["body"] if e["type"] == "Emitted" else e["body"]["args"] for e in events
                if e["type"] == "Emitted" or e["body"].get("op") == "emit"]
        emitted = [(body["type"], body["data"]) for body in told]
        return toolchains.calls(events), emitted, json.loads(done.stdout)

    def test_the_expected_sequence_is_the_one_of_the_source(self):
        calls, emitted, output = self.expected
        self.assertEqual([op for op, _, _ in calls],
                         ["calculator", "llm", "llm", "kv.put", "sleep"])
        self.assertEqual(emitted, [("progress", {"message": "begin"})])
        self.assertEqual(output["value"], 42)

    def test_every_replay_agrees(self):
        done = shannon("verify", "--all", "--data-dir", self.data, timeout=300, check=0)
        self.assertIn(b" 0 failed", done.stdout)


def same(language):
    def test(self):
        self.assertEqual(self.run_agent(language), self.expected)

    return test


for each in LANGUAGES:
    if each != "c":
        setattr(Steps, f"test_{each}_asks_for_the_same_as_c", same(each))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    unittest.main(verbosity=2)
