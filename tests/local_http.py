# SPDX-License-Identifier: Apache-2.0
"""An HTTP service on loopback, for tests of those who call one."""

from __future__ import annotations

import abc
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self


class LocalHttp(abc.ABC):
    """``with Service() as service``: it answers at ``service.url``. ``resets_expected``: clients may be killed, and nothing is said of it."""

    resets_expected: ClassVar[bool] = False

    @abc.abstractmethod
    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Read one request and answer it."""

    def __enter__(self) -> Self:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                service.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                if not service.resets_expected:
                    super().handle_error(*args)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
