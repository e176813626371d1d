"""An agent of each language is killed in the middle, with one answer written down and one under way. It
goes on, asks for no written answer again and for the other one under its old key, and ends as if
nothing had happened."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import toolchains  # noqa: E402
from toolchains import LANGUAGES, harness  # noqa: E402
from harness import ScriptedModel, Server  # noqa: E402

SLOW = {"rules": [{"match": "one:", "content": "first"},
                  {"match": "two:", "content": "second", "hang": True, "times": 1},
                  {"match": "two:", "content": "second"}]}


class Kill(unittest.TestCase):
    def killed(self, language):
        agent = toolchains.build(language, toolchains.steps(language), "steps")
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        data = pathlib.Path(folder.name) / "data"
        model = ScriptedModel(folder.name, SLOW)
        self.addCleanup(model.stop)
        server = Server(data, **model.environment())
        self.addCleanup(lambda: server.kill())
        server.add_module(agent, "steps")
        task = server.submit({"agent": "steps", "query": "q"})

        def one_is_written(events):
            return any(e["type"] == "ActivityCompleted" and e["body"]["op"] == "llm"
                       for e in events)

        server.wait_until(task, one_is_written)
        server.kill()
        server = Server(data, **model.environment())
        server.wait_for_end(task)
        self.assertEqual(server.task(task)["output"],
                         {"answer": "first / second", "value": 42})
        verified = server.verify(task)
        self.assertTrue(verified["ok"], verified)
        keys = {}
        for request in model.requests():
            keys.setdefault(request["last_user"], []).append(request["idempotency_key"])
        self.assertEqual(sorted(keys), ["one: q", "two: q"])
        self.assertEqual(len(keys["one: q"]), 1)
        self.assertEqual(len(set(keys["two: q"])), 1, keys)


def case(language):
    return lambda self: self.killed(language)


for each in LANGUAGES:
    setattr(Kill, f"test_{each}_goes_on_where_it_was", case(each))


if __name__ == "__main__":
    unittest.main(verbosity=2)
