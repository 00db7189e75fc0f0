# SPDX-License-Identifier: Apache-2.0
"""octaviactl start: which load balancers should serve and do not; each is asked as a client would ask."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pem
from command_line import octaviactl
from octavia_provider.cli import exit_codes, probe, serving_check
from octavia_provider.model import statuses
from real_plane import RealPlane

NODE = {
    "id": "i", "name": "n", "provisioning_status": "ACTIVE", "operating_status": "ONLINE", "provisioning_error": None,
    "admin_state_up": True,
}  # fmt: skip
MEMBER = {**NODE, "address": "10.0.0.1", "protocol_port": 80}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers are threads of this process, which may be late."""
    monkeypatch.setattr(probe, "TIMEOUT", 30.0)


class Says(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_OPTIONS(self) -> None:
        assert self.path == "*"
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listener(status: int) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Says) as running:
        running.status = status  # type: ignore[attr-defined]
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@contextmanager
def closed(*, takes: bool, greets: bytes = b"", holds: bool = False) -> Iterator[int]:
    """A port that refuses connections, or takes and closes them, or holds them."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
        if not takes:  # bound: no other process gets the port meanwhile
            yield port
            return
        opened.listen()
        kept = []

        def serve() -> None:
            connection, _ = opened.accept()
            connection.sendall(greets)
            kept.append(connection) if holds else connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield port


def overview(url: str | None, **more: Any) -> dict[str, Any]:
    front = {
        **NODE, "protocol": "HTTP", "protocol_port": 80, "url": url, "default_pool_id": "i", "allowed_cidrs": [],
        **more.pop("listener", {}),
    }  # fmt: skip
    pool = {**NODE, "members": [{**MEMBER, **more.pop("member", {})}]}
    hosts = more.pop("hosts", [])
    return {"load_balancers": [{**NODE, "listeners": [front], "pools": [pool], **more}], "hosts": hosts}


@pytest.mark.parametrize("status", [200, 204, 301, 403, 404, 405, 429, 500, 501])
def test_whatever_a_member_says_is_an_answer(status: int) -> None:
    with listener(status) as url:
        assert serving_check.not_serving(overview(url)) == {}


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_haproxy_says_where_no_member_does_is_none(status: int) -> None:
    with listener(status) as url:
        assert serving_check.not_serving(overview(url)) == {"n": f"listener n: answers {status}"}


@pytest.mark.parametrize("mandatory", [False, True])
def test_a_listener_that_ends_tls_answers_whoever_it_is_for(mandatory: bool, tmp_path: Path) -> None:
    pair = pem.make("www.example.com")
    (tmp_path / "server.pem").write_text(pair.pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    if mandatory:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tmp_path / "server.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Says) as running:
        running.status = 200  # type: ignore[attr-defined]
        running.socket = context.wrap_socket(running.socket, server_side=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        assert probe.request_error(f"https://127.0.0.1:{running.server_port}") == ""
        running.shutdown()


def test_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed(takes=True, holds=True) as port:
        assert probe.accepts_connections("127.0.0.1", "TCP", port) is True
    monkeypatch.setattr(probe, "CLOSE_TIMEOUT", 30.0)  # a thread that closes does so late on a busy machine
    with closed(takes=False) as port:
        assert "no connection: connection refused" in probe.connection_error("127.0.0.1", port)
        assert probe.accepts_connections("127.0.0.1", "TCP", port) is False
    with closed(takes=True) as port:
        assert probe.connection_error("127.0.0.1", port) == "connections are closed at once"
    with closed(takes=True, greets=b"220 hello\r\n") as port:
        assert probe.connection_error("127.0.0.1", port) == ""
    assert probe.accepts_connections("127.0.0.1", "UDP", 1) is None
    assert probe.accepts_connections(None, "TCP", 1) is None


DEAD = "http://127.0.0.1:9"
UNHEARD = {"operating_status": statuses.UNKNOWN}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (overview(DEAD), "listener n: no answer: [errno 111] connection refused"),
        (overview(None, provisioning_status="PENDING_UPDATE"), "is being brought about (PENDING_UPDATE)"),
        (overview(None, provisioning_status="ERROR", provisioning_error="no room"), "no room"),
        (overview(None, **UNHEARD, listener={"protocol": "UDP"}), "nothing was heard of its amphora yet"),
        (overview(DEAD, **UNHEARD, listener={"allowed_cidrs": ["10.0.0.0/8"]}), "nothing was heard of its amphora yet"),
        (overview(None, member={"operating_status": "ERROR"}), "no member of pool n is up"),
        (overview(None, listener={"operating_status": "OFFLINE"}), "listener n is not open yet"),
        (overview(None, listener={"provisioning_status": "ERROR", "provisioning_error": "x"}), "listener n: x"),
        (overview(None, hosts=[{**NODE, "address": "10.0.0.1", "running": False}]), "the command of host n does not run yet"),
        (overview(None), None),
        (overview(DEAD, admin_state_up=False), None),
        (overview(DEAD, provisioning_status="PENDING_DELETE"), None),
        (overview(DEAD, listener={"admin_state_up": False}), None),
        (overview(DEAD, listener={"default_pool_id": None}), None),
        (overview(DEAD, listener={"allowed_cidrs": ["10.0.0.0/8"]}), None),
        (overview(None, member={"operating_status": "DRAINING"}), None),
    ],
)  # fmt: skip
def test_what_is_waited_for(found: dict[str, Any], why: str | None) -> None:
    assert serving_check.not_serving(found) == ({} if why is None else {"n": why})


def test_start_says_which_does_not_serve_and_fails() -> None:
    with RealPlane() as plane:
        plane.make("web")  # nobody serves its address
        done = octaviactl("start", "--timeout", "4", "--home", plane.home)
        assert done.returncode == exit_codes.FAILED
        assert "web: listener" in done.stderr
        assert "waiting: web" in done.stderr
        done = octaviactl("start", "--no-wait", "--json", "--home", plane.home)
        assert (done.returncode, json.loads(done.stdout)["not_serving"]) == (0, {})


def test_start_of_nothing_returns_at_once(tmp_path: Path) -> None:
    with RealPlane() as plane:
        assert octaviactl("start", "--home", plane.home).returncode == 0
