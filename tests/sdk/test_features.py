"""Every part of every SDK, against a server: errors with their codes, memory, waiting with a limit,
updates, approvals, children, compensations, checkpoints, cancel, continuing with another input."""

import base64
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import toolchains  # noqa: E402
from toolchains import LANGUAGES, harness  # noqa: E402
from harness import Server, guest, shannon  # noqa: E402

POLICY = """
[[rules]]
agent = "*"
allow = { tools = ["kv", "workflow", "python"] }
deny = { tools = ["http", "web_fetch"] }
"""
FOUND = {"denied": "permission_denied", "got": {"a": 1}, "missing": True, "sum": 2, "first": True,
         "second": False, "late": True, "approved": True, "child": "completed",
         "items": [{"key": "f.c", "value": 1}, {"key": "f.k", "value": {"a": 1}},
                   {"key": "f.n", "value": 2}]}
OPS = ["http", "kv.put", "kv.get", "kv.get", "kv.increment", "kv.cas", "kv.cas", "kv.list",
       "kv.delete", "signal", "sleep", "compensate", "signal", "signal.reply", "approval",
       "workflow"]


class Features(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = harness.temporary_folder()
        cls.addClassCleanup(folder.cleanup)
        cls.data = pathlib.Path(folder.name) / "data"
        cls.data.mkdir(mode=0o700)
        (cls.data / "policy.toml").write_text(POLICY)
        cls.server = Server(cls.data)
        cls.addClassCleanup(cls.server.stop)
        cls.server.add_module(guest("hello.wasm"), "child")
        cls.registered = set()

    def agent(self, language):
        if language not in self.registered:
            source = toolchains.features(language)
            self.server.add_module(toolchains.build(language, source, "features"), language)
            self.registered.add(language)
        return language

    def start(self, language, mode):
        return self.server.submit({"agent": self.agent(language), "query": "q",
                                   "input": {"mode": mode}})

    def asked(self, task, op, name=None):
        """Wait until it has asked for that."""
        def seen(events):
            return any(e["type"] == "ActivityScheduled" and e["body"]["op"] == op and
                       (name is None or e["body"]["args"].get("name") == name) for e in events)

        self.server.wait_until(task, seen)

    def ended(self, task, status="COMPLETED"):
        events = self.server.wait_for_end(task)
        row = self.server.task(task)
        self.assertEqual(row["status"], f"TASK_STATUS_{status}", events[-3:])
        verified = self.server.verify(task)
        self.assertTrue(verified["ok"], verified)
        return row, events

    def kept(self, row, key):
        done = shannon("sessions", "kv", row["session_id"], key, "--data-dir", self.data, check=0)
        return json.loads(done.stdout)

    def everything(self, language):
        task = self.start(language, "all")
        self.asked(task, "signal", "ask")
        done = shannon("update", task, "ask", '{"n": 41}', "--data-dir", self.data, check=0)
        self.assertEqual(json.loads(done.stdout), {"n": 42})
        self.server.wait_until(task, lambda ev: any(e["type"] == "ApprovalRequested" for e in ev))
        status, page, _ = self.server.request("GET", "/api/v1/approvals?status=pending")
        self.assertEqual(status, 200, page)
        question = next(a for a in page["approvals"] if a["workflow_id"] == task)
        shannon("approve", task, question["approval_id"], "--data-dir", self.data, check=0)
        row, events = self.ended(task)
        self.assertEqual(row["output"], FOUND)
        self.assertEqual([op for op, _, _ in toolchains.calls(events)], OPS)
        seen = shannon("query", task, "seen", "--data-dir", self.data, check=0)
        self.assertEqual(json.loads(seen.stdout), {"n": 1})
        checkpoints = sum(e["type"] == "Checkpoint" for e in events)
        self.assertEqual(checkpoints, 1)
        printed = b"".join(base64.b64decode(e["body"]["data"]) for e in events
                           if e["type"] == "Output")
        self.assertEqual(printed, b"before ")

    def failing(self, language):
        row, events = self.ended(self.start(language, "fail"), "FAILED")
        self.assertEqual(row["exit_status"], 1)
        self.assertIn("CompensationCompleted", [e["type"] for e in events])
        self.assertEqual(self.kept(row, "f.undone"), True)

    def canceled(self, language):
        task = self.start(language, "cancel")
        self.asked(task, "signal", "never")
        shannon("cancel", task, "--data-dir", self.data, check=0)
        row, _ = self.ended(task, "CANCELLED")
        self.assertEqual(self.kept(row, "f.cleaned"), True)

    def scripted(self, language):
        toolchains.python_wasm(harness.BUILD)
        row, _ = self.ended(self.start(language, "python"))
        self.assertEqual((row["output"]["stdout"], row["output"]["exit_status"]), ("42\n", 0))

    def again(self, language):
        row, _ = self.ended(self.start(language, "again"))
        self.assertEqual(row["output"], {"mode": "next"})

    def nul(self, language):
        """No text has NUL: a request with it is an error, where the language does not replace it."""
        row, _ = self.ended(self.start(language, "nul"))
        code = "" if language == "cpp" else "invalid_json"
        self.assertEqual(row["output"], {"code": code, "text": "a\ufffdb"})


KINDS = {"everything": "does_everything", "failing": "failure_is_undone",
         "canceled": "cancel_is_seen_and_cleaned_up", "scripted": "runs_a_script_of_its_own",
         "again": "continues_with_another_input", "nul": "says_what_becomes_of_nul"}


def case(kind, language):
    return lambda self: getattr(self, kind)(language)


for each in LANGUAGES:
    for what, says in KINDS.items():
        if (each, what) != ("c", "nul"):  # its texts end there
            setattr(Features, f"test_{each}_{says}", case(what, each))


if __name__ == "__main__":
    unittest.main(verbosity=2)
