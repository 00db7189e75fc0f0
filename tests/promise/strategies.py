# SPDX-License-Identifier: Apache-2.0
"""Whole load balancers, drawn from the model itself: good values, and hostile ones among them.

A new attribute is drawn by its declaration; a new format needs a strategy in ``FORMATS``, a new kind a place in
``balancers``. What is drawn is the body of a single-call create.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from octavia_provider.model import formats, kinds
from octavia_provider.model.attributes import Attribute, inputs
from octavia_provider.model.graph import LISTENER_POOL_PROTOCOLS
from octavia_provider.model.listener import HEADERS
from octavia_provider.model.validate import validate

Body = dict[str, Any]
LONG = 70_000
NASTY = (
    "", " ", "\n", "\r\n", "\t", "\0", "\x7f", "\x1b[31m", "#", "# comment", '"', "'", "\\", "\\\n", "\\x0a", "$HOME", "${HOME}",
    '"$HOME"', "%", "%[src]", "%%", "{", "}", ";", "|", "`id`", "$(id)", "a b", "a\nb", "a#b", 'a"b', "a'b", "a\\",
    "x\n    server evil 192.0.2.1:80", "x\nfrontend evil\n    bind :1", "/\nbackend evil", '" \n    bind :1', "' #", ".if true",
    "http-request deny", "lua.evil", "../../etc/passwd", "-1", "0", "null", "ünï©ødé", "日本語", "\u2028", "\u202e", "\ufeff", "🦄",
    "x" * 255, "x" * 256, "/" + "y" * 254, "é" * 255, "x" * LONG,
)  # fmt: skip
"""What has broken configurations before, here or elsewhere, or looks as if it could."""

WORDS = string.ascii_letters + string.digits
COOKIE = "!#$%&'*+-.^_`|~" + WORDS
URL = "._~!$&'()*+,;=:@/?-" + WORDS


def text(alphabet: str, low: int, high: int, prefix: str = "") -> st.SearchStrategy[str]:
    """Strings of these characters."""
    return st.text(alphabet, min_size=low, max_size=high).map(lambda rest: prefix + rest)


HOSTILE = st.one_of(st.sampled_from(NASTY), st.text(max_size=40))
ADDRESSES = st.one_of(
    st.integers(1, 250).map("10.0.0.{}".format),
    st.integers(1, 0xFFFF).map("fd00::{:x}".format),
    st.just("FD00:0:0::AB"),
)
CODES = st.integers(100, 599).map(str)
FORMATS: Mapping[Callable[[str], str], st.SearchStrategy[str]] = {
    formats.text: st.one_of(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40), HOSTILE),
    formats.uuid_string: st.uuids().map(str),
    formats.ip_address: ADDRESSES,
    formats.member_address: ADDRESSES,
    formats.cidr: st.sampled_from(("10.0.0.0/8", "10.1.2.3/24", "fd00::/64", "0.0.0.0/0")),
    formats.cookie_name: text(COOKIE, 1, 60),
    formats.host_name: st.sampled_from(
        ("a", "www.example.com", "_x.example", "A-b.c", "1.2.3.4", "x" * 63 + ".example")
    ),
    formats.url_path: st.one_of(text(URL, 0, 60, "/"), st.just("/%41?a=b&c=%20"), text(URL, 240, 254, "/")),
    formats.expected_codes: st.one_of(
        CODES, st.lists(CODES, min_size=1, max_size=9).map(", ".join), st.just("200-204"), st.just("100-599")
    ),
}
"""For each format of the model, strings that it takes (or mostly takes)."""

SPECIAL: Mapping[tuple[str, str], st.SearchStrategy[Any]] = {
    ("listener", "insert_headers"): st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(("true", "false"))),
    ("health_monitor", "delay"): st.integers(5, 86_400),
    ("health_monitor", "timeout"): st.integers(1, 5),
    ("load_balancer", "vip_network_id"): st.uuids().map(str),
    ("listener", "protocol"): st.sampled_from(("HTTP", "TCP")),
    ("pool", "protocol"): st.sampled_from(("HTTP", "TCP")),
    ("pool", "lb_algorithm"): st.sampled_from(("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP")),
    ("health_monitor", "type"): st.sampled_from(("HTTP", "TCP")),
}
"""What the declaration alone does not say well enough."""
NOT_DRAWN = frozenset({
    "allowed_cidrs", "rate_limit", "default_tls_container_ref", "sni_container_refs", "client_authentication",
    "client_ca_tls_container_ref", "client_crl_container_ref", "tls_ciphers", "tls_versions", "alpn_protocols",
    "hsts_max_age", "hsts_include_subdomains", "hsts_preload", "tls_enabled", "tls_container_ref", "ca_tls_container_ref",
    "crl_container_ref", "grpc_service", "persistence_timeout", "persistence_granularity", "additional_vips",
    "flavor_id", "availability_zone",
})  # fmt: skip
"""What these draws leave out for now, as they do L7 policies and rules: TLS, UDP, and what else came after HTTP and TCP.
Golden files, which the real haproxy and nft read, and tests with real clients stand for them."""
DRAWN_KINDS = (kinds.LoadBalancer, kinds.Listener, kinds.Pool, kinds.Member, kinds.HealthMonitor)
STRUCTURE = frozenset({"loadbalancer_id", "listener_id", "pool_id", "default_pool_id", "vip_port_id", "provider"})
"""Who belongs to whom is said by nesting; how a VIP is said is the cloud's."""

