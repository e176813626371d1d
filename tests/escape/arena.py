"""The place that attacks run in: two mapped directories full of ways out, and beside them what nobody
may read or change. `Arena.check` looks at that from outside."""

import os
import pathlib
import secrets
import socket
import stat


def picture(folder):
    """Everything below, as it is: kinds, modes, sizes, times, bytes, targets."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        st = path.lstat()
        bytes_ = path.read_bytes() if stat.S_ISREG(st.st_mode) else b""
        target = os.readlink(path) if path.is_symlink() else ""
        found[str(path)] = (st.st_mode, st.st_size, st.st_mtime_ns, st.st_nlink, bytes_, target)
    return found


class Arena:
    def __init__(self, folder):
        self.folder = pathlib.Path(os.path.realpath(folder))
        self.secret = "canary-" + secrets.token_hex(16)
        self.outside = self.folder / "outside"
        self.rw, self.ro = self.folder / "rw", self.folder / "ro"
        self.kept = []
        self.make_outside()
        for place in (self.rw, self.ro):
            self.fill(place)
        self.before = self.look()

    def make_outside(self):
        (self.outside / "dir").mkdir(parents=True)
        for name in ("secret", "secret2", "victim", "dir/file"):
            (self.outside / name).write_text(self.secret)

    def fill(self, place):
        (place / "dir" / "inner").mkdir(parents=True)
        (place / "race").mkdir()
        (place / "race" / "secret").write_text("inside")
        for name in ("file", "dir/inner/file"):
            (place / name).write_text("read only")
        (place / "ff").write_bytes(b"\xff" * 64)
        links = {"link_out": "../outside", "link_file": "../outside/secret",
                 "link_abs": self.outside, "link_abs_file": self.outside / "secret",
                 "link_proc": "/proc/self", "link_proc_fd": "/proc/self/fd", "link_root": "/",
                 "link_up": "..", "link_dangling": "../outside/planted",
                 "dir/link_deep": "../../outside", "link_in": "dir", "link_fifo": "fifo",
                 **{f"chain_{i}": f"chain_{i + 1}" for i in range(1, 9)}, "chain_9": "../outside"}
        for name, target in links.items():
            (place / name).symlink_to(target)
        os.mkfifo(place / "fifo")
        fifo = os.open(place / "fifo", os.O_RDWR | os.O_NONBLOCK)
        server = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(place)  # the name of a socket is short
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        server.listen()
        server.setblocking(False)
        self.kept.append((fifo, server))
        for name, minor in (("device_null", 3), ("device_zero", 5)):
            try:
                os.mknod(place / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            except OSError:
                pass
        for name, second in (("old_minus_one", -1), ("old_1901", -2 ** 31),
                             ("old_1800", -5364662400), ("old_2500", 16725225600)):
            (place / name).write_text("old")
            os.utime(place / name, (second, second))

    def look(self):
        return {**picture(self.outside), **picture(self.ro),
                "names": sorted(p.name for p in self.folder.iterdir() if p.name[0] != "t")}

    def differences(self):
        """What is not as it was outside of what may be written: a list of sentences."""
        now = self.look()
        wrong = [f"{path} was {self.before.get(path)} and is {now.get(path)}"
                 for path in sorted({*self.before, *now}) if self.before.get(path) != now.get(path)]
        for fifo, server in self.kept:
            try:
                wrong.append(f"somebody wrote {os.read(fifo, 100)!r} into a FIFO")
            except BlockingIOError:
                pass
            try:
                server.accept()
                wrong.append("somebody connected to a socket")
            except BlockingIOError:
                pass
        wrong += [f"{path} names what lies outside" for path in self.rw.rglob("*")
                  if path.lstat().st_nlink > 1 and path.is_file() and not path.is_symlink()
                  and path.read_bytes().find(self.secret.encode()) >= 0]
        return wrong

    def close(self):
        for fifo, server in self.kept:
            os.close(fifo)
            server.close()
