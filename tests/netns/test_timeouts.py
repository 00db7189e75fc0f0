# SPDX-License-Identifier: Apache-2.0
"""The timeouts of a listener, as a client sees them: who is silent for too long is let go of, long before the default."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from .installation import Installation, Stack, ask, make_stack, until

PATIENCE = 15.0
"""What a client waits for. The shortest of the defaults is 5 s, four times for a member that cannot be reached."""
SHORT = 200
POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}


def listener(stack: Stack, port: int, **values: Any) -> str:
    """Where another listener, with the same member, is published."""
    members = [{"address": stack.members[0]["address"], "protocol_port": 80}]
    made = stack.site.create(
        "listener", loadbalancer_id=stack.load_balancer["id"],
        **{"protocol": "HTTP", "protocol_port": port, "default_pool": {**POOL, "name": f"p{port}", "members": members}, **values},
    )  # fmt: skip
    assert made["provisioning_status"] == "ACTIVE", made
    return str(made["url"])


def let_go(url: str, said: bytes) -> bytes:
    """What a client that says this and no more is told before its connection is closed; it fails when it is not."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE) as client:
        client.sendall(said)
        told = b""
        while data := client.recv(65536):
            told += data
        return told


@pytest.mark.covers("listener.timeout_client_data", "listener.timeout_member_data", "listener.timeout_member_connect")
def test_a_silent_client__a_silent_member__a_member_that_cannot_be_reached(site: Installation) -> None:
    stack = make_stack(site, members=1)
    streams = {"protocol": "TCP", "default_pool": None, "default_pool_id": None}
    client = listener(stack, 81, timeout_client_data=SHORT)
    member = listener(stack, 82, timeout_member_data=SHORT)
    stream = listener(stack, 83, **streams, timeout_client_data=SHORT)
    connect = listener(stack, 84, timeout_member_connect=SHORT)
    for url in (client, member, connect):
        until(lambda url=url: ask(url) == (200, "m1"), what=f"an answer at {url}")  # type: ignore[misc]

    assert b" 408 " in let_go(client, b"GET / HTTP/1.1\r\n")
    assert let_go(stream, b"") == b""

    stack.tell("m1", "slow?2000")
    assert ask(member, timeout=PATIENCE)[0] == 504
    # a member may take its time where it is not said otherwise; a client that is late with its request on a busy machine may not
    until(lambda: ask(client, timeout=PATIENCE) == (200, "m1"), what="a slow member to answer")
    stack.tell("m1", "slow?0")

    enter = ("ip", "netns", "exec", f"host-{stack.hosts[0]['id']}")
    drop = "add table ip t; add chain ip t i { type filter hook input priority 0; }; add rule ip t i tcp dport 80 drop"
    assert site.inside(*enter, "nft", drop).returncode == 0
    assert ask(connect, timeout=PATIENCE)[0] == 503
