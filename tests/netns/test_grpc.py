# SPDX-License-Identifier: Apache-2.0
"""gRPC from end to end, with grpcio on both sides: calls of every shape, errors, and monitors."""

from __future__ import annotations

import contextlib
import queue
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

import pem

from .installation import Installation, Stack, until
from .test_tls import begin, container, pool, update

pytestmark = pytest.mark.timeout(300)

MEMBER = Path(__file__).with_name("grpc_member.py").read_text()
PACKAGES = ":".join(entry for entry in sys.path if entry.endswith("-packages"))  # grpc is there; what is named is shown
OFTEN = {"type": "GRPC", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1, "grpc_service": "test.Echo"}
CLEAR, TLS = 8443, 9443
ROOT = pem.authority("root")
SERVED = pem.make("a.test", ROOT)


def host(stack: Stack, name: str, **environment: str) -> dict[str, Any]:
    made = stack.site.create(
        "local_host", name=name, network_id=stack.network["id"], command=["python3", "-c", MEMBER], user="root",
        environment={"NAME": name, "PYTHONPATH": PACKAGES, **environment},
    )  # fmt: skip
    assert made["provisioning_status"] == "ACTIVE", made
    return made


@contextlib.contextmanager
def channel(url: str) -> Iterator[grpc.Channel]:
    parts = urlsplit(url)
    target, options = f"{parts.hostname}:{parts.port}", [("grpc.ssl_target_name_override", "a.test")]
    if parts.scheme == "https":
        credentials = grpc.ssl_channel_credentials(ROOT.pem.encode())
        with grpc.secure_channel(target, credentials, options) as made:
            yield made
    else:
        with grpc.insecure_channel(target) as made:
            yield made


def call(url: str, request: bytes = b"x") -> bytes:
    """One unary call on a channel of its own."""
    with channel(url) as made:
        return bytes(made.unary_unary("/test.Echo/Unary")(request, timeout=10))


def said(url: str) -> bytes:
    """What a call brought; empty where it failed, as it may until a new member listens."""
    with contextlib.suppress(grpc.RpcError):
        return call(url)
    return b""


def answers(url: str) -> bool:
    return bool(said(url))


def listener(stack: Stack, protocol: str, port: int, behind: dict[str, Any], **more: Any) -> str:
    made = stack.site.create(
        "listener", loadbalancer_id=stack.load_balancer["id"], protocol=protocol, protocol_port=port,
        default_pool_id=behind["id"], **more,
    )  # fmt: skip
    assert made["provisioning_status"] == "ACTIVE", made
    return str(made["url"])


def every_shape(made: grpc.Channel) -> None:
    answer, said = made.unary_unary("/test.Echo/Unary").with_call(b"one", timeout=10, metadata=[("x-asked", "me")])
    assert (answer, said.code()) == (b"m:one", grpc.StatusCode.OK)
    trailers = dict(said.trailing_metadata())
    assert (trailers["x-trailer"], trailers["x-saw"]) == ("after", "me")

    stream = made.unary_stream("/test.Echo/Down")(b"500", timeout=20)
    assert list(stream) == [b"m:%d" % number for number in range(500)]
    assert dict(stream.trailing_metadata())["x-trailer"] == "after"

    parts = [b"%d" % number for number in range(300)]
    assert made.stream_unary("/test.Echo/Up")(iter(parts), timeout=20) == b"m:" + b"+".join(parts)

    asked: queue.Queue[bytes | None] = queue.Queue()
    replies = made.stream_stream("/test.Echo/Both")(iter(asked.get, None), timeout=20)
    for number in range(20):  # each is answered before the next is asked
        asked.put(b"%d" % number)
        assert next(replies) == b"m:%d" % number
    asked.put(None)
    assert list(replies) == []

    with pytest.raises(grpc.RpcError) as failed:
        made.unary_unary("/test.Echo/Fail")(b"", timeout=10)
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing: größer")
    assert dict(failed.value.trailing_metadata())["x-reason"] == "moved"
    lost = made.unary_stream("/test.Echo/Broken")(b"", timeout=10)
    assert next(lost) == b"first"
    with pytest.raises(grpc.RpcError):
        next(lost)
    assert (lost.code(), dict(lost.trailing_metadata())["x-reason"]) == (grpc.StatusCode.DATA_LOSS, "halfway")


@pytest.mark.covers(
    "pool.protocol_version=HTTP2", "pool.protocol_version=HTTP1", "pool.tls_enabled", "pool.alpn_protocols=h2",
    "listener.protocol=HTTP", "listener.protocol=TERMINATED_HTTPS",
)  # fmt: skip
def test_calls_of_every_shape(site: Installation) -> None:
    stack = begin(site)
    server = host(stack, "m", PAIR=SERVED.key_pem + SERVED.pem)
    cert = container(site, "cert", **SERVED.container())
    pools = {
        "clear": pool(stack, server, CLEAR, protocol_version="HTTP2"), "tls": pool(stack, server, TLS, tls_enabled=True),
        "tls only": pool(stack, server, TLS, tls_enabled=True, protocol_version="HTTP2"),
    }  # fmt: skip
    for number, behind in enumerate(pools.values()):
        urls = [
            listener(stack, "HTTP", 8000 + number, behind),
            listener(stack, "TERMINATED_HTTPS", 9000 + number, behind, default_tls_container_ref=cert),
        ]
        for url in urls:
            until(lambda url=url: answers(url), what="an answer")  # type: ignore[misc]
            with channel(url) as made:
                every_shape(made)
    update(site, "pool", pools["clear"]["id"], protocol_version="HTTP1")  # which this server does not speak
    plain = site.get("listener", pools_listener(site, pools["clear"]))["url"]
    assert not answers(plain)
    update(site, "pool", pools["clear"]["id"], protocol_version="HTTP2")
    assert call(plain) == b"m:x"
    # as it comes at run time
    late = site.create("member", parent=pools["clear"]["id"], address=host(stack, "n")["address"], protocol_port=CLEAR)
    assert late["provisioning_status"] == "ACTIVE", late
    until(lambda: {said(plain)[:1] for _ in range(8)} == {b"m", b"n"}, what="both to answer")


