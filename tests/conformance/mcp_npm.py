"""The official TypeScript SDK of the Model Context Protocol, installed once a build as pinned."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import client_venv

SOURCE = pathlib.Path(__file__).resolve().parent / "mcp-client"
PATIENCE = 600


def skip(reason):
    print("skipped: " + reason, file=sys.stderr)
    raise unittest.SkipTest(reason)


def folder(build):
    """Where node finds it, beside the programs of SOURCE; or the test is skipped."""
    for name in ("node", "npm"):
        if not shutil.which(name):
            skip(f"{name} is not installed (Debian: apt-get install {name})")
    client = pathlib.Path(build).resolve() / "mcp-client"
    digest = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
    with client_venv.alone(client):
        ready = client / "ready"
        client.mkdir(parents=True, exist_ok=True)
        for name in os.listdir(SOURCE):
            if name != "node_modules":
                shutil.copy(SOURCE / name, client / name)
        if not ready.exists() or ready.read_text() != digest:
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
                                   "--loglevel=error"], cwd=client, text=True, timeout=PATIENCE,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if "EINTEGRITY" in done.stdout:
                raise AssertionError("the pinned packages are not what they were:\n" + done.stdout)
            if done.returncode:
                skip("the packages cannot be had from npm here:\n" + done.stdout)
            ready.write_text(digest)
    return client
