# SPDX-License-Identifier: Apache-2.0
"""L7 policies and rate limits → lines of a frontend.

Each policy is asked in the order of its position, and none once one has decided: haproxy evaluates ``use_backend``
after all ``http-request`` rules and ends at a ``deny``, so the decision is written into a variable first, and what
follows from it is carried out afterwards. A rule is an ACL of its own lines; several subjects of one rule are several
lines of one ACL, of which one must match. So no line grows with the number of rules beyond haproxy's 64 words.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from octavia_provider.model.graph import Graph
from octavia_provider.model.l7_policy import DEFAULT_CODE, HeaderChange, L7Policy
from octavia_provider.model.l7_rule import L7Rule
from octavia_provider.model.listener import Listener, RateLimit

from . import cookies
from .lines import Lines, quote

VARIABLE = "txn.l7policy"
DECIDED = "l7-decided"  # ids are UUIDs: none is this
_EXTENSION = "field(-1,/),regsub(^[^.]*$,),field(-1,.)"
_FLAGS: Mapping[str, str] = {
    "REGEX": "-m reg", "STARTS_WITH": "-m beg", "ENDS_WITH": "-m end", "CONTAINS": "-m sub", "EQUAL_TO": "-m str",
}  # fmt: skip
HOST = "txn.l7host"
# A target in absolute form names the host, and an empty path in it is "/" (RFC 9112, sections 3.2.2 and 3.3); where there
# is a Host header too, haproxy has held them to be the same.
_TARGETS = (
    ("http-request replace-uri", quote(r"(?i)^(https?://[^/?]*)(\?.*)?$"), quote(r"\1/\2")),
    (f"http-request set-var({HOST}) req.fhdr(host)",),
    (
        f"http-request set-var({HOST}) url,field(3,/),field(-1,@)",
        "if { url_beg -i -- http:// https:// } !{ req.fhdr(host) -m found }",
    ),
)
_HEADER_WORDS = {"ADD": "add-header", "SET": "set-header", "REMOVE": "del-header", "REWRITE": "replace-header"}
# What of the request is compared, as words of a line: one of them must match.
_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(map(quote, subjects))
    for kind, subjects in {
        "HOST_NAME": (f"var({HOST})", f"var({HOST}),host_only,rtrim(.)"),
        "PATH": ("path", "path,url_dec"),
        "FILE_TYPE": (f"path,{_EXTENSION}", f"path,url_dec,{_EXTENSION}"),
        "METHOD": ("method",),
        "SSL_VERIFY_RESULT": ("ssl_c_verify",),
    }.items()
}
# The same of those that have a key. A name is quoted for the argument list, then as a word (section 2.2).
_KEYED_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "HEADER": ('req.hdr("{key}")', 'req.fhdr("{key}")'),
    "SSL_DN_FIELD": ("ssl_c_s_dn({key})",),
}


def rate_limit(lines: Lines, listener: Listener) -> None:
    """Count what is let through; answer the rest. A client that goes on asking gets its share all the same.

    haproxy estimates a sliding period from the counts of the current and of the last one (section 7.3.3,
    ``sc0_gpc0_rate``), as if the last one's had been spread evenly: only after two is nothing left of a burst.
    """
    limit: RateLimit | None = listener.rate_limit
    if limit is None:
        return
    me, period = listener.id, limit.period_seconds
    lines.add(me, f"stick-table type ipv6 size 100k expire {2 * period}s store gpc0_rate({period}s)")
    lines.add(me, "http-request track-sc0 src")
    condition = f"{{ sc0_gpc0_rate ge {limit.requests} }}"
    lines.add(me, f"http-request deny deny_status 429 hdr Retry-After {2 * period} if {condition}")
    lines.add(me, "http-request sc-inc-gpc0(0)")


def policies(graph: Graph, listener: Listener) -> list[tuple[L7Policy, list[L7Rule]]]:
    """The policies of a listener that can decide, in their order, with the rules in service.

    Left out, as in Octavia: what is switched off, a policy without rules, one whose pool is switched off.
    """
    found = []
    for policy in graph.policies_of(listener.id):
        rules = [rule for rule in graph.l7_rules.get(policy.id, {}).values() if rule.admin_state_up]
        pool = graph.pools.get(policy.redirect_pool_id or "")
        aimless = policy.action == "REDIRECT_TO_POOL" and not (pool and pool.admin_state_up)
        if policy.admin_state_up and rules and not aimless:
            found.append((policy, rules))
    return found


def decide(lines: Lines, deciding: list[tuple[L7Policy, list[L7Rule]]]) -> None:
    """The lines that find the first policy that matches, and do what it says; backends come last (``use_backends``)."""
    if not deciding:
        return
    first = deciding[0][0].id
    for line in _TARGETS:
        lines.add(first, *line)
    lines.add(first, f"acl {DECIDED} var({VARIABLE}) -m found")
    for policy, rules in deciding:
        for rule in rules:
            _acl(lines, rule)
        words = (f"!{rule.id}" if rule.invert else rule.id for rule in rules)
        lines.add(policy.id, f"http-request set-var({VARIABLE}) str({policy.id}) if !{DECIDED}", *words)
    for policy, _ in deciding:
        lines.add(policy.id, f"acl {policy.id} var({VARIABLE}) -m str {policy.id}")
        _act(lines, policy)


def use_backends(lines: Lines, deciding: list[tuple[L7Policy, list[L7Rule]]], backends: Mapping[str, str]) -> None:
    """Where the policies send requests; ``backends``: pool → backend."""
    for policy, _ in deciding:
        if policy.action == "REDIRECT_TO_POOL" and policy.redirect_pool_id:
            lines.add(policy.id, f"use_backend {backends[policy.redirect_pool_id]} if {policy.id}")


def _act(lines: Lines, policy: L7Policy) -> None:
    me = policy.id
    for change in policy.header_changes:
        _change(lines, me, change)
    code = policy.redirect_http_code or DEFAULT_CODE
    match policy.action:
        case "REJECT":
            lines.add(me, f"http-request deny deny_status 403 if {me}")
        case "REDIRECT_TO_URL":
            lines.add(me, "http-request redirect location", _format(policy.redirect_url or ""), f"code {code} if {me}")
        case "REDIRECT_PREFIX":
            prefix = (policy.redirect_prefix or "").rstrip("/")  # the path that follows begins with one
            lines.add(me, "http-request redirect prefix", _format(prefix), f"code {code} if {me}")


def _change(lines: Lines, me: str, change: HeaderChange) -> None:
    # http-after-response sees haproxy's own answers too; http-response does not
    words = ["http-request" if change.message == "REQUEST" else "http-after-response", _HEADER_WORDS[change.operation]]
    words.append(quote(change.name))
    if change.pattern is not None:
        words.append(quote(change.pattern))
    if change.value is not None:
        words.append(_format(change.value))
    lines.add(me, *words, f"if {me}")


def _format(value: str) -> str:
    """A word that haproxy reads as a log format: what begins with % would be evaluated."""
    return quote(value.replace("%", "%%"))


def _acl(lines: Lines, rule: L7Rule) -> None:
    me, value, flags = rule.id, rule.value, f" {_FLAGS[rule.compare_type]}"
    match rule.type:
        case "HOST_NAME":
            flags = f" -i{flags}"
            if rule.compare_type in ("EQUAL_TO", "ENDS_WITH"):
                value = value.rstrip(".") or value  # as that of the request: with the root's dot it is the same host
        case "FILE_TYPE" if rule.compare_type == "EQUAL_TO":
            value = value.removeprefix(".")
        case "SOURCE_IP":
            lines.add(me, f"acl {me} {_source(rule.value)}")
            return
        case "SSL_VERIFY_RESULT":
            flags = ""
        case "COOKIE":
            subject, pattern = cookies.comparison(rule)
            lines.add(me, f"acl {me} {subject} -m reg -- {pattern}")
            return
        case "SSL_CONN_HAS_CERT":
            lines.add(me, f"acl {me} ssl_c_used")
            return
    value = quote(value)
    for subject in _SUBJECTS.get(rule.type) or _keyed_subjects(rule):
        # after -- nothing is taken for a flag, whatever it begins with
        lines.add(me, f"acl {me} {subject}{flags} -- {value}")


def _source(cidr: str) -> str:
    """The network's part of the client's address, as text: haproxy would compare IPv4 with IPv6 by mapping one to the other.

    An IPv6 network could hold ``::ffff:0:0/96`` (::/0 does), and so all clients of IPv4; one of IPv4 those of 2002::/16.
    """
    network = ipaddress.ip_network(cidr, strict=False)
    address, mask = str(network.network_address), str(network.prefixlen)
    if network.version == 6:
        mask = f"32,{mask}"
        number = int(network.network_address)
        if 0xFFFF < number < 1 << 32:  # inet_ntop, with which haproxy writes addresses, writes ::102:304 as ::1.2.3.4
            address = f"::{ipaddress.IPv4Address(number)}"
    return f"src,ipmask({mask}) -m str -- {address}"


def _keyed_subjects(rule: L7Rule) -> tuple[str, ...]:
    return tuple(quote(subject.replace("{key}", rule.key or "")) for subject in _KEYED_SUBJECTS[rule.type])
