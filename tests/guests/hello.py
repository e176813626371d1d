"""Shows what a script is given: arguments, one variable, standard input."""
import os
import sys

print("hello from python", sys.version_info.major)
print("argv", sys.argv[1:])
print("LANG", os.environ.get("LANG"))
text = sys.stdin.read()
if text:
    print("stdin", text.strip())
