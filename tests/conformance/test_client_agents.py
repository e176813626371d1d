#!/usr/bin/env python3
"""The agents that ship, through the official Python client: chosen as its users choose them, each
gives its whole result, and what they do meanwhile (thoughts, tools, their outcomes) comes as the
client's own kinds of events."""

import collections
import pathlib
import sys
import unittest
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import client_venv  # noqa: E402
import harness  # noqa: E402

client_venv.enter(harness.BUILD)

from agent_scripts import AGENTS, QUESTION, SCRIPTS, WEB  # noqa: E402
from shannon import EventType, ShannonClient  # noqa: E402
from shannon.models import TaskStatusEnum  # noqa: E402

LIMIT = 300
MEMBERS = {"answer", "confidence", "reasoning_steps", "sources", "token_usage", "model_used",
           "provider", "duration_ms", "metadata"}


class Agents(unittest.TestCase):
    def serve(self, agent):
        """A server and a client of it, with the model that has this agent's answers."""
        warnings.simplefilter("ignore", DeprecationWarning)
        temporary = harness.temporary_folder()
        self.addCleanup(temporary.cleanup)
        folder = pathlib.Path(temporary.name)
        model = harness.ScriptedModel(folder, SCRIPTS[agent])
        self.addCleanup(model.stop)
        web = harness.ScriptedWeb(folder, WEB)
        self.addCleanup(web.stop)
        data = folder / "data"
        data.mkdir(mode=0o700)
        (data / "policy.toml").write_text(
            '[[rules]]\nagent = "*"\n[rules.allow]\n'
            'tools = ["llm", "calculator", "web_search", "web_fetch"]\n'
            f'network = [{{ scheme = "http", host = "127.0.0.1", port = {web.port} }}]\n')
        server = harness.Server(data, **model.environment(), SHANNON_SEARCH_BASE_URL=web.url)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        client = ShannonClient(base_url=f"http://127.0.0.1:{server.port}",
                               api_key=(data / "api-key").read_text().strip())
        self.addCleanup(client.close)
        return server, client

    def run_agent(self, agent, **how):
        """gives the task at its end, its result, and its events by type."""
        server, client = self.serve(agent)
        task = client.submit_task(QUESTION, **how)
        events = list(client.stream(task.task_id, total_timeout=LIMIT))
        end = client.wait(task.task_id, timeout=LIMIT, poll_interval=0.05)
        self.assertEqual(end.status, TaskStatusEnum.COMPLETED, end.error_message)
        output = server.task(task.task_id)["output"]
        self.assertEqual(set(output), MEMBERS)
        self.assertEqual(end.result, output["answer"])
        self.assertEqual(output["metadata"]["strategy"], agent)
        self.assertTrue(output["reasoning_steps"])
        self.assertEqual(end.usage["total_tokens"], output["token_usage"]["total_tokens"])
        self.assertTrue(server.verify(task.task_id)["ok"])
        kinds = collections.defaultdict(list)
        for event in events:
            kinds[event.type].append(event)
        seqs = [event.seq for event in events if event.seq]
        self.assertEqual(seqs, sorted(seqs))
        self.assertIn(EventType.WORKFLOW_COMPLETED, kinds)
        return output, kinds

    def test_react_tells_of_its_tools(self):
        output, kinds = self.run_agent("react", context={"agent": "react"})
        self.assertEqual(output["metadata"]["tool_calls"], 1)
        # What is computed at once is one event, with question and answer.
        answered = [e.message for e in kinds[EventType.TOOL_OBSERVATION]
                    if e.message.startswith("calculator: ")]
        self.assertEqual(len(answered), 1, kinds[EventType.TOOL_OBSERVATION])
        self.assertIn("42", answered[0])
        self.assertEqual({e.message for e in kinds[EventType.TOOL_INVOKED]}, {"llm"})
        self.assertIn("calculator: 6*7", [e.message for e in kinds[EventType.PROGRESS]])
        self.assertTrue(kinds[EventType.PROGRESS], sorted(map(str, kinds)))

    def test_research_by_its_mode_has_sources(self):
        output, kinds = self.run_agent("research", mode="supermode")
        urls = [source["url"] for source in output["sources"]]
        self.assertTrue(any(url.endswith("/rayleigh") for url in urls), urls)
        self.assertNotIn("nobody may read", str(output))
        tools = {e.message for e in kinds[EventType.TOOL_INVOKED]}
        self.assertEqual(tools, {"llm", "web_search", "web_fetch"})


for name in (a for a in AGENTS if a not in ("react", "research")):
    setattr(Agents, f"test_{name}",
            lambda self, agent=name: self.run_agent(agent, context={"strategy": agent}))


if __name__ == "__main__":
    unittest.main()
