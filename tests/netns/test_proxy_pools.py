# SPDX-License-Identifier: Apache-2.0
"""PROXY and PROXYV2 pools: members are told who the client is, and so are those that are only checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pem

from .installation import Installation, Stack, make_stack, until
from .tls_client import ask as ask_by_tls
from .traffic import fetch

MEMBER = Path(__file__).with_name("proxied_member.py").read_text()
CHECKED = {"delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}


def proxied(site: Installation, protocol: str, *, listener: dict[str, Any] | None = None, **monitor: Any) -> Stack:
    stack = make_stack(site, members=0, protocol=protocol, listener=listener)
    host = site.create(
        "local_host", name="m1", network_id=stack.network["id"], command=["python3", "-c", MEMBER], environment={"NAME": "m1"}
    )  # fmt: skip
    stack.hosts.append(host)
    stack.add_member(host)
    until(lambda: said(stack), what="the member to answer")
    if monitor:  # which may find it unwell
        stack.monitor = site.create("health_monitor", pool_id=stack.pool["id"], **CHECKED, **monitor)
    return stack


def said(stack: Stack, **options: Any) -> dict[str, Any]:
    status, body, _ = fetch(stack.url.replace("tcp://", "http://"), **options)
    return dict(json.loads(body)) if status == 200 else {}


@pytest.mark.covers("pool.protocol=PROXY", "pool.protocol=PROXYV2")
@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
@pytest.mark.parametrize(("pool", "version"), [("PROXY", 1), ("PROXYV2", 2)])
def test_a_member_is_told_the_clients_address(site: Installation, protocol: str, pool: str, version: int) -> None:
    stack = proxied(site, pool, listener={"protocol": protocol})
    told = said(stack, source="127.3.4.5", port=23_456)
    assert (told["version"], told["source"], told["source_port"]) == (version, "127.3.4.5", 23_456)
    assert told["destination_port"] == 80
    stack.change("pool", stack.pool["id"], protocol="HTTP" if protocol == "HTTP" else "TCP")
    until(lambda: said(stack).get("version") == 0, what="the header to be left away")


@pytest.mark.covers("pool.protocol=PROXYV2")
def test_where_tls_ends_at_the_listener__version_2_tells_of_it(site: Installation) -> None:
    authority = pem.authority()
    pair, client = pem.make("a.test", authority), pem.make("somebody", authority)
    served = site.create("tls_container", name="served", **pair.container())
    trusted = site.create("tls_container", name="trusted", ca_certificates=authority.pem)
    tls = {
        "protocol": "TERMINATED_HTTPS", "default_tls_container_ref": served["id"], "client_authentication": "OPTIONAL",
        "client_ca_tls_container_ref": trusted["id"], "protocol_port": 443, "alpn_protocols": ["http/1.1"],
    }  # fmt: skip
    stack = make_stack(site, members=0, protocol="PROXYV2", listener=tls)
    host = site.create(
        "local_host", name="m1", network_id=stack.network["id"], command=["python3", "-c", MEMBER], environment={"NAME": "m1"}
    )  # fmt: skip
    stack.add_member(host)
    until(lambda: ask_by_tls(stack.url).status == 200, what="the member to answer")
    assert ask_by_tls(stack.url).said["tls"] == {"version": "TLSv1.3", "client": None}
    assert ask_by_tls(stack.url, client=client).said["tls"] == {"version": "TLSv1.3", "client": "somebody"}


@pytest.mark.covers(
    "pool.protocol=PROXY", "pool.protocol=PROXYV2", "health_monitor.type=TCP", "health_monitor.type=HTTP",
    "health_monitor.type=TLS-HELLO",
)  # fmt: skip
@pytest.mark.parametrize("pool", ["PROXY", "PROXYV2"])
@pytest.mark.parametrize("type_", ["TCP", "HTTP", "TLS-HELLO"])
def test_checks_begin_with_the_header_too(site: Installation, pool: str, type_: str) -> None:
    stack = proxied(site, pool, type=type_)
    before = counts(stack)
    until(lambda: counts(stack)["proxied"] >= before["proxied"] + 3, what="some checks")
    if type_ == "TLS-HELLO":  # the member answers with no ServerHello, but it has seen a ClientHello behind the header
        assert counts(stack)["tls_hellos"] > 0
    else:
        until(lambda: stack.member("m1")["operating_status"] == "ONLINE", what="the member to be seen well")
    assert counts(stack)["plain"] == before["plain"]


def counts(stack: Stack) -> dict[str, Any]:
    """What the member has counted, told inside, where no balancer stands between."""
    address = stack.hosts[0]["address"]
    asking = "import sys,urllib.request as u;print(u.urlopen('http://%s:82/'%sys.argv[1]).read().decode())"
    done = stack.site.inside("python3", "-c", asking, address)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
