"""What somebody who means harm would try on a running Shannon: ways out of mapped directories, what
lies in the data directory and who may read it, secrets in messages, names that are paths."""

import json
import os
import pathlib
import stat
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import ScriptedModel, Server, guest, shannon  # noqa: E402


class Folder(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(os.path.realpath(folder.name))
        self.data = self.folder / "data"
        self.notes = self.folder / "notes"
        self.notes.mkdir()
        (self.notes / "note.txt").write_text("remember the milk")

    def run_agent(self, *args, **more):
        return shannon("run", "--data-dir", self.data, *args, **more)

    def denied(self, pattern, *args, **more):
        done = self.run_agent(*args, **more)
        self.assertEqual(done.returncode, 126, done)
        self.assertRegex(done.stderr.decode(), pattern)

    def server(self, **environment):
        server = Server(self.data, **environment)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server


class Mappings(Folder):
    def test_the_person_at_the_keyboard_may_name_a_link(self):
        """What a flag names is resolved once, when it is read."""
        link = self.folder / "link"
        link.symlink_to(self.notes)
        done = self.run_agent("--dir", f"{link}::/notes::ro", guest("files.wasm"), check=0)
        self.assertIn(b"/notes/note.txt: remember the milk", done.stdout)
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder)
        done = self.run_agent("--dir", "link/../notes::/notes::ro", guest("files.wasm"), check=0)
        self.assertIn(b"/notes/note.txt: remember the milk", done.stdout)

    def test_a_link_inside_an_allowed_directory_is_no_way_out(self):
        outside = self.folder / "outside"
        outside.mkdir()
        (self.notes / "way").symlink_to(outside)
        self.data.mkdir(mode=0o700)
        (self.data / "policy.toml").write_text(
            '[[rules]]\nagent = "*"\nallow = { filesystem = '
            f'[{{ host = "{self.notes}", guest = "/n", dir_perms = ["read", "write"], '
            'file_perms = ["read", "write"] }] }\n'
            f'deny = {{ filesystem = [{{ host = "{outside}", guest = "/o" }}] }}\n')
        server = self.server()
        server.add_module(guest("files.wasm"), "files")
        for host, fine in ((self.notes, True), (self.notes / "way", False), (outside, False)):
            with self.subTest(host=host):
                status, task, _ = server.request("POST", "/api/v1/tasks", {
                    "query": "q", "agent": "files",
                    "capabilities": {"filesystem": [{"host": str(host), "guest": "/notes"}]}})
                if status == 200:
                    end = server.wait_for_end(task["task_id"])[-1]
                    self.assertEqual(end["type"] == "WorkflowCompleted", fine, end)
                    if not fine:
                        self.assertEqual(end["body"]["code"], "permission_denied", end)
                        self.assertIn("symbolic link", end["body"]["message"])
                else:
                    self.assertEqual((status, fine), (403, False), task)

    def test_a_policy_that_names_a_link_allows_what_it_stands_for(self):
        link = self.folder / "link"
        link.symlink_to(self.notes)
        policy = self.folder / "policy.toml"
        policy.write_text(f'[[rules]]\nagent = "*"\nallow = {{ filesystem = '
                          f'[{{ host = "{link}", guest = "/notes" }}] }}\n')
        done = self.run_agent("--policy", policy, guest("files.wasm"), check=0)
        self.assertIn(b"/notes/note.txt: remember the milk", done.stdout)

    def test_nothing_of_ours_is_mapped(self):
        binary = pathlib.Path(harness.BIN).resolve()
        config = self.folder / "conf" / "shannon.toml"
        config.parent.mkdir()
        config.write_text("")
        cache = self.folder / "cache"
        (cache / "shannon").mkdir(parents=True)
        env = harness.clean_environment(XDG_CACHE_HOME=cache)
        for host, word in ((self.data, "data"), (self.data / "db", "data"), (self.folder, "data"),
                           ("/", "contains"), (binary.parent, "bin"), ("/proc", "procfs"),
                           (config.parent, "shannon.toml"), (cache, "cache"),
                           (cache / "shannon", "cache")):
            with self.subTest(host=host):
                self.denied(word, "--config", config, "--dir", f"{host}::/x", guest("exit7.wasm"),
                            env=env)


class Kept(Folder):
    def test_only_the_owner_can_reach_what_is_kept(self):
        os.umask(0)
        self.addCleanup(os.umask, 0o022)
        server = self.server()
        server.add_module(guest("hello.wasm"), "hello")
        server.wait_for_end(server.submit({"agent": "hello", "query": "q"}))
        open_to_others = []
        for path in [self.data, *self.data.rglob("*")]:
            mode = path.lstat().st_mode
            # What lies in a closed folder may be open itself: RocksDB makes its files as it likes.
            if not stat.S_ISLNK(mode) and mode & 0o077 and "db" not in path.parts:
                open_to_others.append((str(path.relative_to(self.folder)), oct(mode)))
        self.assertEqual(open_to_others, [])
        self.assertEqual(self.data.stat().st_mode & 0o777, 0o700)

    def test_an_ephemeral_run_leaves_nothing_in_the_temporary_folder(self):
        tmp = self.folder / "tmp"
        tmp.mkdir()
        env = harness.clean_environment(TMPDIR=tmp, HOME=self.folder)
        shannon("run", "--ephemeral", guest("files.wasm"), env=env, check=0)
        self.assertEqual(list(tmp.iterdir()), [])

    def test_an_open_data_directory_is_refused(self):
        self.data.mkdir(mode=0o700)
        self.data.chmod(0o777)
        done = self.run_agent(guest("exit7.wasm"))
        self.assertEqual(done.returncode, 125, done)
        self.assertIn(b"chmod 700", done.stderr)

    def test_a_key_that_others_may_read_is_refused(self):
        self.data.mkdir(mode=0o700)
        (self.data / "api-key").write_text("0" * 64)
        (self.data / "api-key").chmod(0o644)
        done = shannon("serve", "--data-dir", self.data, "--listen", "127.0.0.1:0", timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"chmod 600", done.stderr + done.stdout)

    def test_a_link_in_place_of_our_files_is_not_followed(self):
        victim = self.folder / "victim"
        victim.write_text("precious")
        for name in ("lock", "api-key"):
            with self.subTest(name=name):
                data = self.folder / f"data-{name}"
                data.mkdir(mode=0o700)
                (data / name).symlink_to(victim)
                done = shannon("serve", "--data-dir", data, "--listen", "127.0.0.1:0", timeout=60)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(victim.read_text(), "precious")


