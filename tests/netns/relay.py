# SPDX-License-Identifier: Apache-2.0
"""A relay in front of a control plane's socket, which can keep an answer back: what a plugin never hears."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from local_http import LocalHttp


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("octavia", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))


class Relay(LocalHttp):
    """``with Relay(socket) as relay``: what is sent to ``relay.url`` goes to the socket, and the answers come back.

    ``instead(method, path, do)``: the next answer to such a request, complete and good, is not passed on; ``do`` is
    called with it and the connection is closed.
    """

    resets_expected = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._instead: tuple[str, str, Callable[[bytes], None]] | None = None
        self.kept_back: list[bytes] = []

    def instead(self, method: str, path: str, do: Callable[[bytes], None]) -> None:
        """``path`` is a regular expression for the whole path."""
        self._instead = (method, path, do)

    def _take(self, method: str, path: str) -> Callable[[bytes], None] | None:
        with self._lock:
            if self._instead and self._instead[0] == method and re.fullmatch(self._instead[1], path):
                do, self._instead = self._instead[2], None
                return do
        return None

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """One request and its answer."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        upstream = _Unix(self._path)
        try:
            headers = {k: v for k, v in handler.headers.items() if k.lower() not in ("connection", "host")}
            upstream.request(handler.command, handler.path, body or None, {**headers, "Connection": "close"})
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        do = self._take(handler.command, handler.path) if answer.status < 400 else None
        if do is not None:
            self.kept_back.append(content)
            do(content)
            handler.close_connection = True
            return
        handler.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                handler.send_header(name, value)
        if answer.status != 204:
            handler.send_header("Content-Length", str(len(content)))
        with contextlib.suppress(OSError):  # the plugin may be dead by now
            handler.end_headers()
            handler.wfile.write(content)
