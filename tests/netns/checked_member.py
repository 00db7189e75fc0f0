# SPDX-License-Identifier: Apache-2.0
"""A member that keeps what checks sent to it: ports 80 and 82 answer every method, port 81 tells as JSON what came.

``/code/N…`` is answered with status N, ``/late…`` after a second and a half, ``/flaky…`` well until port 81 is asked
for ``/bad``, and again after ``/good``; all else is answered well.
"""

import http.server
import json
import os
import threading

SEEN = []
STATE = {"bad": False}
PAUSE = threading.Event()  # never set: what a late answer waits for


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self) -> None:
        if self.path.startswith("/late"):
            PAUSE.wait(1.5)
        status = 503 if self.path.startswith("/flaky") and STATE["bad"] else 200
        if self.path.startswith("/code/"):
            status = int(self.path.split("/")[2])
        SEEN.append({
            "method": self.command, "path": self.path, "version": self.request_version, "host": self.headers.get("Host"),
            "port": self.server.server_port, "status": status,
        })  # fmt: skip
        self.send_response(status)
        body = os.environ["NAME"].encode()
        if status != 204 and self.command not in ("HEAD", "CONNECT"):
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_TRACE = do_OPTIONS = do_CONNECT = do_PATCH = answer  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


class Told(Handler):
    def do_GET(self) -> None:
        if self.path in ("/bad", "/good"):
            STATE["bad"] = self.path == "/bad"
        body = json.dumps(SEEN).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512

    def handle_error(self, *args: object) -> None:
        pass  # a check that had seen enough


for port, handler in ((81, Told), (82, Handler)):
    threading.Thread(target=Server(("", port), handler).serve_forever, daemon=True).start()
Server(("", 80), Handler).serve_forever()
