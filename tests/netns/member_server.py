# SPDX-License-Identifier: Apache-2.0
"""What the hosts of the tests run: an HTTP server on port 80 that answers with its name, led from port 81.

Port 80: ``/`` answers with the name, with what it received in headers ``Saw-…``, and sets the cookie ``APP`` when asked
with ``?login``; ``/hold`` sends half of its answer, and the rest after ``/release`` on port 81.
Port 81: ``/deaf`` closes port 80 and every connection to it, as a server that was killed; ``/hear`` opens it again;
``/slow?MILLISECONDS`` has every answer take so long; ``/release``; ``/count`` tells how many requests came.
"""

import contextlib
import http.server
import os
import socket
import threading

NAME = os.environ.get("NAME", "?")
SEEN = (
    "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP", "X-Real-IP", "X-Client-IP", "Host",
)  # fmt: skip


class State:
    server: http.server.ThreadingHTTPServer | None = None
    connections: set[socket.socket] = set()  # noqa: RUF012 - one process, one state
    pause = threading.Event()  # never set: what a slow answer waits for
    delay = 0.0
    count = 0
    released = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        State.connections.add(self.connection)

    def finish(self) -> None:
        State.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        State.count += 1
        if State.delay:
            State.pause.wait(State.delay)
        body = NAME.encode()
        if self.path == "/hold":
            self.begin(len(body) * 2)
            self.wfile.write(body)
            self.wfile.flush()
            State.released.wait()
        else:
            self.begin(len(body))
        self.wfile.write(body)

    def begin(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        if self.path.endswith("?login"):
            self.send_header("Set-Cookie", f"APP={NAME}")
        for name in SEEN:
            if self.headers.get(name):
                self.send_header(f"Saw-{name}", self.headers[name])
        if self.path == "/hold":
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512

    def handle_error(self, *_: object) -> None:
        pass


def hear() -> None:
    State.server = Server(("", 80), Handler)
    threading.Thread(target=State.server.serve_forever, args=(0.01,), daemon=True).start()


def deaf() -> None:
    if State.server:
        State.server.shutdown()
        State.server.server_close()
        State.server = None
    for connection in list(State.connections):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def slow(milliseconds: str) -> None:
    State.delay = int(milliseconds) / 1000


class Lead(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        verb, _, argument = self.path.removeprefix("/").partition("?")
        verbs = {"deaf": deaf, "hear": hear, "release": State.released.set, "count": lambda: None}
        if verb == "slow":
            slow(argument)
        else:
            verbs[verb]()
        body = str(State.count).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    hear()
    Server(("", 81), Lead).serve_forever()
