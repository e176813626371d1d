"""scripts/pinned.py installs what is pinned once, tells what is not there from what is not right, and
never counts what failed as made. Nothing is fetched: the package lies beside the requirements."""

import hashlib
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import pinned  # noqa: E402


def wheel(path, answer):
    info = "tiny-1.0.dist-info/"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny.py", f"answer = {answer}\n")
        file.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        file.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
                                      "Tag: py3-none-any\n")
        file.writestr(info + "RECORD", f"tiny.py,,\n{info}METADATA,,\n{info}WHEEL,,\n")


class Pinned(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.wheel = self.folder / "tiny-1.0-py3-none-any.whl"
        self.requirements = self.folder / "requirements.txt"

    def pin(self, answer, name=None):
        wheel(self.wheel, answer)
        digest = hashlib.sha256(self.wheel.read_bytes()).hexdigest()
        self.requirements.write_text(f"{name or self.wheel} --hash=sha256:{digest}\n")

    def install(self):
        return pinned.python(self.folder / "venv", self.requirements)

    def answer(self, python):
        return int(subprocess.check_output([python, "-c", "import tiny; print(tiny.answer)"]))

    def test_what_is_pinned_is_installed_once(self):
        self.pin(41)
        self.assertEqual(self.answer(self.install()), 41)
        mark = self.folder / "venv/mark"
        mark.touch()
        self.install()
        self.assertTrue(mark.exists())

    def test_what_is_not_there_is_missing_and_what_is_not_right_is_tampered(self):
        self.pin(1, self.folder / "absent-1.0-py3-none-any.whl")
        with self.assertRaises(pinned.Missing):
            self.install()
        self.pin(1)
        wheel(self.wheel, 666)
        with self.assertRaises(pinned.Tampered):
            self.install()

    def test_an_interpreter_that_is_gone_does_not_run(self):
        link = self.folder / "python"
        link.symlink_to(sys.executable)
        self.assertTrue(pinned.runs(link))
        link.unlink()
        link.symlink_to(self.folder / "gone")
        self.assertFalse(pinned.runs(link))

    def test_a_folder_that_failed_halfway_is_not_made(self):
        place = self.folder / "x"
        with self.assertRaises(RuntimeError), pinned.made(place, b"1", lambda: True):
            place.mkdir()
            raise RuntimeError
        for pins, sound, again in ((b"1", True, True), (b"1", True, False), (b"1", False, True),
                                   (b"2", True, True), (b"2", True, False)):
            with pinned.made(place, pins, lambda sound=sound: sound) as wanted:
                self.assertEqual(wanted, again, (pins, sound))
                place.mkdir(exist_ok=True)


if __name__ == "__main__":
    unittest.main()
