# SPDX-License-Identifier: Apache-2.0
"""Calls of OpenStack's services, against an HTTP service on loopback."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace

import pytest
from keystoneauth1.adapter import Adapter
from keystoneauth1.noauth import NoAuth
from keystoneauth1.session import Session as Keystone

from local_http import LocalHttp
from octavia_provider.clouds.openstack.session import Session
from octavia_provider.clouds.openstack.settings import SessionSettings


class Glance(LocalHttp):
    """Answers when as many as ``at_once`` ask; remembers from which connections they did."""

    def __init__(self, at_once: int) -> None:
        self._all_there = threading.Barrier(at_once)
        self.connections: list[tuple[str, int]] = []

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        self.connections.append(handler.client_address)
        self._all_there.wait(30)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")


async def test_every_worker_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SessionSettings(workers=16)
    with Glance(settings.workers) as glance:
        keystone = Keystone(auth=NoAuth())
        services = dict.fromkeys(
            ("compute", "network", "image", "key_manager"), Adapter(keystone, endpoint_override=glance.url)
        )
        monkeypatch.setattr(
            "openstack.connect", lambda **_: SimpleNamespace(session=keystone, current_project_id="p", close=lambda: None, **services)
        )  # fmt: skip
        session = Session(settings)
        for _ in range(2):
            await asyncio.gather(*(session.get("glance", "/images") for _ in range(settings.workers)))
        await session.close()
    assert len(glance.connections) == 2 * settings.workers
    assert len({*glance.connections}) == settings.workers
