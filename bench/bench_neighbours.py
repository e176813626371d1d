"""Lateness of timers and of the agents that they wake, alone and beside bad neighbours."""

import json
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "tests" / "crash")]
import harness  # noqa: E402
from test_neighbours import HOGS, Neighbourhood  # noqa: E402


def figure(name, value, **more):
    print(json.dumps({"name": name, "value": value, "unit": "ms", **more}), flush=True)


with harness.temporary_folder() as folder:
    street = Neighbourhood(folder)
    try:
        timers, agents, _ = street.measure()
        figure("timer lateness quiet p99", timers)
        figure("agent lateness quiet p99", agents)
        for hog in HOGS:
            street.hog(hog)
        time.sleep(1)
        timers, agents, median = street.measure()
        figure("timer lateness beside bad neighbours p99", timers, goal=20)
        figure("agent lateness beside bad neighbours p99", agents)
        figure("agent lateness beside bad neighbours p50", median)
    finally:
        street.close()
