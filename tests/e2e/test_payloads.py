"""Inputs and results of up to 64 MiB: in and out, through a kill, an export and a replay, and many
at once."""

import http.client
import json
import os
import pathlib
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import Server, guest, shannon  # noqa: E402

MIB = 1 << 20
LARGEST = 64 * MIB


def array_of(size):
    """JSON of so many bytes and half as many values: as values it would be gigabytes."""
    text = b"[" + b"1," * ((size - 4) // 2) + b"1"
    return text + b" " * (size - 1 - len(text)) + b"]"


class Payloads(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data = self.folder / "data"

    def serve(self, data=None, **environment):
        server = Server(data or self.data, **environment)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def raw(self, server, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        try:
            key = (server.data_dir / "api-key").read_text().strip()
            connection.request(method, path, body, {"X-API-Key": key})
            reply = connection.getresponse()
            return reply.status, reply.read(), dict(reply.getheaders())
        finally:
            connection.close()

    def submit(self, server, text):
        status, body, _ = self.raw(server, "POST", "/api/v1/tasks",
                                   b'{"agent":"mirror","input":' + text + b"}")
        return status, json.loads(body)

    def assert_same(self, got, expected):
        self.assertTrue(got == expected, f"{len(got)} bytes: {got[:60]}..., expected "
                        f"{len(expected)}: {expected[:60]}...")

    def assert_holds(self, server, task, text):
        done = server.task(task)
        self.assertEqual(done["status"], "TASK_STATUS_COMPLETED", done)
        self.assertEqual(done["output_kept"]["bytes"], len(text))
        self.assertEqual(done["result"], "")
        for what in ("result", "input"):
            status, body, headers = self.raw(server, "GET", f"/api/v1/tasks/{task}/{what}")
            self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
            self.assert_same(body, text)
        self.assertTrue(server.verify(task)["ok"])

    def test_64_mib_in_and_out_survive_a_kill_and_go_to_another_machine(self):
        text = array_of(LARGEST)
        server = self.serve()
        server.add_module(guest("mirror.wasm"), "mirror")
        status, reply = self.submit(server, text)
        self.assertEqual(status, 200, reply)
        task = reply["task_id"]
        server.wait_until(task, lambda ev: any(e["type"] == "ActivityScheduled" for e in ev))
        server.kill()
        server = self.serve()
        events = server.wait_for_end(task)
        self.assertIn("Claimed", [e["type"] for e in events])
        self.assertLess(len(json.dumps(events)), 64 * 1024)
        self.assert_holds(server, task, text)
        server.kill()
        out = self.folder / "task.tar"
        shannon("export", "--output", out, task, "--data-dir", self.data, check=0)
        there = self.folder / "there"
        shannon("import", out, "--data-dir", there, check=0)
        self.assert_holds(self.serve(there), task, text)

    def test_one_byte_more_is_refused_and_so_is_what_is_no_json(self):
        server = self.serve()
        server.add_module(guest("mirror.wasm"), "mirror")
        status, reply = self.submit(server, array_of(LARGEST + 1))
        self.assertEqual(status, 413, reply)
        self.assertIn("at most 67108864 bytes", reply["error"]["message"])
        status, reply = self.submit(server, b"[1," * MIB + b"]" * MIB)
        self.assertEqual(status, 413, reply)
        self.assertIn("nests deeper than 64", reply["error"]["message"])
        status, reply = self.submit(server, b"[" + b"1," * MIB + b"]")
        self.assertEqual(status, 400, reply)
        self.assertEqual(os.listdir(self.data / "blobs") if (self.data / "blobs").exists() else [],
                         [])

    def test_commands_take_it_from_a_file_and_print_it(self):
        text = array_of(3 * MIB)
        file = self.folder / "input.json"
        file.write_bytes(text)
        run = ("run", "--data-dir", self.data, "--input", f"@{file}", guest("mirror.wasm"))
        alone = shannon(*run, check=0)
        self.assert_same(alone.stdout, text + b"\n")
        piped = shannon("run", "--data-dir", self.data, "--input", "-", guest("mirror.wasm"),
                        stdin=text, check=0)
        self.assert_same(piped.stdout, text + b"\n")
        listed = json.loads(shannon("tasks", "--json", "--data-dir", self.data, check=0).stdout)
        task = listed["tasks"][0]["task_id"]
        self.assert_same(shannon("result", task, "--data-dir", self.data, check=0).stdout,
                         text + b"\n")
        self.serve()
        self.assert_same(shannon(*run, check=0).stdout, text + b"\n")
        self.assert_same(shannon("result", task, "--data-dir", self.data, check=0).stdout,
                         text + b"\n")
        bad = shannon("run", "--data-dir", self.data, "--input", "-", guest("mirror.wasm"),
                      stdin=text[:-1], check=125)
        self.assertIn(b"--input: expected one JSON value", bad.stderr)

    def test_a_script_reads_it(self):
        """As a file, and by the module, which finds it too large for an answer."""
        script = self.folder / "reads.py"
        script.write_text("import shannon\n"
                          "print(len(open('/dev/input', 'rb').read()), len(shannon.input()))\n")
        text = b'["' + b"x" * (2 * MIB) + b'"]'
        file = self.folder / "input.json"
        file.write_bytes(text)
        done = shannon("run", "--data-dir", self.data, "--input", f"@{file}", script, check=0,
                       timeout=600)
        self.assertEqual(done.stdout.split(), [b"%d" % len(text), b"1"])

    def test_many_large_bodies_at_once_are_refused_and_told_when_to_come_again(self):
        server = self.serve()
        key = (server.data_dir / "api-key").read_text().strip()
        held = [self.begin(server, key, LARGEST + MIB) for _ in range(3)]
        try: # they say what they will send, and send a little of it
            self.assertEqual(server.request("GET", "/health")[0], 200)
            late = self.begin(server, key, LARGEST, b"Expect: 100-continue\r\n")
            held.append(late)
            answer = http.client.HTTPResponse(late)
            answer.begin()
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "2"))
            self.assertIn(b"256 MiB are being received", answer.read())
            status, body, headers = self.raw(server, "POST", "/api/v1/tasks", b" " * LARGEST)
            self.assertEqual((status, headers["Retry-After"]), (503, "2"), body)
            status, _, _ = self.raw(server, "POST", "/api/v1/tasks", b'{"query":"small"}')
            self.assertNotEqual(status, 503)
        finally:
            for connection in held:
                connection.close()

    def begin(self, server, key, size, more=b""):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        connection.sendall(b"POST /api/v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                           b"X-API-Key: %s\r\n%sContent-Length: %d\r\n\r\n{\"input\":[" %
                           (server.port, key.encode(), more, size))
        return connection


if __name__ == "__main__":
    unittest.main(verbosity=2)
