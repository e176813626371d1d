"""dbos_steps.py DATABASE_URL STEPS: a DBOS workflow of steps that do nothing. Prints the nanoseconds
of each step."""

import json
import sys
import time

from dbos import DBOS, DBOSConfig

DBOS(config=DBOSConfig(name="bench", system_database_url=sys.argv[1], run_admin_server=False,
                       log_level="ERROR"))


@DBOS.step()
def nothing(i):
    return i


@DBOS.workflow()
def steps(n):
    taken = []
    for i in range(n):
        begun = time.perf_counter_ns()
        nothing(i)
        taken.append(time.perf_counter_ns() - begun)
    return taken


DBOS.launch()
steps(20)  # warm
print("RESULT " + json.dumps(steps(int(sys.argv[2]))), flush=True)
DBOS.destroy()
