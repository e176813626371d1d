"""One journal gives one run: replayed elsewhere, under another time zone and language, on a busy
machine, with more or fewer threads, and without the directories that had been mapped."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import Server, shannon  # noqa: E402

FIELDS = ("ok", "chain", "replay", "events", "fuel", "digest")
# Names that exist or not, all the same: what matters is that they differ.
PLACES = ({"TZ": "UTC", "LANG": "C", "RUST_BACKTRACE": "0"},
          {"TZ": "Asia/Kathmandu", "LANG": "de_DE.UTF-8",
           "LC_ALL": "tr_TR.UTF-8", "MALLOC_PERTURB_": "165", "RUST_BACKTRACE": "full"})


@contextlib.contextmanager
def busy_machine(processes=2):
    """Others want the processors too."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
                for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
        for process in spinning:
            process.wait()


def seen(answer):
    return {field: answer.get(field) for field in FIELDS}


class Recorded:
    """A data directory with one finished run for each `shannon run` that was asked for."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "recorded"
        self.runs = {}

    def run(self, name, *args, stdin=b"", timeout=300):
        done = shannon("run", "--data-dir", self.data, *args, stdin=stdin, timeout=timeout)
        listed = shannon("tasks", "--json", "--limit", "1", "--data-dir", self.data, check=0)
        newest = json.loads(listed.stdout)["tasks"][0]["task_id"]
        assert newest not in self.runs.values(), f"{name} left no task: {done}"
        self.runs[name] = newest
        return done

    def copy(self, name):
        target = self.folder / name / "deeper" / "data"
        target.parent.mkdir(parents=True)
        harness.copy_tree(self.data, target)
        return target

    def verified_by_command(self, data, name, **environment):
        done = shannon("verify", self.runs[name], "--json", "--data-dir", data, timeout=300,
                       env=harness.clean_environment(**environment))
        return seen(json.loads(done.stdout))

    def verified_by_server(self, data, executors, **environment):
        server = Server(data, SHANNON_SERVER_EXECUTORS=executors, **environment)
        try:
            found = {name: seen(server.verify(task)) for name, task in self.runs.items()}
            assert server.stop() == 0
        finally:
            server.kill()
        return found


def check(test, recorded):
    """All ways to replay agree, for every run that was recorded."""
    copies = [recorded.copy(f"copy{i}") for i in range(2)]
    first = recorded.verified_by_server(recorded.data, 2, **PLACES[0])
    for name, answer in first.items():
        with test.subTest(run=name):
            test.assertEqual([answer["ok"], answer["chain"], answer["replay"]],
                             [True, "ok", "ok"], answer)
    with test.subTest("another folder, time zone and language, one executor"):
        test.assertEqual(first, recorded.verified_by_server(copies[0], 1, **PLACES[1]))
    with test.subTest("eight executors on a busy machine"), busy_machine():
        test.assertEqual(first, recorded.verified_by_server(copies[1], 8))
    name = next(iter(first))
    with test.subTest("the command"):
        test.assertEqual(first[name], recorded.verified_by_command(copies[0], name, **PLACES[1]))
    for copy in copies:
        shutil.rmtree(copy)
