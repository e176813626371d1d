"""Agents beside bad neighbours: their timers stay punctual, and once they can go on, they do.

Lateness is read from the journal: when a timer fired against when it was due (the loop), and when
the agent that it woke asked for the next one (the executors)."""

import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import Server, guest  # noqa: E402

SLEEPS, SLEEP_MS, AGENTS, ROUNDS = 60, 20, 4, 3
NAMES = 100_000
HOGS = ("endless", "fill", "fill", "descriptors", "path", "vectors", "bomb", "calls")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Neighbourhood:
    """A server with good and bad agents, in a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.many = self.folder / "many"
        self.many.mkdir()
        for i in range(NAMES):
            os.close(os.open(self.many / f"{i:06}", os.O_CREAT | os.O_WRONLY, 0o600))
        policy = self.folder / "policy.toml"
        policy.write_text(f'[[rules]]\nagent = "*"\nallow = {{ filesystem = [{{ host = '
                          f'"{self.many.resolve()}", guest = "/many", dir_perms = ["read"], '
                          'file_perms = ["read"] }] }\n')
        self.server = Server(self.folder / "data", SHANNON_POLICY_FILE=str(policy))
        for name in ("sleepers.wasm", "hog.wasm", "fill.wat", "endless.wat"):
            self.server.add_module(guest(name.replace(".wat", ".wasm")), name.split(".")[0])

    def hog(self, mode):
        agent = mode if mode in ("endless", "fill") else "hog"
        files = [{"host": str(self.many.resolve()), "guest": "/many", "dir_perms": ["read"],
                  "file_perms": ["read"]}] if mode == "directory" else []
        limits = {"fuel": 10**15, "wall_clock": "5m", "journal": "1GiB", "memory": "128MiB"}
        return self.server.submit({"agent": agent, "query": "q", "input": {"mode": mode},
                                   "capabilities": {"limits": limits, "filesystem": files}})

    def measure(self):
        """In ms: (p99 of the timers' lateness, p99 of the agents', median of the agents')."""
        tasks = [self.server.submit({"agent": "sleepers", "query": "q",
                                     "input": {"times": SLEEPS, "ms": SLEEP_MS}})
                 for _ in range(AGENTS)]
        timers, agents = [], []
        for task in tasks:
            events = self.server.wait_for_end(task, 240)
            if events[-1]["type"] != "WorkflowCompleted":
                raise AssertionError(events[-1])
            due, fired = None, None
            for event in events:
                if event["type"] == "TimerFired":
                    fired = event["time_us"]
                    timers.append((fired - due) / 1000)
                elif event["type"] == "ActivityScheduled":
                    due = event["body"]["due_us"]
                    if fired is not None:
                        agents.append((event["time_us"] - fired) / 1000)
        return percentile(timers, 0.99), percentile(agents, 0.99), percentile(agents, 0.5)

    def close(self):
        self.server.kill()


class Neighbours(unittest.TestCase):
    def test_timers_and_agents_beside_bad_neighbours(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        street = Neighbourhood(folder.name)
        self.addCleanup(street.close)
        quiet_timers, quiet_agents, quiet_median = street.measure()
        hogs = [street.hog(mode) for mode in HOGS]
        time.sleep(1)
        # The machine may be busy with other things: what it does to the quiet street, it may do
        # to this one, and more, because here the processors are taken.
        timers_max = 20 + 10 * max(quiet_timers, 2)
        # One slice (20 ms), a held executor noticed (50 ms and a look every 10 ms), and the rest.
        # Of the median: an agent needs the disk as well, and a disk has bad seconds.
        median_max = 200 + 10 * max(quiet_median, 10)
        # Other work on the machine can only add to a round; a fault of ours is in each of them.
        for _ in range(ROUNDS):
            timers, agents, median = street.measure()
            print(f"p99 lateness, quiet: timers {quiet_timers:.2f} ms, agents {quiet_agents:.2f} "
                  f"ms; beside {len(hogs)}: timers {timers:.2f} ms, agents {agents:.2f} ms, "
                  f"half of them {median:.2f} ms")
            if timers < timers_max and median < median_max:
                break
        self.assertLess(timers, timers_max)
        self.assertLess(median, median_max)
        for hog in hogs:
            self.assertEqual(street.server.task(hog)["status"], "TASK_STATUS_RUNNING")

    def test_nobody_starves_beside_one_who_lists_a_hundred_thousand_names(self):
        """On its own, with bounds that a busy machine keeps as well: 8 ms for the timers on a quiet one."""
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        street = Neighbourhood(folder.name)
        self.addCleanup(street.close)
        street.hog("directory")
        time.sleep(1)
        timers, agents, _ = street.measure()
        print(f"p99 lateness beside listings: timers {timers:.2f} ms, agents {agents:.2f} ms")
        self.assertLess(timers, 2000)
        self.assertLess(agents, 4000)


if __name__ == "__main__":
    unittest.main()