class Secrets(Folder):
    def test_the_key_of_the_model_is_nowhere_but_in_its_header(self):
        secret = "sk-hunter2-" + "x" * 40
        said = json.dumps({"error": {"message": f"wrong key {secret}", "code": "invalid_api_key"}})
        model = ScriptedModel(self.folder, {"default": {"status": 401, "body": said}})
        self.addCleanup(model.stop)
        env = harness.clean_environment(**model.environment())
        env["OPENAI_API_KEY"] = secret
        done = self.run_agent("--tool", "llm", "--tool", "kv", "--tool", "calculator", "--events",
                              "--input", '{"query":"q"}', guest("seq.wasm"), env=env)
        self.assertNotIn(secret.encode(), done.stdout + done.stderr)
        self.assertIn(b"wrong key ***", done.stdout + done.stderr)
        for path in self.data.rglob("*"):
            if path.is_file():
                self.assertNotIn(secret.encode(), path.read_bytes(), path)


class Names(Folder):
    def test_names_of_modules_are_not_paths(self):
        server = self.server()
        wasm = guest("exit7.wasm").read_bytes()
        for name in ("../x", "a/b", ".hidden", "%00", "a%0d%0aX-Evil:1", "%ff", "x" * 300):
            with self.subTest(name=name):
                status, body, _ = server.request("POST", f"/api/v1/modules?name={name}", wasm,
                                                 {"Content-Type": "application/wasm"})
                self.assertEqual(status, 400, body)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["data", "notes"])

    def test_the_hash_of_a_module_is_no_way_around_rules_for_its_name(self):
        self.data.mkdir(mode=0o700)
        (self.data / "policy.toml").write_text(
            '[[rules]]\nagent = "named"\ndeny = { tools = ["kv"] }\n\n'
            '[[rules]]\nagent = "*"\nallow = { tools = ["kv"] }\n')
        server = self.server()
        module = server.add_module(guest("exit7.wasm"), "named")
        server.add_module(guest("hello.wasm"), "other")
        for agent, expected in (("named", 403), (module["hash"], 403), ("other", 200)):
            status, body, _ = server.request("POST", "/api/v1/tasks", {
                "query": "q", "agent": agent, "capabilities": {"tools": ["kv"]}})
            self.assertEqual(status, expected, (agent, body))

    def test_removing_a_module_leaves_a_name_that_is_another_ones_by_now(self):
        server = self.server()
        old = server.add_module(guest("exit7.wasm"), "name")
        server.add_module(guest("hello.wasm"), "name")
        self.assertEqual(server.request("DELETE", f"/api/v1/modules/{old['hash']}")[0], 200)
        server.wait_for_end(server.submit({"agent": "name", "query": "q"}))
        self.assertEqual(server.request("DELETE", "/api/v1/modules/name")[0], 200)
        status, _, _ = server.request("POST", "/api/v1/tasks", {"agent": "name", "query": "q"})
        self.assertEqual(status, 404)

    def test_ids_are_not_paths_and_not_queries(self):
        server = self.server()
        for bad in ("..%2f..%2fetc", "x';DELETE%20event;--", "a%00b", "%ff", "%e2%9f%a8"):
            with self.subTest(bad=bad):
                for tail in ("", "/journal", "/events", "/verify"):
                    method = "POST" if tail == "/verify" else "GET"
                    status, _, _ = server.request(method, f"/api/v1/tasks/{bad}{tail}")
                    self.assertIn(status, (400, 404))

    def test_sql_only_reads(self):
        server = self.server()
        server.add_module(guest("exit7.wasm"), "exit7")
        server.stop()
        for query in ("DELETE event", "UPDATE module SET name = 'x'", "REMOVE TABLE module",
                      "SELECT * FROM (DELETE module RETURN BEFORE)", "DEFINE TABLE x",
                      "BEGIN; DELETE module; COMMIT", "LET $x = (DELETE module); SELECT * FROM $x",
                      "SELECT * FROM module; DELETE module", "RETURN { DELETE module; 1 }",
                      "FOR $i IN [1] { DELETE module }", "INSERT INTO module { id: 1 }",
                      "USE NS other", "KILL 'x'", "LIVE SELECT * FROM event"):
            with self.subTest(query=query):
                shannon("sql", "--data-dir", self.data, query)
                done = shannon("sql", "--data-dir", self.data, "SELECT name FROM module", check=0)
                self.assertIn("exit7", json.dumps(json.loads(done.stdout)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
