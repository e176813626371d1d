"""A disk that fills up or breaks while a program runs on it: disk_shim.c below a folder, and the page
of numbers that tells it what to do."""

import mmap
import os
import pathlib
import struct
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/crash"))
from harness import BUILD  # noqa: E402

SHIM = BUILD / "tests/libdisk_shim.so"
FIELDS = ("capacity", "fail_at", "fail_for", "kinds", "calls", "used", "refused", "broken")
WRITE, SYNC, NAME = 1, 2, 4
ALL = WRITE | SYNC | NAME
MIB = 1024 * 1024


class Disk:
    """A field is a 64-bit number in the page: read and set it as an attribute, at any moment."""

    def __init__(self, folder, root):
        root = pathlib.Path(root)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = pathlib.Path(folder) / "disk-control"
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.__dict__["page"] = mmap.mmap(file.fileno(), 4096)
        self.__dict__["environment"] = {"LD_PRELOAD": str(SHIM), "SHANNON_DISK_ROOT": str(root),
                                        "SHANNON_DISK_CONTROL": str(path)}

    def __getattr__(self, name):
        return struct.unpack_from("<Q", self.page, 8 * FIELDS.index(name))[0]

    def __setattr__(self, name, value):
        struct.pack_into("<Q", self.page, 8 * FIELDS.index(name), value)

    def leave(self, room):
        """From now on so many bytes are free."""
        self.capacity = self.used + room

    def break_next(self, kinds, after=1, times=0):
        """The after-th call of these kinds from now on fails with EIO, and so many (0: all)."""
        self.fail_at, self.fail_for, self.kinds = 0, times, kinds
        self.fail_at = self.calls + after

    def mend(self):
        self.capacity = self.fail_at = self.kinds = 0


def available():
    return SHIM.exists() and not os.environ.get("LD_PRELOAD")
