# SPDX-License-Identifier: Apache-2.0
"""What L7 policies and rules mean: lines of the ``frontend`` of their listener."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

from octavia_provider.model.graph import Graph
from octavia_provider.model.l7_policy import L7Policy
from octavia_provider.model.l7_rule import L7Rule
from octavia_provider.model.listener import Listener

from .tables import Facts, Meant, Table, always, as_format, filled, flat

_DECIDES = "http-request set-var(txn.l7policy) str({id}) if !l7-decided"
ANY = Table("L7 policies", {
    r"http-request replace-uri (?i)^(https?://[^/?]*)(\?.*)?$ \1/\2": always,
    "http-request set-var(txn.l7host) req.fhdr(host)": always,
    "http-request set-var(txn.l7host) url,field(3,/),field(-1,@) "
    "if { url_beg -i -- http:// https:// } !{ req.fhdr(host) -m found }": always,
    "acl l7-decided var(txn.l7policy) -m found": always,
})  # fmt: skip
POLICY = Table("L7 policy", {
    "acl {id} var(txn.l7policy) -m str {id}": always,
    "http-request deny deny_status 403 if {id}": lambda policy: policy.action == "REJECT",
    "http-request redirect location {redirect_url} code {code} if {id}": lambda policy: policy.action == "REDIRECT_TO_URL",
    "http-request redirect prefix {redirect_prefix} code {code} if {id}": lambda policy: policy.action == "REDIRECT_PREFIX",
    "use_backend {redirect_pool_id}:{listener_id} if {id}": lambda policy: policy.action == "REDIRECT_TO_POOL",
})  # fmt: skip
_MESSAGES: Mapping[str, str] = {"REQUEST": "http-request", "RESPONSE": "http-after-response"}
_OPERATIONS: Mapping[str, str] = {
    "ADD": "add-header {name} {value} if {policy}", "SET": "set-header {name} {value} if {policy}",
    "REMOVE": "del-header {name} if {policy}", "REWRITE": "replace-header {name} {pattern} {value} if {policy}",
}  # fmt: skip


def _changes(message: str, operation: str) -> Callable[[object], bool]:
    return lambda change: (change.message, change.operation) == (message, operation)  # type: ignore[attr-defined]


CHANGE = Table("header change", {
    f"{words} {directive}": _changes(message, operation)
    for message, words in _MESSAGES.items() for operation, directive in _OPERATIONS.items()
})  # fmt: skip


def _compares(sort: str) -> Callable[[L7Rule], bool]:
    return lambda rule: rule.type == sort


_EXTENSION = "field(-1,/),regsub(^[^.]*$,),field(-1,.)"
_SUBJECTS: Sequence[tuple[str, str]] = (
    ("HOST_NAME", "var(txn.l7host) -i -m {how}"), ("HOST_NAME", "var(txn.l7host),host_only,rtrim(.) -i -m {how}"),
    ("PATH", "path -m {how}"), ("PATH", "path,url_dec -m {how}"),
    ("FILE_TYPE", f"path,{_EXTENSION} -m {{how}}"), ("FILE_TYPE", f"path,url_dec,{_EXTENSION} -m {{how}}"),
    ("HEADER", 'req.hdr("{key}") -m {how}'), ("HEADER", 'req.fhdr("{key}") -m {how}'),
    ("METHOD", "method -m {how}"), ("SSL_VERIFY_RESULT", "ssl_c_verify"),
    ("SSL_DN_FIELD", "ssl_c_s_dn({key}) -m {how}"),
)  # fmt: skip
_CUT = r'req.fhdr(cookie),concat(;),regsub("^(?:.*?;)??\\s*+\\Q{key}\\E\\s*+=\\s*+([^;\\s]*+(?:\\s++[^;\\s]++)*+).*$","\\1")'
_COOKIES: Mapping[str, tuple[str, str]] = {
    "EQUAL_TO": ("", r"\s*+(?:;|$)"), "STARTS_WITH": ("", ""), "ENDS_WITH": ("[^;]*", r"\s*+(?:;|$)"), "CONTAINS": ("[^;]*", ""),
}  # fmt: skip
RULE = Table("L7 rule", {
    **{f"acl {{id}} {subject} -- {{value}}": _compares(sort) for sort, subject in _SUBJECTS},
    "acl {id} src,ipmask({masks}) -m str -- {network}": _compares("SOURCE_IP"),
    "acl {id} ssl_c_used": _compares("SSL_CONN_HAS_CERT"),
    "acl {id} req.fhdr(cookie) -m reg -- {cookie}": lambda rule: rule.type == "COOKIE" and rule.compare_type != "REGEX",
    f"acl {{id}} {_CUT} -m reg -- {{cut}}": lambda rule: rule.type == "COOKIE" and rule.compare_type == "REGEX",
})  # fmt: skip
_HOW = {"REGEX": "reg", "STARTS_WITH": "beg", "ENDS_WITH": "end", "CONTAINS": "sub", "EQUAL_TO": "str"}
DECIDES = f"L7 policy: {_DECIDES} …"
PREPARED, DECIDED, CARRIED_OUT, CHANGES = 10, 1_000, 1_000_000, 1_000
"""Ranks: the request is made ready, then policies are asked in the order of their positions, then the one that decided is carried out;
its changes of headers in their order, and what ends the request last."""
NAMES = ANY.names | POLICY.names | CHANGE.names | RULE.names | {DECIDES}


def deciding(graph: Graph, listener: Listener) -> list[tuple[L7Policy, list[L7Rule]]]:
    """The policies that can match, in their order, with the rules that are asked."""
    found = []
    for policy in graph.policies_of(listener.id):
        rules = [rule for rule in graph.l7_rules.get(policy.id, {}).values() if rule.admin_state_up]
        off = policy.action == "REDIRECT_TO_POOL" and not graph.pools[str(policy.redirect_pool_id)].admin_state_up
        if policy.admin_state_up and rules and not off:
            found.append((policy, rules))
    return found


def meant(graph: Graph, listener: Listener) -> Iterator[Meant]:
    """What all policies of a listener mean."""
    policies = deciding(graph, listener)
    if policies:
        yield from ANY.means(listener, {}, PREPARED)
    for number, (policy, rules) in enumerate(policies):
        conditions = tuple(f"!{rule.id}" if rule.invert else rule.id for rule in rules)
        yield Meant(DECIDES, (*filled(_DECIDES, {"id": policy.id}), *conditions), DECIDED + number)
        first = CARRIED_OUT + number * CHANGES
        yield from POLICY.means(policy, _policy_facts(policy), first + CHANGES - 1)
        for place, change in enumerate(policy.header_changes):
            facts = {**flat(change), "value": as_format(change.value or ""), "policy": policy.id}
            yield from CHANGE.means(change, facts, first + place)
        for rule in rules:
            yield from RULE.means(rule, _rule_facts(rule))


def _policy_facts(policy: L7Policy) -> Facts:
    made = {
        "redirect_url": as_format(policy.redirect_url or ""),
        "redirect_prefix": re.sub("/+$", "", as_format(policy.redirect_prefix or "")),
    }
    return {**flat(policy), **made, "code": str(policy.redirect_http_code or 302)}


def _rule_facts(rule: L7Rule) -> Facts:
    value = rule.value
    if rule.type == "FILE_TYPE" and rule.compare_type == "EQUAL_TO" and value.startswith("."):
        value = value[1:]
    if rule.type == "HOST_NAME" and rule.compare_type in ("EQUAL_TO", "ENDS_WITH") and value.strip("."):
        value = value.rstrip(".")
    if rule.type == "SOURCE_IP":
        network = ipaddress.ip_network(value, strict=False)
        masks = f"{'32,' if network.version == 6 else ''}{network.prefixlen}"
        family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
        written = socket.inet_ntop(family, network.network_address.packed)  # by this haproxy writes addresses
        return {**flat(rule), "masks": masks, "network": written}
    before, behind = _COOKIES.get(rule.compare_type, ("", ""))
    literal = value.replace(r"\E", r"\E\\E\Q")
    cookie = rf"(?:^|;)\s*+\Q{rule.key}\E\s*+=\s*+{before}\Q{literal}\E{behind}"
    cut = rf"^(?![^;]*;)[\s\S]*?(?:{value})"
    return {**flat(rule), "how": _HOW[rule.compare_type], "value": value, "cookie": cookie, "cut": cut}
