"""Every way that is known to reach what must not be reached, against real servers: one on loopback,
and, where namespaces may be made, hosts with private, link-local and public addresses in a network
of their own. Nothing of it may arrive."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "crash"))
sys.path.insert(0, str(HERE))
import harness  # noqa: E402
from test_tools import ScriptedWeb, Tools  # noqa: E402

INSIDE = "SHANNON_TEST_IN_NAMESPACE"
# What the namespace's one interface answers to, and whether a wildcard may reach it.
ADDRESSES = ["10.9.9.9", "192.168.7.7", "172.16.3.3", "100.64.1.1", "169.254.169.254",
             "198.18.0.5", "192.0.0.9", "93.184.216.34", "fd00::9", "fe80::9"]


def may_make_namespaces():
    return shutil.which("unshare") and shutil.which("ip") and subprocess.run(
        ["unshare", "-rnm", "true"], capture_output=True).returncode == 0


class Corpus(Tools):
    def wildcard(self, port):
        self.policy(["http", "web_fetch"], [{"scheme": s, "host": "*", "port": port}
                                            for s in ("http", "https")])

    def refused(self, web, urls, op="http"):
        lines = self.call([(op, {"url": url}) for url in urls])
        for url, line in zip(urls, lines):
            self.assertIn(line.get("error", {}).get("code"),
                          ("permission_denied", "invalid_argument"), (url, line))
        self.assertEqual(web.requests(), [])

    def test_spellings_of_loopback(self):
        web = self.web({"*": {"body": "reached"}})
        self.wildcard(web.port)
        hosts = ["127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001",
                 "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "localhost",
                 "LOCALHOST", "a.localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]",
                 "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]",
                 "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[2001::1]", "%31%32%37.0.0.1",
                 "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "127.0.0.1."]
        self.refused(web, [f"http://{host}:{web.port}/x" for host in hosts])

    def test_confusing_urls(self):
        web = self.web({"*": {"body": "reached"}})
        self.policy(["http"], [{"scheme": "http", "host": "good.example", "port": web.port}])
        at = f"127.0.0.1:{web.port}"
        self.refused(web, [f"http://good.example@{at}/", f"http://good.example:80@{at}/",
                           f"http://{at}#@good.example/", f"http://{at}?@good.example/",
                           f"http://{at}\\@good.example/", f"http:///{at}/", f"http:{at}/",
                           f"http://good.example%00.{at}/", f"HTTP://{at}/", f" http://{at}/",
                           f"http://good.example\t@{at}/", f"//{at}/", f"file://{at}/etc/passwd",
                           f"dict://{at}/", f"gopher://{at}/_GET", f"ftp://{at}/", f"ws://{at}/"])

    def test_every_address_of_this_machine_through_a_name(self):
        """Names that public servers give out for loopback would come through a resolver; the file of
        hosts stands for it here."""
        if os.environ.get(INSIDE) is None:
            self.skipTest("needs a namespace of its own")
        web = self.web({"*": {"body": "reached"}})
        self.wildcard(web.port)
        self.refused(web, [f"http://rebound.example:{web.port}/"])
        self.refused(web, [f"http://rebound.example:{web.port}/"], "web_fetch")

    def test_a_rule_that_writes_the_address_out_is_meant(self):
        if os.environ.get(INSIDE) is None:
            self.skipTest("needs a namespace of its own")
        web = ScriptedWeb(self.folder, {"*": {"body": "reached"}}, bind="10.9.9.9")
        self.addCleanup(web.stop)
        self.policy(["http"], [{"scheme": "http", "host": "10.9.9.9", "port": web.port},
                               {"scheme": "http", "host": "*", "port": web.port}])
        for host in ("10.9.9.9", "rebound.example"):
            line, = self.call([("http", {"url": f"http://{host}:{web.port}/"})])
            self.assertEqual(line["ok"]["body"], "reached", (host, line))

    def test_addresses_that_only_a_network_has(self):
        if os.environ.get(INSIDE) is None:
            self.skipTest("needs a namespace of its own")
        for address in ADDRESSES:
            six = ":" in address
            bind = f"{address}%lo" if address.startswith("fe80") else address
            with socket.socket(socket.AF_INET6 if six else socket.AF_INET) as listener:
                listener.bind(socket.getaddrinfo(bind, 0)[0][4])
                listener.listen()
                listener.setblocking(False)
                port = listener.getsockname()[1]
                self.wildcard(port)
                host = f"[{address}]" if six else address
                line, = self.call([("http", {"url": f"http://{host}:{port}/"})])
                self.assertEqual(line["error"]["code"], "permission_denied", (address, line))
                with self.assertRaises(BlockingIOError):
                    listener.accept()


def enter_namespace():
    """Run again in a network of its own, where this machine has all those addresses."""
    commands = ["ip link set lo up"]
    commands += [f"ip addr add {a}/{64 if ':' in a else 32} dev lo" +
                 (" nodad" if ":" in a else "") for a in ADDRESSES]
    commands += ["printf '127.0.0.1 localhost\\n10.9.9.9 rebound.example\\n127.0.0.1 "
                 "rebound.example\\n' > \"$0\"", "mount --bind \"$0\" /etc/hosts",
                 "exec \"$@\""]
    with harness.temporary_folder() as folder:
        hosts = pathlib.Path(folder) / "hosts"
        done = subprocess.run(["unshare", "-rnm", "sh", "-ec", "\n".join(commands), str(hosts),
                               sys.executable, __file__], env={**os.environ, INSIDE: "1"})
        return done.returncode


if __name__ == "__main__":
    if os.environ.get(INSIDE) is None:
        if may_make_namespaces():
            sys.exit(enter_namespace())
        print("NOT TESTED in a network of its own: namespaces may not be made here",
              file=sys.stderr)
    unittest.main()
