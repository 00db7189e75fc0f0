# SPDX-License-Identifier: Apache-2.0
"""A service of OpenStack behind a proxy, which passes calls on, answers with an error, or is not there."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

PASSED = ("X-Auth-Token", "Content-Type", "Accept", "User-Agent", "OpenStack-API-Version")


class _Handler(BaseHTTPRequestHandler):
    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        status, headers, content = self._answer(body)
        self.send_response(status)
        for name in ("Content-Type", "X-Openstack-Request-Id", "X-Subject-Token"):
            if name in headers:
                self.send_header(name, headers[name])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815

    def _answer(self, body: bytes | None) -> tuple[int, Any, bytes]:
        service: Faulty = self.server.service  # type: ignore[attr-defined]
        if service.status:
            return service.status, {"Content-Type": "text/html"}, b"<html><h1>Service Unavailable</h1></html>"
        headers = {name: self.headers[name] for name in PASSED if name in self.headers}
        request = urllib.request.Request(service.origin + self.path, body, headers, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def log_message(self, *args: Any) -> None:
        pass


class Faulty:
    """``with Faulty(neutron) as between``: ``url`` stands in place of it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.origin, self._path, self.status = f"{parts.scheme}://{parts.netloc}", parts.path, 0
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.passes()
        self.url = f"http://127.0.0.1:{self._port}{self._path}"
        return self

    def __exit__(self, *_: object) -> None:
        self.refuses()

    def passes(self) -> None:
        """Calls get to the service."""
        self.answers(0)

    def answers(self, status: int) -> None:
        """Each call is answered so."""
        self.status = status
        if self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _Handler)
            self._server.service, self._port = self, self._server.server_port  # type: ignore[attr-defined]
            self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
            self._thread.start()

    def refuses(self) -> None:
        """Nobody listens."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None
