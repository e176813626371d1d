"""Kill -9 around commits of a run of each language's agent: what comes back asks under the same
idempotency keys, asks nothing again whose answer was in the journal, and ends with the run digest of the
undisturbed run. SHANNON_CRASH_SAMPLE, _ALL and _ONLY as in tests/crash/test_kill_everywhere.py."""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import toolchains  # noqa: E402
from toolchains import LANGUAGES  # noqa: E402
import test_kill_everywhere as everywhere  # noqa: E402


class LanguagesKilled(everywhere.KillEverywhere):
    def prepare(self, name):
        """A data directory that has the agent, and where it ran once: its code is compiled."""
        agent = toolchains.build(name, toolchains.steps(name), "steps")
        template = os.path.join(self.folder, "template")
        server = self.start(template)
        server.add_module(agent, "agent")
        events = server.wait_for_end(server.submit(self.request, "warm-up"))
        self.assertEqual(events[-1]["type"], "WorkflowCompleted", events[-1])
        self.new_requests(set(everywhere.keys_by_ordinal(events)))
        self.assertEqual(server.stop(), 0, server.output.all())
        return template


for inherited in [n for n in dir(everywhere.KillEverywhere) if n.startswith("test_")]:
    setattr(LanguagesKilled, inherited, None)
for each in LANGUAGES:
    setattr(LanguagesKilled, f"test_{each}", lambda self, name=each: self.sweep(name))


if __name__ == "__main__":
    unittest.main(verbosity=2)
