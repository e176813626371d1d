#!/usr/bin/env python3
"""`shannon explain`: what an agent would be given and why, beside what really happens."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_api import BIN, BUILD, LIMIT, Server  # noqa: E402

POLICY = """
[[rules]]
agent = "activity"
ask = { tools = ["calculator"] }
deny = { tools = ["kv"] }
limits = { fuel = 5_000_000 }

[[rules]]
agent = "*"
allow = { tools = ["llm"], env = { LANG = "C" } }
"""
MANIFEST = """
tools = ["calculator", "kv", "llm"]
env = { LANG = true }
limits = { fuel = 9_000_000, memory = "8MiB" }
"""


class Explain(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="shannon-explain-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data, 0o700)
        self.module = os.path.join(self.folder, "activity.wasm")
        shutil.copy(os.path.join(BUILD, "guests", "activity.wasm"), self.module)
        self.manifest = self.write("manifest.toml", MANIFEST)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def command(self, *args, data=None):
        return subprocess.run([BIN, *args, "--data-dir", data or self.data], capture_output=True,
                              text=True, timeout=LIMIT, check=False, cwd=self.folder)

    def explain(self, *args, status=0, data=None):
        done = self.command("explain", "--json", *args, data=data)
        self.assertEqual(done.returncode, status, done.stderr)
        told = json.loads(done.stdout)
        return told, {row["capability"]: row for row in told["capabilities"]}

    def register(self):
        done = self.command("modules", "add", self.module, "--name", "activity", "--manifest",
                            self.manifest)
        self.assertEqual(done.returncode, 0, done.stderr)

    def check_rules(self, told, rows):
        first = 'rule 1 of the policy (agent "activity")'
        self.assertEqual(rows["tool calculator"]["verdict"], "ask")
        self.assertEqual(rows["tool calculator"]["gets"], ["calculator"])
        self.assertIn(first, rows["tool calculator"]["rule"])
        self.assertEqual(rows["tool kv"]["verdict"], "deny")
        self.assertIn(first, rows["tool kv"]["rule"])
        self.assertEqual(rows["tool llm"]["verdict"], "allow")
        self.assertIn("rule 2 of the policy", rows["tool llm"]["rule"])
        self.assertEqual((rows["env LANG"]["verdict"], rows["env LANG"]["gets"]), ("allow", "C"))
        limits = {limit["name"]: limit for limit in told["limits"]}
        self.assertEqual((limits["fuel"]["value"], limits["fuel"]["from"]), (5000000, first))
        self.assertEqual((limits["memory"]["value"], limits["memory"]["from"]),
                         (8 << 20, "the manifest"))
        self.assertEqual(limits["output"]["from"], "the default")

    def test_a_registered_agent_is_explained_with_and_without_a_server(self):
        with open(os.path.join(self.data, "policy.toml"), "w", encoding="utf-8") as f:
            f.write(POLICY)
        self.register()
        told, rows = self.explain("activity")
        self.check_rules(told, rows)
        self.assertEqual(self.explain(told["module"])[0], told)
        server = Server(self.data)
        self.addCleanup(lambda: server.stop())
        self.assertEqual(self.explain("activity")[0], told)
        self.assertEqual(self.command("explain", "nobody").returncode, 125)

    def test_a_file_is_explained_before_there_is_a_data_directory(self):
        absent = os.path.join(self.folder, "absent")
        told, rows = self.explain(self.module, data=absent)
        self.assertEqual(sorted(rows), ["tool calculator", "tool kv", "tool llm"])
        self.assertEqual(told["other_tools"], "ask")
        self.assertIsNone(told["manifest"])
        self.assertFalse(os.path.exists(absent))
        self.write("activity.json", '{"capabilities": {"tools": ["kv"]}}')
        told, rows = self.explain(self.module, data=absent)
        self.assertEqual([rows[r]["verdict"] for r in sorted(rows)], ["deny", "allow", "deny"])
        self.assertEqual(told["other_tools"], "deny")

    def test_what_is_needed_and_denied_is_told_by_the_status(self):
        policy = self.write("policy.toml", POLICY.replace('"activity"', '"*"'))
        self.write("activity.json", '{"capabilities": {"tools": ["kv", "llm"], "required": ["kv"]}}')
        _, rows = self.explain(self.module, "--policy", policy, status=126)
        self.assertTrue(rows["tool kv"]["needed"])
        text = self.command("explain", self.module, "--policy", policy)
        self.assertEqual(text.returncode, 126)
        self.assertIn("tool kv (needed: the task is refused)", text.stdout)
        self.assertIn("rule 1 of the policy (all agents) denies it", text.stdout)

    def test_flags_mean_what_they_mean_to_run(self):
        notes = os.path.join(self.folder, "notes")
        os.mkdir(notes)
        told, rows = self.explain(self.module, "--dir", notes + "::/notes::ro", "--env", "A=b",
                                  "--tool", "kv", "--fuel", "77")
        self.assertEqual(rows["filesystem /notes read"]["gets"]["host"], os.path.realpath(notes))
        self.assertIn("the command line", rows["filesystem /notes read"]["rule"])
        self.assertEqual(rows["env A"]["gets"], "b")
        self.assertEqual(rows["tool kv"]["verdict"], "allow")
        self.assertEqual(rows["tool llm"]["rule"], "the request does not ask for it")
        self.assertEqual({m["name"]: m["value"] for m in told["limits"]}["fuel"], 77)

    def test_what_run_refuses_was_explained(self):
        policy = self.write("policy.toml", POLICY.replace('"activity"', '"*"'))
        run = self.command("run", "--json", "--policy", policy, self.module)
        _, rows = self.explain(self.module, "--policy", policy)
        self.assertEqual(rows["tool calculator"]["verdict"], "ask")
        self.assertEqual(json.loads(run.stdout)["output"]["error"]["code"], "permission_denied")
        self.assertEqual(self.command("explain", self.module, "--tool", "calculator", "--policy",
                                      policy).returncode, 0)

    def test_wrong_input_is_refused_by_name(self):
        bad = self.write("bad.toml", "[[rules]]\nagent = \"*\"\nallow = { tool = [] }\n")
        done = self.command("explain", self.module, "--policy", bad)
        self.assertEqual(done.returncode, 125)
        self.assertIn("bad.toml", done.stderr)
        self.assertIn("tools", done.stderr)
        self.write("activity.json", '{"capabilities": {"toolz": []}}')
        done = self.command("explain", self.module)
        self.assertEqual(done.returncode, 125)
        self.assertIn("the manifest beside", done.stderr)
        self.assertEqual(self.command("explain").returncode, 125)
        self.assertEqual(self.command("explain", self.folder + "/absent.wasm").returncode, 125)


if __name__ == "__main__":
    unittest.main(verbosity=2)
