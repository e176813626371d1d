"""langgraph_steps.py FILE STEPS: a LangGraph graph of one node that does nothing, kept by its SQLite
checkpointer after each turn. Prints the nanoseconds of each turn."""

import json
import sqlite3
import sys
import time
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    i: int


times = []


def nothing(state):
    times.append(time.perf_counter_ns())
    return {"i": state["i"] + 1}


def graph(n, saver):
    g = StateGraph(State)
    g.add_node("nothing", nothing)
    g.add_edge(START, "nothing")
    g.add_conditional_edges("nothing", lambda s: END if s["i"] >= n else "nothing")
    return g.compile(checkpointer=saver)


saver = SqliteSaver(sqlite3.connect(sys.argv[1], check_same_thread=False))
for name, n in (("warm", 20), ("timed", int(sys.argv[2]))):
    times.clear()
    graph(n, saver).invoke({"i": 0}, {"configurable": {"thread_id": name},
                                      "recursion_limit": n + 10}, durability="sync")
print("RESULT " + json.dumps([b - a for a, b in zip(times, times[1:])]), flush=True)
