# What an agent's Python does not have is said by an exception, never by a crash or a hang.
import importlib
import os
import sys


def attempt(name, call):
    try:
        print(name, "gave", call())
    except BaseException as error:
        print(name, "raised", type(error).__name__)


def run_program():
    import subprocess
    return subprocess.run(["true"])


def start_thread():
    import threading
    threading.Thread(target=print).start()


def connect():
    import socket
    return socket.create_connection(("127.0.0.1", 1), 1)


attempt("subprocess", run_program)
attempt("system", lambda: os.system("true"))
attempt("fork", lambda: os.fork())
attempt("thread", start_thread)
attempt("socket", connect)
attempt("passwd", lambda: open("/etc/passwd"))
attempt("proc", lambda: open("/proc/self/status"))
attempt("environ", lambda: sorted(os.environ))
for module in ("sqlite3", "ssl", "multiprocessing"):
    attempt(module, lambda m=module: importlib.import_module(m).__name__)
sys.exit(9)
