"""Kill -9 in the middle of each shipped agent: it ends with the run digest of the undisturbed run, asks
under the same idempotency keys, and asks nothing again whose answer was in the journal. The model, the
search server and the pages answer by the question alone."""

import json
import os
import sys
import unittest

import harness

sys.path.insert(0, str(harness.SOURCE / "tests/lib"))
import skips  # noqa: E402
import test_kill_everywhere as everywhere  # noqa: E402
from agent_scripts import AGENTS, CSV, QUESTION, SCRIPTS, WEB  # noqa: E402
from harness import ScriptedModel, ScriptedWeb  # noqa: E402


class AgentsKilled(everywhere.KillEverywhere):
    """The sweep of KillEverywhere with what the agents need around them."""

    def setUp(self):
        super().setUp()
        self.web = ScriptedWeb(self.folder, WEB)
        self.addCleanup(self.web.stop)
        self.seen_web = 0

    def prepare(self, name):
        """A data directory whose server may search and read the scripted web, and has compiled the
        agent: it ran once."""
        if name == "python_analyst":
            skips.python_wasm(harness.BUILD)
        self.model.stop()  # it has no script
        self.model = ScriptedModel(self.folder, SCRIPTS[name])
        self.addCleanup(self.model.stop)
        self.request = {"query": QUESTION, "agent": name,
                        "input": {"query": QUESTION, "reproducible": True}}
        data = os.path.join(self.folder, "template")
        table = os.path.join(self.folder, "table")
        os.mkdir(data, 0o700)
        os.mkdir(table)
        rules = {"tools": ["llm", "calculator", "web_search", "web_fetch"]}
        with open(os.path.join(data, "policy.toml"), "w", encoding="utf-8") as file:
            file.write(f'[[rules]]\nagent = "*"\n[rules.allow]\ntools = {json.dumps(rules["tools"])}\n'
                       f'network = [{{ scheme = "http", host = "127.0.0.1", port = {self.web.port} }}]\n'
                       f'filesystem = [{{ host = "{table}", guest = "/data", dir_perms = ["read", '
                       '"write"], file_perms = ["read", "write"] }]\n')
        with open(os.path.join(data, "shannon.toml"), "w", encoding="utf-8") as file:
            file.write(f'[search]\nbase_url = "{self.web.url}"\n')
        if name == "python_analyst":
            with open(os.path.join(table, "sales.csv"), "w", encoding="utf-8") as file:
                file.write(CSV)
            self.request["capabilities"] = {"filesystem": [
                {"host": table, "guest": "/data", "dir_perms": ["read", "write"],
                 "file_perms": ["read", "write"]}]}
        server = self.start(data)
        events = server.wait_for_end(server.submit(self.request, "warm-up"))
        self.assertEqual(events[-1]["type"], "WorkflowCompleted", (name, events[-1]))
        self.new_requests(set(everywhere.keys_by_ordinal(events)))
        self.seen_web = len(self.web.requests())
        self.assertEqual(server.stop(), 0, server.output.all())
        return data

    def check_requests(self, events, label):
        """Besides the model's requests: no page and no search after its answer was in the journal."""
        completed = everywhere.completion_times(events)
        asked = {}
        for event in events:
            body = event["body"]
            if event["type"] == "ActivityScheduled" and body["op"] in ("web_fetch", "web_search"):
                word = body["args"].get("url", "").rpartition("/")[2] or \
                    "q=" + body["args"]["query"].split()[0]
                asked[word] = body["ordinal"]
        requests = self.web.requests()[self.seen_web:]
        self.seen_web += len(requests)
        for request in requests:
            ordinal = next((o for word, o in asked.items() if word in request["path"]), None)
            if "robots.txt" not in request["path"]:
                self.assertIsNotNone(ordinal, f"{label}: nobody asked for {request['path']}")
                self.assertLessEqual(request["time"], completed[ordinal],
                                     f"{label}: asked again after its answer was in the journal")
        return super().check_requests(events, label)


for inherited in [n for n in dir(everywhere.KillEverywhere) if n.startswith("test_")]:
    setattr(AgentsKilled, inherited, None)
for agent in (*AGENTS, "python_analyst"):
    setattr(AgentsKilled, f"test_{agent}", lambda self, name=agent: self.sweep(name))


if __name__ == "__main__":
    unittest.main(verbosity=2)
