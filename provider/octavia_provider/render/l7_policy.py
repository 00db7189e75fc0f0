# SPDX-License-Identifier: Apache-2.0
"""L7 policies of a listener: which are asked, in which order, and what their rules are compared with."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from octavia_provider.model.graph import Graph
from octavia_provider.model.l7_policy import L7Policy
from octavia_provider.model.l7_rule import L7Rule
from octavia_provider.model.listener import Listener

from .section import Section

Deciding = list[tuple[L7Policy, list[L7Rule]]]


@dataclass(frozen=True, slots=True)
class Network:
    """The network's part of a client's address: ``mask`` as the arguments of ``ipmask``, ``network`` as haproxy writes it."""

    mask: str
    network: str


def policies(graph: Graph, listener: Listener) -> Deciding:
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


def write(section: Section, deciding: Deciding, backends: Mapping[str, str]) -> None:
    """Find the first policy that matches, do what it says, and at last choose the backend. ``backends``: by pool."""
    if not deciding:
        return
    section.write(deciding[0][0].id, "l7_policy", "begin")
    for policy, rules in deciding:
        section.write_each("l7_rule", "acl", rules, compared)
        section.write(policy.id, "l7_policy", "decide", policy, rules)
    for policy, _ in deciding:
        section.write(policy.id, "l7_policy", "act", policy)
    for policy, _ in deciding:
        if policy.action == "REDIRECT_TO_POOL" and policy.redirect_pool_id:
            section.write(policy.id, "l7_policy", "use_backend", policy, backends[policy.redirect_pool_id])


def compared(rule: L7Rule) -> str | Network:
    """What the request is compared with."""
    special = _VALUES.get(rule.type)
    return special(rule) if special else rule.value


def _host(rule: L7Rule) -> str:
    """As that of the request, which is without the root's dot: with it, it is the same host."""
    return (rule.value.rstrip(".") or rule.value) if rule.compare_type in ("EQUAL_TO", "ENDS_WITH") else rule.value


def _extension(rule: L7Rule) -> str:
    return rule.value.removeprefix(".") if rule.compare_type == "EQUAL_TO" else rule.value


def _network(rule: L7Rule) -> Network:
    """An IPv6 network could hold ``::ffff:0:0/96`` (::/0 does), and so all clients of IPv4; one of IPv4 those of 2002::/16."""
    network = ipaddress.ip_network(rule.value, strict=False)
    address, mask = str(network.network_address), str(network.prefixlen)
    if network.version == 6:
        mask = f"32,{mask}"
        number = int(network.network_address)
        if 0xFFFF < number < 1 << 32:  # inet_ntop, with which haproxy writes addresses, writes ::102:304 as ::1.2.3.4
            address = f"::{ipaddress.IPv4Address(number)}"
    return Network(mask, address)


_VALUES: Mapping[str, Callable[[L7Rule], str | Network]] = {
    "HOST_NAME": _host, "FILE_TYPE": _extension, "SOURCE_IP": _network,
}  # fmt: skip
