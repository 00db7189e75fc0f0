# SPDX-License-Identifier: Apache-2.0
"""octaviactl try: TLS with self-made certificates, names, and advice that helps when it is followed."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import pem
from command_line import octaviactl


class Hosts(http.server.BaseHTTPRequestHandler):
    """Answers with the name that it was asked for."""

    def do_GET(self) -> None:
        body = f"{self.headers['Host']}\n".encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server(folder: Path, pair: pem.Pair | None = None) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hosts) as running:
        if pair is not None:
            (folder / "server.pem").write_text(pair.pem + pair.key_pem)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "server.pem")
            running.socket = context.wrap_socket(running.socket, server_side=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port
        running.shutdown()


@pytest.mark.parametrize("self_made", [True, False])
def test_a_certificate_that_nobody_knows(self_made: bool, tmp_path: Path) -> None:
    authority = pem.authority()
    pair = pem.make("www.example.com", None if self_made else authority)
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(pair.pem if self_made else authority.pem)
    with server(tmp_path, pair) as port:
        url = f"https://127.0.0.1:{port}/"
        done = octaviactl("try", url, "-n", "1")
        assert done.returncode == 1
        assert "--cacert" in done.stderr
        assert "--insecure" in done.stderr
        assert "octaviactl status" not in done.stderr
        assert octaviactl("try", url, "-n", "1", "--insecure").returncode == 0
        done = octaviactl("try", url, "-n", "1", "--cacert", str(trusted))
        assert done.returncode == 1
        assert "--host" in done.stderr
        done = octaviactl("try", url, "-n", "1", "--cacert", str(trusted), "--host", "www.example.com", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["answers"][0]["by"] == "www.example.com"


def test_a_certificate_that_has_ended(tmp_path: Path) -> None:
    pair = pem.make("www.example.com", days=-1)
    (tmp_path / "trusted.pem").write_text(pair.pem)
    with server(tmp_path, pair) as port:
        done = octaviactl(
            "try",
            f"https://127.0.0.1:{port}/",
            "-n",
            "1",
            "--cacert",
            str(tmp_path / "trusted.pem"),
            "--host",
            "www.example.com",
        )
        assert done.returncode == 1
        assert "renew" in done.stderr


def test_the_host_is_asked_for_without_tls_too(tmp_path: Path) -> None:
    with server(tmp_path) as port:
        done = octaviactl("try", f"http://127.0.0.1:{port}/", "-n", "2", "--host", "api.example.com")
        assert "api.example.com 2/2" in done.stdout
        done = octaviactl("try", f"http://127.0.0.1:{port}/missing", "-n", "2")
        assert done.returncode == 1
        assert "2 of 2 requests were answered with 404" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--host", "a b"), ("--host", ""), ("--host", "a\r\nX: y"), ("--cacert", "/nonexistent"), ("--cacert", "not.pem"), ("-n", "0")],
)  # fmt: skip
def test_wrong_arguments_are_told_in_a_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "not.pem").write_text("nothing")
    given = [str(tmp_path / word) if word == "not.pem" else word for word in arguments]
    done = octaviactl("try", "https://127.0.0.1:1/", "-n", "1", *given)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert arguments[0] in done.stderr