def pools_listener(site: Installation, behind: dict[str, Any]) -> str:
    return str(site.get("pool", behind["id"])["listeners"][0]["id"])


@pytest.mark.covers(
    "health_monitor.type=GRPC",
    "health_monitor.grpc_service",
    "health_monitor.domain_name",
    "pool.protocol_version=HTTP2",
)
def test_monitors_use_the_transport_of_the_pool(site: Installation) -> None:
    stack = begin(site)
    ca, other = pem.authority("members"), pem.authority("others")
    pair, me = pem.make("a.test", ca), pem.make("the balancer", ca)
    hosts = {
        "well": host(stack, "well", PAIR=pair.key_pem + pair.pem),
        "ill": host(stack, "ill", PAIR=pair.key_pem + pair.pem, HEALTH="2"),
        "strict": host(stack, "strict", PAIR=pair.key_pem + pair.pem, CA=ca.pem),
    }
    trusted = container(site, "trusted", ca_certificates=ca.pem)
    mine, cert = container(site, "mine", **me.container()), container(site, "cert", **SERVED.container())
    urls: dict[str, str] = {}
    members: dict[str, dict[str, tuple[str, str]]] = {}

    def watched(
        name: str, spoken: str, port: int, names: str, monitor: dict[str, Any], **values: Any
    ) -> dict[str, Any]:
        first, *rest = names.split()
        behind = pool(stack, hosts[first], port, **values)
        found = {first: site.get("pool", behind["id"])["members"][0]}
        for one in rest:
            found[one] = site.create("member", parent=behind["id"], address=hosts[one]["address"], protocol_port=port)
        members[name] = {label: (behind["id"], str(one["id"])) for label, one in found.items()}
        tls = {"default_tls_container_ref": cert} if spoken == "TERMINATED_HTTPS" else {}
        urls[name] = listener(stack, spoken, 7000 + len(urls), behind, **tls)
        made = site.create("health_monitor", pool_id=behind["id"], **OFTEN, **monitor)
        assert made["provisioning_status"] == "ACTIVE", made
        return behind

    def status(name: str, member: str) -> str:
        pool_id, id_ = members[name][member]
        return str(site.get("member", id_, parent=pool_id)["operating_status"])

    http2, verified = {"protocol_version": "HTTP2"}, {"tls_enabled": True, "ca_tls_container_ref": trusted}
    watched("clear", "HTTP", CLEAR, "well ill", {}, **http2)
    watched("tls", "HTTP", TLS, "well ill", {}, tls_enabled=True)
    watched("named", "TERMINATED_HTTPS", TLS, "well ill", {"domain_name": "a.test"}, **verified)
    watched("misnamed", "TERMINATED_HTTPS", TLS, "well", {"domain_name": "b.test"}, **verified)
    watched("nobody", "TERMINATED_HTTPS", TLS, "strict well ill", {}, tls_enabled=True)
    watched("shown", "HTTP", TLS, "strict ill", {}, **verified, tls_container_ref=mine)
    watched("stream", "TCP", CLEAR, "well ill", {}, protocol="TCP")
    watched("passed", "HTTPS", TLS, "well ill", {}, protocol="HTTPS")
    good = {
        "clear": "well",
        "tls": "well",
        "named": "well",
        "nobody": "well",
        "shown": "strict",
        "stream": "well",
        "passed": "well",
    }
    for name, labels in members.items():
        for label in labels:
            if label != good.get(name):
                until(
                    lambda name=name, label=label: status(name, label) == "ERROR",
                    what=f"{label} of {name} to be unwell",
                )  # type: ignore[misc]
    for name, label in good.items():
        until(lambda name=name, label=label: status(name, label) == "ONLINE", what=f"{label} of {name} to be well")  # type: ignore[misc]

    def served(name: str) -> set[bytes]:
        """Who answers; a busy machine may be late for a check, and one is enough here."""
        return {said(urls[name].replace("tcp:", "http:")) for _ in range(6)}

    for name in ("clear", "tls", "shown", "stream"):
        until(lambda name=name: served(name) == {good[name].encode() + b":x"}, what=f"members of {name} to answer")  # type: ignore[misc]

    # what changes in a container is in force for checks too
    update(site, "tls_container", trusted, ca_certificates=other.pem)
    until(lambda: {status("named", "well"), status("shown", "strict")} == {"ERROR"}, what="members not to be trusted")
    update(site, "tls_container", trusted, ca_certificates=ca.pem)
    until(lambda: {status("named", "well"), status("shown", "strict")} == {"ONLINE"}, what="members to be trusted")