COMPANIONS: Mapping[tuple[str, str | None], Mapping[str, st.SearchStrategy[str]]] = {
    ("domain_name", None): {"http_version": st.just("1.1")},
    ("type", "APP_COOKIE"): {"cookie_name": FORMATS[formats.cookie_name]},
}
"""What an attribute (of this value) needs beside it: too rare, were it left to chance."""

_percent = st.integers(0, 99)


def good(kind: str, attribute: Attribute) -> st.SearchStrategy[Any]:
    """Values that the declaration of an attribute allows."""
    if (special := SPECIAL.get((kind, attribute.name))) is not None:
        return special
    if attribute.nested is not None:
        one = values(attribute.nested)
        return st.lists(one, max_size=2) if attribute.is_list else one
    if attribute.is_list:
        return st.lists(_scalar(attribute, attribute.item), max_size=3)
    if attribute.is_map:
        return st.dictionaries(HOSTILE, _scalar(attribute, attribute.item), max_size=2)
    return _scalar(attribute, attribute.annotation)


def _scalar(attribute: Attribute, shape: type) -> st.SearchStrategy[Any]:
    if attribute.choices:
        return st.sampled_from([choice.value for choice in attribute.choices])
    if shape is bool:
        return st.booleans()
    if shape in (int, float):
        return st.integers(
            int(attribute.minimum or 0), int(attribute.maximum if attribute.maximum is not None else 1 << 20)
        )
    return FORMATS[attribute.format] if attribute.format else HOSTILE


def bad(attribute: Attribute) -> st.SearchStrategy[Any]:
    """Anything else."""
    numbers = st.integers(-2, 1 << 70) | st.floats(allow_nan=False)
    anything = st.one_of(
        HOSTILE,
        numbers,
        st.booleans(),
        st.none(),
        st.lists(HOSTILE, max_size=2),
        st.dictionaries(HOSTILE, HOSTILE, max_size=1),
    )
    return (
        st.one_of(HOSTILE, anything, st.lists(HOSTILE, max_size=2))
        if attribute.is_list
        else st.one_of(HOSTILE, anything)
    )


@st.composite
def values(draw: st.DrawFn, kind: type) -> Body:
    """The inputs of one object. What a rule refuses is mostly left out again, so that much is accepted."""
    word = getattr(kind, "KIND", kind.__name__)
    found: Body = {}
    for name, attribute in inputs(kind).items():
        wanted = draw(_percent)
        if name in STRUCTURE | NOT_DRAWN or wanted >= (98 if attribute.required else 60):
            continue
        found[name] = draw(bad(attribute) if draw(_percent) < 2 else good(word, attribute))
    if draw(_percent) < 85:
        for (name, value), more in COMPANIONS.items():
            if found.get(name) is not None and value in (None, found[name]):
                found.update({n: draw(one) for n, one in more.items() if n not in found or n == "http_version"})
        _mend(kind, found)
    return found


def _mend(kind: type, found: Body) -> None:
    for _ in range(3):
        parents = dict.fromkeys(STRUCTURE & inputs(kind).keys() - {"provider"}, "00000000-0000-0000-0000-000000000001")
        for violation in validate(kind, {**parents, **found}).violations:
            found.pop(str(violation.path[0]), None)


@st.composite
def balancers(draw: st.DrawFn) -> Body:
    """A load balancer with all that is in it."""
    body = draw(values(kinds.LoadBalancer))
    body.setdefault("vip_network_id", "00000000-0000-0000-0000-000000000001")
    body["pools"] = pools = [draw(_pool(number)) for number in range(draw(st.integers(0, 2)))]
    ports = draw(st.lists(st.integers(1, 65535), max_size=3, unique=draw(_percent) < 95))
    body["listeners"] = [draw(_listener(port, pools)) for port in ports]
    return body


@st.composite
def _pool(draw: st.DrawFn, number: int | None) -> Body:
    pool = draw(values(kinds.Pool))
    if number is not None:
        pool["name"] = f"pool {number}" if draw(_percent) < 90 else draw(HOSTILE)
    pool["members"] = draw(st.lists(values(kinds.Member), max_size=3))
    if draw(_percent) < 60:
        pool["healthmonitor"] = draw(values(kinds.HealthMonitor))
    return pool


@st.composite
def _listener(draw: st.DrawFn, port: int, pools: list[Body]) -> Body:
    listener = draw(values(kinds.Listener))
    if draw(_percent) < 98:
        listener["protocol_port"] = port
    spoken = LISTENER_POOL_PROTOCOLS.get(str(listener.get("protocol")), ())
    fitting = [pool for pool in pools if pool.get("protocol") in spoken]
    form = draw(_percent)
    if fitting and form < 60:
        listener["default_pool"] = {"name": draw(st.sampled_from(fitting))["name"]}
    elif pools and form < 65:
        listener["default_pool"] = {"name": draw(st.sampled_from(pools))["name"]}
    elif form < 85:
        listener["default_pool"] = draw(_pool(None))
    return listener
