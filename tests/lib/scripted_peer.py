"""A small server for tests of connections: it keeps values by name, as Redis does in its inline
form. SET NAME VALUE, GET NAME, PING, BYE (ends the connection), HANG (says nothing)."""

import socketserver
import threading


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.connections += 1
        for raw in self.rfile:
            words = raw.decode("utf-8", "replace").split()
            self.server.lines.append(" ".join(words))
            command = words[0].upper() if words else ""
            if command == "BYE":
                return
            if command == "HANG":
                self.server.released.wait(60)
                return
            self.wfile.write(self.answer(command, words[1:]).encode() + b"\r\n")

    def answer(self, command, rest):
        if command == "PING":
            return "+PONG"
        if command == "SET" and len(rest) == 2:
            self.server.values[rest[0]] = rest[1]
            return "+OK"
        if command == "GET" and rest:
            return self.server.values.get(rest[0], "$-1")
        return "-ERR"

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass  # the other side went away


class Peer(socketserver.ThreadingTCPServer):
    """with Peer() as peer: peer.port"""
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.values, self.lines, self.connections = {}, [], 0
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a killed client

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()
