# SPDX-License-Identifier: Apache-2.0
"""L7 policies: which member, which answer and which headers a real client meets, for each type, comparison and action."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from octavia_provider.model.l7_rule import COMPARE_TYPES, COMPARISONS, SSL_TYPES, TYPES

from .installation import Installation, Load, Stack, installation, make_stack, until
from .l7_cases import CASES, HOSTILE, rule_of

# Answers every method with its name and the headers it received; says a thing of its own in two headers.
ECHO = """
import http.server, json, os, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = json.dumps({"name": os.environ["NAME"], "path": self.path, "headers": self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-From", os.environ["NAME"])
        self.send_header("X-Secret", "inner 10.0.0.1")
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do_PUT = do_DELETE = answer
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    def handle_error(self, *args):  # haproxy resets idle connections: telling of each takes longer than they take to come
        pass
threading.stack_size(256 * 1024)  # a host's memory is limited, and a thread's stack is 8 MiB by default
Server(("", 80), Handler).serve_forever()
"""


@dataclass
class Met:
    """What the client met."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def member(self) -> str:
        return str(json.loads(self.body)["name"]) if self.status == 200 else str(self.status)

    @property
    def seen(self) -> list[tuple[str, str]]:
        """The headers that the member received."""
        return [(name, value) for name, value in json.loads(self.body)["headers"]]


def send(
    url: str, path: str = "/", *lines: str, method: str = "GET", host: str | None = "example.com",
    source: str = "127.0.0.1",
) -> Met:  # fmt: skip
    """One request, byte by byte as it is written here."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    with socket.create_connection(address, timeout=20, source_address=(source, 0)) as connection:
        named = [] if host is None else [f"Host: {host}"]
        head = [f"{method} {path} HTTP/1.1", *named, "Connection: close", *lines]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head_bytes, _, body = received.partition(b"\r\n\r\n")
    first, *rest = head_bytes.decode().split("\r\n")
    return Met(int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body.decode())


@dataclass
class Site:
    """A listener whose default pool is ``default``, and a pool ``other`` beside; one member each, of the same name."""

    stack: Stack
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def api(self) -> Installation:
        return self.stack.site

    def logs(self) -> str:
        """What members and amphorae have said last."""
        return "\n".join(f"{one}:\n{one.read_text()[-3000:]}" for one in sorted(self.api.home.rglob("*.log")))

    def url(self, listener: dict[str, Any]) -> str:
        return str(listener["url"])

    def add_pool(self, name: str, **where: Any) -> None:
        host = self.api.create(
            "local_host", name=name, network_id=self.stack.network["id"], command=["python3", "-c", ECHO],
            environment={"NAME": name},
        )  # fmt: skip
        pool = self.api.create("pool", name=name, protocol="HTTP", lb_algorithm="ROUND_ROBIN", **where)
        self.api.create("member", parent=pool["id"], address=host["address"], protocol_port=80)
        self.pools[name] = pool

    def listener(self, port: int, **values: Any) -> dict[str, Any]:
        """A listener that serves ``default``."""
        made = self.api.create(
            "listener", loadbalancer_id=self.stack.load_balancer["id"], protocol="HTTP", protocol_port=port,
            default_pool_id=self.pools["default"]["id"], **values,
        )  # fmt: skip
        assert made["provisioning_status"] == "ACTIVE", made
        return made

    def policy(self, listener: dict[str, Any], action: str = "REDIRECT_TO_POOL", **values: Any) -> dict[str, Any]:
        if action == "REDIRECT_TO_POOL":
            values["redirect_pool_id"] = self.pools["other"]["id"]
        made = self.api.create("l7_policy", listener_id=listener["id"], action=action, **values)
        assert made["provisioning_status"] == "ACTIVE", made
        return made

    def rule(self, policy: dict[str, Any], *facts: str, **more: Any) -> dict[str, Any]:
        made = self.api.create("l7_rule", parent=policy["id"], **rule_of(*facts), **more)
        assert made["provisioning_status"] == "ACTIVE", made
        return made


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    home = Path(tempfile.mkdtemp(prefix="oct-", dir="/tmp"))
    with installation(home) as running:
        found = Site(make_stack(running, members=0, listener={"protocol_port": 99}))
        for name in ("default", "other"):
            found.add_pool(name, loadbalancer_id=found.stack.load_balancer["id"])
        plain = found.listener(80)
        until(lambda: send(found.url(plain)).status == 200, what="the member to answer")
        yield found
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.covers(
    "l7_rule.type=HOST_NAME", "l7_rule.type=PATH", "l7_rule.type=FILE_TYPE", "l7_rule.type=HEADER",
    "l7_rule.type=COOKIE", "l7_rule.type=METHOD", "l7_rule.type=SOURCE_IP", "l7_rule.compare_type=REGEX",
    "l7_rule.compare_type=STARTS_WITH", "l7_rule.compare_type=ENDS_WITH", "l7_rule.compare_type=CONTAINS",
    "l7_rule.compare_type=EQUAL_TO", "l7_rule.key", "l7_rule.value", "l7_rule.invert",
)  # fmt: skip
def test_each_type_and_comparison__a_match_goes_to_the_other_pool__and_invert_turns_it_round(site: Site) -> None:
    """Each case is a policy of its own, told apart by a header."""
    asked = {(facts["type"], facts["compare_type"]) for facts, _, _ in CASES}
    ways = {type_.value: COMPARISONS.get(type_.value, [way.value for way in COMPARE_TYPES]) for type_ in TYPES}
    assert asked == {(type_, way) for type_, found in ways.items() if type_ not in SSL_TYPES for way in found}
    other = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": site.pools["other"]["id"]}
    cases = [(facts, invert, match, miss) for facts, match, miss in CASES for invert in (False, True)]
    listener = site.listener(8001, l7policies=[
        {**other, "rules": [rule_of("HEADER", "EQUAL_TO", str(n), "X-Case"), {**facts, "invert": invert}]}
        for n, (facts, invert, _, _) in enumerate(cases)
    ])  # fmt: skip
    for n, (facts, invert, match, miss) in enumerate(cases):
        expected = ("default", "other") if invert else ("other", "default")
        for request, member in zip((match, miss), expected, strict=True):
            rest = {name: value for name, value in request.items() if name not in ("path", "lines")}
            lines = (f"X-Case: {n}", *request.get("lines", ()))
            met = send(site.url(listener), request.get("path", "/"), *lines, **rest)
            # newer haproxies refuse hosts that cannot be: what matters is that the rule does not match (nor its inverse)
            refused = "," in (request.get("host") or "") and met.status == 400
            assert refused or met.member == member, (facts, invert, request)


@pytest.mark.covers(
    "l7_policy.action=REJECT", "l7_policy.action=REDIRECT_TO_POOL", "l7_policy.action=REDIRECT_TO_URL",
    "l7_policy.action=REDIRECT_PREFIX", "l7_policy.action=CHANGE_HEADERS", "l7_policy.listener_id",
    "l7_policy.position", "l7_policy.redirect_pool_id", "l7_policy.redirect_url", "l7_policy.redirect_prefix",
)  # fmt: skip
def test_the_first_policy_that_matches_wins__whatever_the_actions__in_every_order(site: Site) -> None:
    """Five actions in all orders of three, each order under a path of its own, all in one call."""
    actions: dict[str, dict[str, Any]] = {
        "REJECT": {},
        "REDIRECT_TO_POOL": {"redirect_pool_id": site.pools["other"]["id"]},
        "REDIRECT_TO_URL": {"redirect_url": "http://url.example/a%20b?c=%[src]"},
        "REDIRECT_PREFIX": {"redirect_prefix": "https://prefix.example", "redirect_http_code": 308},
        "CHANGE_HEADERS": {"header_changes": [{"operation": "SET", "name": "X-Changed", "value": "yes"}]},
    }
    orders = list(itertools.permutations(actions, 3))
    policies = [
        {"action": action, **actions[action], "rules": [rule_of("PATH", "EQUAL_TO", f"/{number}")]}
        for number, order in enumerate(orders)
        for action in order
    ]
    listener = site.listener(8002, l7policies=policies)

    def meets(number: int, action: str) -> bool:
        met = send(site.url(listener), f"/{number}")
        location = met.headers.get("location")
        return {
            "REJECT": lambda: met.status == 403,
            "REDIRECT_TO_POOL": lambda: met.member == "other",
            "REDIRECT_TO_URL": lambda: (met.status, location) == (302, "http://url.example/a%20b?c=%[src]"),
            "REDIRECT_PREFIX": lambda: (met.status, location) == (308, f"https://prefix.example/{number}"),
            "CHANGE_HEADERS": lambda: met.member == "default" and ("X-Changed", "yes") in _titled(met.seen),
        }[action]()

    assert [order for number, order in enumerate(orders) if not meets(number, order[0])] == []
    assert send(site.url(listener), "/none").member == "default"


def _titled(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.title(), value) for name, value in headers]


@pytest.mark.covers("l7_rule.l7policy_id", "l7_rule.value")
def test_all_rules_of_a_policy_must_match__fifty_of_the_longest(site: Site) -> None:
    listener = site.listener(8003)
    values = [f'{number:02d}{"x" * 100}{"$" * 50}"{"b" * 50}\\é#{"%" * 49}' for number in range(50)]
    assert {len(value) for value in values} == {255}
    rules = [rule_of("HEADER", "EQUAL_TO", value, f"X-{number}") for number, value in enumerate(values)]
    site.policy(listener, "REJECT", rules=rules)
    lines = [f"X-{number}: {value}" for number, value in enumerate(values)]
    assert send(site.url(listener), "/", *lines).status == 403
    for number in (0, 25, 49):
        assert send(site.url(listener), "/", *lines[:number], *lines[number + 1 :]).member == "default"


@pytest.mark.covers("l7_policy.admin_state_up", "l7_rule.admin_state_up", "l7_policy.position")
def test_what_is_switched_off_decides_nothing__and_positions_can_be_moved(site: Site) -> None:
    listener = site.listener(8004)
    url = site.url(listener)
    pool, reject = site.policy(listener), site.policy(listener, "REJECT")
    rule = site.rule(pool, "PATH", "STARTS_WITH", "/x")
    site.rule(reject, "PATH", "STARTS_WITH", "/")
    assert [send(url, "/x").member, send(url, "/y").member] == ["other", "403"]
    site.api.update("l7_policy", reject["id"], position=1)
    assert send(url, "/x").member == "403"
    assert site.api.get("l7_policy", pool["id"])["position"] == 2
    site.api.update("l7_policy", reject["id"], admin_state_up=False)
    assert [send(url, "/x").member, send(url, "/y").member] == ["other", "default"]
    site.api.update("l7_rule", rule["id"], parent=pool["id"], admin_state_up=False)
    assert send(url, "/x").member == "default"
    site.api.update("l7_rule", rule["id"], parent=pool["id"], admin_state_up=True)
    site.api.update("l7_policy", pool["id"], redirect_url="https://b.example/")
    met = send(url, "/x")
    assert (met.status, met.headers["location"]) == (302, "https://b.example/")
    site.api.delete("l7_policy", pool["id"])
    assert send(url, "/x").member == "default"


@pytest.mark.covers("l7_policy.redirect_http_code", "l7_policy.redirect_prefix")
def test_codes_of_redirects(site: Site) -> None:
    codes = (301, 302, 303, 307, 308)
    listener = site.listener(8010, l7policies=[
        {"action": "REDIRECT_PREFIX", "redirect_prefix": f"https://s.example/%20p%[src]%{code}", "redirect_http_code": code,
         "rules": [rule_of("PATH", "STARTS_WITH", f"/{code}")]} for code in codes
    ])  # fmt: skip
    for code in codes:
        met = send(site.url(listener), f"/{code}%20b?c=d&e=%23")
        assert (met.status, met.headers["location"]) == (
            code,
            f"https://s.example/%20p%[src]%{code}/{code}%20b?c=d&e=%23",
        )


@pytest.mark.covers("l7_policy.redirect_prefix")
def test_a_prefix_that_ends_in_slashes__no_slash_twice(site: Site) -> None:
    prefixes = {
        "a": "https://s.example",
        "b": "https://s.example/",
        "c": "https://s.example/old/",
        "d": "https://[::1]:8//",
    }
    listener = site.listener(8011, l7policies=[
        {"action": "REDIRECT_PREFIX", "redirect_prefix": prefix, "rules": [rule_of("HOST_NAME", "EQUAL_TO", f"{name}.test")]}
        for name, prefix in prefixes.items()
    ])  # fmt: skip
    targets = {"/": "/", "/x/y/": "/x/y/", "/?q=//": "/?q=//", "/x?q=/": "/x?q=/"}
    for name, prefix in prefixes.items():
        for target, behind in targets.items():
            met = send(site.url(listener), target, host=f"{name}.test")
            assert (met.status, met.headers["location"]) == (302, prefix.rstrip("/") + behind)
        met = send(site.url(listener), f"http://{name}.test", host=f"{name}.test")  # a target without a path
        assert met.headers["location"] == prefix.rstrip("/") + "/"


@pytest.mark.covers(
    "l7_policy.header_changes.operation=ADD", "l7_policy.header_changes.operation=SET",
    "l7_policy.header_changes.operation=REMOVE", "l7_policy.header_changes.operation=REWRITE",
    "l7_policy.header_changes.name", "l7_policy.header_changes.value", "l7_policy.header_changes.pattern",
    "l7_policy.header_changes.message=REQUEST", "l7_policy.header_changes.message=RESPONSE",
)  # fmt: skip
def test_headers__as_the_member_and_the_client_see_them(site: Site) -> None:
    changes = [
        {"operation": "ADD", "name": "X-Many", "value": HOSTILE},
        {"operation": "SET", "name": "X-One", "value": "%% 100%"},
        {"operation": "REMOVE", "name": "X-Gone"},
        {"operation": "REWRITE", "name": "X-Path", "pattern": r"^/old/(\w+)(.*)$", "value": r"/new/\1 %[src]\2"},
        {"operation": "REWRITE", "name": "X-Twice", "pattern": "(b)(c)?", "value": r"\\1 \0 \1<\2> \\x41 %%"},
        {"operation": "SET", "name": "X-Literal", "value": r"\1 \x0d\x0aX-Evil: 1 \\"},
        {"operation": "SET", "name": "X-From", "value": "outside", "message": "RESPONSE"},
        {
            "operation": "REWRITE",
            "name": "X-Secret",
            "pattern": r"^(\w+) 10\.",
            "value": r"\1 *",
            "message": "RESPONSE",
        },
    ]
    listener = site.listener(8005)
    policy = site.policy(listener, header_changes=changes)
    site.rule(policy, "PATH", "STARTS_WITH", "/old")
    lines = ("X-Many: first", "X-One: a", "X-One: b", "X-Gone: g", "X-Path: /old/name?q", "X-Twice: abd")
    met = send(site.url(listener), "/old", *lines)
    seen = [(name, value.encode("latin-1").decode()) for name, value in _titled(met.seen) if name.startswith("X-")]
    assert sorted(seen) == sorted([
        ("X-Many", "first"), ("X-Many", HOSTILE), ("X-One", "%% 100%"), ("X-Path", "/new/name %[src]?q"),
        ("X-Twice", r"\1 b b<> \x41 %%"), ("X-Literal", r"\1 \x0d\x0aX-Evil: 1 \\"),
    ])  # fmt: skip
    assert met.member == "other"
    assert (met.headers["x-from"], met.headers["x-secret"]) == ("outside", "inner *")
    untouched = send(site.url(listener), "/", *lines)
    assert ("X-Gone", "g") in _titled(untouched.seen)
    assert (untouched.headers["x-from"], untouched.headers["x-secret"]) == ("default", "inner 10.0.0.1")


def test_as_much_as_may_be_put_in__fits_beside_the_largest_request(site: Site) -> None:
    listener = site.listener(8077, insert_headers={"X-Forwarded-For": "true", "X-Forwarded-Port": "true"})
    changes = [{"operation": "ADD", "name": f"X-{n}", "value": "v" * 1017} for n in range(4)]
    changes += [{**change, "message": "RESPONSE"} for change in changes]
    site.rule(site.policy(listener, "CHANGE_HEADERS", header_changes=changes), "PATH", "STARTS_WITH", "/")
    large = "c" * 15_000
    met = send(site.url(listener), "/", f"X-Large: {large}")
    assert met.status == 200
    assert [len(value) for name, value in met.seen if name.lower().startswith("x-")][:1] == [15_000]
    assert sum(value == "v" * 1017 for _, value in met.seen) == 4
    assert sum(value == "v" * 1017 for value in met.headers.values()) == 4


@pytest.mark.covers("l7_policy.header_changes.message=RESPONSE", "l7_policy.action=REJECT")
def test_headers_of_answers_that_no_member_gives(site: Site) -> None:
    listener = site.listener(8006)
    change = {"operation": "SET", "name": "X-Why", "value": "policy", "message": "RESPONSE"}
    site.rule(site.policy(listener, "REJECT", header_changes=[change]), "PATH", "STARTS_WITH", "/no")
    met = send(site.url(listener), "/no")
    assert (met.status, met.headers["x-why"]) == (403, "policy")


@pytest.mark.covers("listener.rate_limit.requests", "listener.rate_limit.by=SOURCE_IP")
def test_a_client_over_the_limit_gets_429__another_does_not(site: Site) -> None:
    listener = site.listener(8007, rate_limit={"requests": 5, "period_seconds": 3600})
    url = site.url(listener)
    met = [send(url) for _ in range(8)]
    assert [m.status for m in met] == [200] * 5 + [429] * 3
    assert met[-1].headers["retry-after"] == "7200"
    assert send(url, source="127.0.0.2").status == 200
    site.api.update("listener", listener["id"], rate_limit=None)
    assert send(url).status == 200


@pytest.mark.covers("listener.rate_limit.requests", "listener.rate_limit.period_seconds")
def test_a_limit_lets_go_of_a_client_that_goes_on_asking(site: Site) -> None:
    """What was refused does not count: who asks without pause gets the share of each period."""
    listener = site.listener(8008, rate_limit={"requests": 2, "period_seconds": 1})
    url = site.url(listener)
    assert [send(url).status for _ in range(2)] == [200, 200]
    until(lambda: send(url).status == 429, what="the limit to be reached")
    until(lambda: send(url).status == 200, what="the next share")
    refused = until(lambda: (met := send(url)).status == 429 and met, what="the limit to be reached again")
    again = time.monotonic() + int(refused.headers["retry-after"])
    until(lambda: time.monotonic() >= again, what="the moment that Retry-After names")
    assert [send(url).status for _ in range(2)] == [200, 200]


def test_changes_of_policies_under_load__no_request_fails(site: Site) -> None:
    listener = site.listener(8009)
    with Load(site.url(listener)) as load:
        policies = [site.policy(listener) for _ in range(2)]
        for policy in policies:
            site.rule(policy, "PATH", "STARTS_WITH", "/")
            load.more(20)
        site.api.update("l7_policy", policies[1]["id"], position=1)
        site.api.update("l7_policy", policies[0]["id"], action="CHANGE_HEADERS", header_changes=[
            {"operation": "SET", "name": "X-A", "value": "b"},
        ])  # fmt: skip
        load.more(20)
        for policy in policies:
            site.api.delete("l7_policy", policy["id"])
        load.more(20)
    assert load.failures == [], site.logs()
    names = {json.loads(body)["name"] for body in load.answers}
    assert names == {"default", "other"}
