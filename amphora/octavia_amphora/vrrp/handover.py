# SPDX-License-Identifier: Apache-2.0
"""Where packets go that ``nftables.handover`` marks: to another amphora's own address on the VIP's network."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from octavia_amphora.nftables import handover
from octavia_amphora.wire.vrrp import Vrrp

from .addresses import VrrpError, ip

log = logging.getLogger("octavia_amphora.vrrp")

RULE, LOCAL = 10, 50
"""Preferences of rules (ip-rule(8)): before what is for one of our own addresses, which is looked up first of all by default."""
_SYSCTLS = {
    "netfilter/nf_conntrack_tcp_loose": "0",  # a connection that was not seen to begin is another amphora's
    "netfilter/nf_conntrack_tcp_be_liberal": "1",  # and one that was is ours, whatever its packets look like
    # What has ended is not known for minutes: at thousands of connections a second the kernel's table would be full.
    "netfilter/nf_conntrack_tcp_timeout_time_wait": "5",
    "netfilter/nf_conntrack_tcp_timeout_fin_wait": "30",
    "netfilter/nf_conntrack_tcp_timeout_close": "2",
}


async def route(vrrp: Vrrp, router: int, links: Mapping[str, str]) -> None:
    """Routes and rules for all peers, and none for those that there were. ``links``: own address → interface."""
    for version in sorted(handover.families(vrrp)):
        await _route(vrrp, router, links, version)
    await asyncio.to_thread(_set_sysctls, set(links.values()))


async def leave(router: int) -> None:
    """No rule is left."""
    for version in (4, 6):
        gone = [mark for mark in _marks(await _rules(version)) if handover.is_mark(mark, router)]
        await _batch(version, [f"rule del pref {RULE} fwmark {mark:#x}" for mark in gone])


async def _route(vrrp: Vrrp, router: int, links: Mapping[str, str], version: int) -> None:
    rules = await _rules(version)
    there, wanted, lines = _marks(rules), set(), []
    for number, via in enumerate(vrrp.forwards):
        mark = handover.mark(router, number)
        for vip, (peer, own) in via.items():
            if (":" in vip) == (version == 6) and own in links:
                wanted.add(mark)
                lines.append(f"route replace {vip} via {peer} dev {links[own]} table {mark}")
    lines += [f"rule add pref {RULE} fwmark {mark:#x} lookup {mark}" for mark in sorted(wanted - there)]
    gone = {mark for mark in there if handover.is_mark(mark, router)} - wanted
    lines += [f"rule del pref {RULE} fwmark {mark:#x}" for mark in sorted(gone)]
    if any(rule.get("priority") == 0 for rule in rules):
        lines += [f"rule add pref {LOCAL} lookup local", "rule del pref 0"]
    await _batch(version, lines)


async def _rules(version: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(await ip(f"-{version}", "-j", "rule", "show"))
    return found


def _marks(rules: Iterable[Mapping[str, object]]) -> set[int]:
    return {int(str(rule["fwmark"]), 16) for rule in rules if "fwmark" in rule}


async def _batch(version: int, lines: list[str]) -> None:
    if lines:
        await ip(f"-{version}", "-batch", "-", text="\n".join(lines) + "\n")


def _set_sysctls(interfaces: set[str]) -> None:
    # a packet goes on by the interface that it came by: nobody is to be told of a shorter way
    redirects = {f"ipv4/conf/{name}/send_redirects": "0" for name in ("all", *interfaces)}
    for name, value in (*_SYSCTLS.items(), *redirects.items()):
        try:
            Path("/proc/sys/net", name).write_text(value, encoding="ascii")
        except OSError as error:
            raise VrrpError(f"net/{name} cannot be set: {error.strerror}") from error
