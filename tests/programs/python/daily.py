# What scripts do in a day. Prints the same under every Python from 3.10 on, on every machine.
import base64
import collections
import csv
import datetime
import decimal
import fractions
import functools
import gzip
import hashlib
import io
import itertools
import json
import math
import os
import pathlib
import random
import re
import shutil
import statistics
import string
import struct
import sys
import tempfile
import textwrap
import time
import zipfile
import zlib

top = pathlib.Path(sys.argv[1])


def section(name):
    print(f"--- {name}")


section("language")
print(sorted({"b": 1, "a": 2}.items()), [*itertools.islice(itertools.count(3), 4)])
print(functools.reduce(lambda a, b: a * b, range(1, 30)), 2 ** 200 % 1000007)
print(f"{math.pi:.10f} {1e300 * 1e10} {0.1 + 0.2!r} {round(2.5)} {math.fsum([.1] * 10)}")
print("".join(reversed("žluťoučký kůň")), "ß".upper(), "Ǆ".casefold(), len("👩‍👩‍👧"))
try:
    {}["missing"]
except KeyError as error:
    print("caught", error)

section("json, re, csv, text")
data = {"z": [1, 2.5, None, True, "ä\n\u2028"], "a": {"n": -0.0, "big": 10 ** 30}}
print(json.dumps(data, sort_keys=True), json.loads(json.dumps(data)) == data)
print(re.findall(r"(\w+)@(\w+)\.(?:org|com)", "a@b.org, c.d@e.com <x@y.z>"))
print(re.sub(r"(?P<y>\d{4})-(\d\d)", r"\2/\g<y>", "on 2024-02 and 1999-12"))
out = io.StringIO()
csv.writer(out).writerows([["a", 'q"uote', "new\nline"], [1, 2.0, None]])
print(repr(out.getvalue()), textwrap.fill("word " * 12, 20).split("\n")[0])
print(string.Template("$who owes $$5").substitute(who="tim"), struct.pack("<IhQ", 1, -2, 3).hex())
print(decimal.Decimal("1.1") / 3, fractions.Fraction(3, 7) + 1, statistics.median([5, 1, 4]))

section("hashes, compression, chance")
for name in ("md5", "sha1", "sha256", "sha3_256", "blake2b"):
    print(name, hashlib.new(name, b"content").hexdigest())
packed = zlib.compress(b"abc" * 1000, 9)
print(zlib.crc32(packed) == zlib.crc32(bytes(packed)), zlib.decompress(packed)[:6],
      gzip.decompress(gzip.compress(b"zipped", mtime=0)), base64.b85encode(b"bytes"))
chance = random.Random(42)
print(chance.random(), chance.randint(1, 10 ** 9), chance.sample(range(100), 5))
print(len(os.urandom(17)), random.random() < 1, len(set(random.getrandbits(64) for _ in range(9))))

section("time")
then = datetime.datetime(2024, 2, 29, 23, 59, tzinfo=datetime.timezone.utc)
print(then.isoformat(), then + datetime.timedelta(days=366), then.strftime("%a %d %b %Y %j"))
print(datetime.date.fromisoformat("2000-01-01").isocalendar(), time.gmtime(10 ** 9)[:6])
before = time.monotonic()
time.sleep(0.01)
print(time.monotonic() - before >= 0.01, time.time() > 1.6e9)

section("files")
here = top / "files"
(here / "sub/dir").mkdir(parents=True)
for i in range(12):
    (here / f"sub/{i}.txt").write_text(f"line {i}\n" * i)
(here / "sub/dir/data.bin").write_bytes(bytes(range(256)))
os.symlink("0.txt", here / "sub/link")
os.link(here / "sub/1.txt", here / "sub/one")
os.rename(here / "sub/2.txt", here / "sub/dir/two")
os.replace(here / "sub/3.txt", here / "sub/4.txt")
os.utime(here / "sub/5.txt", ns=(10 ** 18, 2 * 10 ** 18 + 1))
print((here / "sub/5.txt").stat().st_mtime_ns, os.readlink(here / "sub/link"))
for folder, folders, names in os.walk(here):
    folders.sort()
    print(os.path.relpath(folder, here), folders, sorted(names))
print(sorted(p.name for p in here.rglob("*.txt")), sum(p.stat().st_size for p in here.rglob("*.txt")))
with open(here / "rw", "w+b") as f:
    f.write(b"0123456789")
    f.seek(3)
    f.write(b"abc")
    f.seek(-4, os.SEEK_END)
    print(f.read(), f.tell(), f.truncate(5), os.fstat(f.fileno()).st_size)
with open(here / "rw", "a") as f:
    f.write("end")
print((here / "rw").read_text(), (here / "none").exists(), os.access(here / "rw", os.R_OK))
for attempt in (lambda: open(here / "none"), lambda: os.mkdir(here / "sub"),
                lambda: os.rmdir(here / "sub"), lambda: os.listdir(here / "rw"),
                lambda: open(here / "rw", "x"), lambda: open(here / "sub")):
    try:
        attempt()
    except OSError as error:
        print(type(error).__name__)
shutil.copytree(here / "sub", here / "copy", symlinks=True)
shutil.rmtree(here / "sub")
print(sorted(os.listdir(here)), sorted(os.listdir(here / "copy"))[:3])
with tempfile.TemporaryDirectory(dir=top) as folder, tempfile.TemporaryFile(dir=folder) as f:
    f.write(b"temporary" * 1000)
    f.seek(0)
    print(len(f.read()), os.path.isdir(folder))
print(os.path.isdir(folder))
with zipfile.ZipFile(here / "z.zip", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("inside/a.txt", "a" * 5000)
    z.write(here / "rw", "rw")
with zipfile.ZipFile(here / "z.zip") as z:
    print(z.namelist(), z.read("rw"), z.getinfo("inside/a.txt").file_size, z.testzip())

section("input")
print([line.rstrip() for line in sys.stdin], collections.Counter("mississippi").most_common(2))
