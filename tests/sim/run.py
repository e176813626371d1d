#!/usr/bin/env python3
"""Simulated histories: those that once failed and a fixed set; with SHANNON_LONG others, drawn with
the commit, for SHANNON_SIM_SECONDS (3600, which is also the most that CTest waits for).

  run.py PROGRAM"""

import os
import subprocess
import sys

# Seeds of bugs that were found here and mended: docs/testing.md has their list.
FOUND = (1, 6, 39, 41, 126, 202, 366, 500270, 500381, 513269)
FIXED = (1000, 300)  # from, how many
FOUND_FAMILIES = (3, 18, 59)  # with --families
FIXED_FAMILIES = (1000, 100)
HISTORY_S = 330  # one takes 300 s at most: it kills itself then


def commit_seed():
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    return int(done.stdout.strip()[:12] or "1", 16)


def run(program, seed, count, seconds, *more):
    options = [*more, "--seed", str(seed), "--count", str(count), "--seconds", str(seconds)]
    print("sim", *options, flush=True)
    done = subprocess.run([program, *options], timeout=seconds + HISTORY_S)
    if done.returncode != 0:
        sys.exit(done.returncode)


def main():
    program = sys.argv[1]
    for seed in FOUND:
        run(program, seed, 1, 600)
    for seed in FOUND_FAMILIES:
        run(program, seed, 1, 600, "--families")
    run(program, *FIXED, 120)
    run(program, *FIXED_FAMILIES, 120, "--families")
    if os.environ.get("SHANNON_LONG") or "SHANNON_SIM_SECONDS" in os.environ:
        seconds = int(os.environ.get("SHANNON_SIM_SECONDS", 3600))
        run(program, commit_seed(), 10000000, seconds // 2)
        run(program, commit_seed(), 10000000, seconds - seconds // 2, "--families")


if __name__ == "__main__":
    main()
