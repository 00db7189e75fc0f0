# SPDX-License-Identifier: Apache-2.0
"""Rules by which TCP connections survive a handover: what the new owner of a VIP does not know goes on to the one before.

A packet of a connection that this amphora has not seen begin (``ct state invalid``; the kernel may not pick up connections in
their midst, ``nf_conntrack_tcp_loose``) belongs to the owner before, which has the VIP on its loopback still, and answers the
client itself. So goes GitHub's GLB Director ("second chance").

Only an owner that goes on saying so until its successor does is alive to be handed anything: each advert of another amphora is
remembered for two intervals. A priority of 0 says that it gives up, and silence has lasted for three intervals when another
one takes over. One that is remembered when this amphora sends its own first advert (a handover), or later, is remembered for
``LASTS_SECONDS`` after that, and after each packet that went to it. That is the kernel's work, so that it does not matter how late
the agent comes to know of a handover.

No packet is passed on twice: it arrives with a TTL of 1.

Load balancers that share an amphora have a table each, whose rules see the packets of all. What is not to be tracked is known of all of
them together, so that is in a table of its own (``TRACKING``), where each has its VIPs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from octavia_amphora.wire.vrrp import Vrrp

LASTS_SECONDS = 300
_BASE, _MASK = 0x0C7A0000, 0xFFFF0000
_UNKNOWN, _OWNER = "0x1", "0x2"
"""Marks within the rules, and what they stand for in a ``memory``: that the peer is alive; that this amphora is the owner."""
TRACKING = "octavia_tracking"
ADVERTS = "adverts"
"""The chain of adverts that go out."""
_CHAINS = {
    "untracked_in": ("daddr", "type filter hook prerouting priority raw; policy accept;"),
    "untracked_out": ("saddr", "type filter hook output priority raw; policy accept;"),
}
"""TCP that has nothing to do with VIPs (to members) needs no tracking, which takes time and room."""
OURS = f"meta mark & 0x{_MASK:08x} == 0x{_BASE:08x}"


def mark(router: int, number: int) -> int:
    """Of packets that go to the peer with this number (from 0). ``router``: of this amphora's alone (``vrrp.router``)."""
    return _BASE | router << 8 | number + 1


def is_mark(value: int, router: int) -> bool:
    """Whether packets of this router are marked so."""
    return value >> 8 == (_BASE | router << 8) >> 8


def tracked(vrrp: Vrrp) -> frozenset[str]:
    """The VIPs whose connections are handed over."""
    return frozenset(vip for _, via in _forwarding(vrrp) for vip in via)


def track(vips: Iterable[str]) -> str:
    """For ``nft -f``: connections to these VIPs are tracked; others that are stay so."""
    lines = [f"add table inet {TRACKING}"]
    lines += [f"add set inet {TRACKING} vips{n} {{ type ipv{n}_addr; }}" for n in (4, 6)]
    for chain, (end, spec) in _CHAINS.items():
        lines += [f"add chain inet {TRACKING} {chain} {{ {spec} }}", f"flush chain inet {TRACKING} {chain}"]
        for version, ip in ((4, "ip"), (6, "ip6")):
            others = f"meta nfproto ipv{version} meta l4proto tcp {ip} {end} != @vips{version}"
            lines.append(f"add rule inet {TRACKING} {chain} {others} notrack")
    return "\n".join([*lines, *_elements("add", vips)]) + "\n"


def untrack(vips: Iterable[str], *, last: bool) -> str:
    """The same for VIPs that are tracked no longer. ``last``: no other ones are."""
    if last:
        return f"add table inet {TRACKING}\ndelete table inet {TRACKING}\n"
    gone = list(vips)
    return track(gone) + "\n".join(_elements("delete", gone)) + "\n"


def _elements(do: str, vips: Iterable[str]) -> list[str]:
    return [f"{do} element inet {TRACKING} vips{6 if ':' in one else 4} {{ {one} }}" for one in sorted(vips)]


def memory(peer: str) -> str:
    """The name of the set that has ``_UNKNOWN`` while this peer is to be handed packets, and ``_OWNER`` while we send it adverts."""
    return f"owner_{peer.replace('.', '_').replace(':', '_')}"


def objects(vrrp: Vrrp) -> Iterator[tuple[str, str]]:
    """What has a memory, and the chain of adverts that go out."""
    if _forwarding(vrrp):
        yield f"chain {ADVERTS}", " { type filter hook output priority mangle; policy accept; }"
    for peer, _ in _forwarding(vrrp):
        yield f"set {memory(peer)}", " { typeof meta mark; flags dynamic,timeout; size 4; }"


def families(vrrp: Vrrp) -> frozenset[int]:
    """IP versions of packets that are passed on."""
    return frozenset(6 if ":" in vip else 4 for _, via in _forwarding(vrrp) for vip in via)


def rules(vrrp: Vrrp, router: int) -> Iterator[tuple[str, str]]:
    """Chain and rule, in order."""
    vips = tracked(vrrp)
    if not vips:
        return
    remembered = max(1, round(vrrp.advert_interval * 2000))
    for peer, _ in _forwarding(vrrp):
        advert = f"{'ip6' if ':' in peer else 'ip'} saddr {peer} meta l4proto 112 @th,8,8 {vrrp.router_id}"
        sent = f"{'ip6' if ':' in peer else 'ip'} daddr {peer} meta l4proto 112 @th,8,8 {vrrp.router_id}"
        known = f"@{memory(peer)}"
        shortly, long = (
            f"update {known} {{ meta mark timeout {time} }}" for time in (f"{remembered}ms", f"{LASTS_SECONDS}s")
        )
        yield "filter", f"{advert} @th,16,8 != 0 meta mark set {_UNKNOWN} {shortly}"
        yield (
            "filter",
            f"{advert} @th,16,8 != 0 meta mark set {_OWNER} meta mark {known} meta mark set {_UNKNOWN} {long}",
        )
        yield "filter", f"{advert} @th,16,8 0 meta mark set {_UNKNOWN} delete {known} {{ meta mark }}"
        first = f"meta mark set {_OWNER} meta mark != {known} meta mark set {_UNKNOWN} meta mark {known} {long}"
        yield ADVERTS, f"{sent} @th,16,8 != 0 {first}"
        yield ADVERTS, f"{sent} @th,16,8 != 0 meta mark set {_OWNER} {shortly}"
    for chain in ("filter", ADVERTS):
        yield chain, f"meta l4proto 112 meta mark {{ {_UNKNOWN}, {_OWNER} }} meta mark set 0"
    for vip in sorted(vips):
        hops, ip = ("ip6 hoplimit", "ip6") if ":" in vip else ("ip ttl", "ip")
        yield "filter", f"{ip} daddr {vip} meta l4proto tcp {hops} > 1 ct state invalid meta mark set {_UNKNOWN}"
    for number, (peer, _) in enumerate(_forwarding(vrrp)):
        known = f"meta mark {_UNKNOWN} meta mark @{memory(peer)} update @{memory(peer)} {{ meta mark timeout {LASTS_SECONDS}s }}"
        yield "filter", f"{known} meta mark set 0x{mark(router, number):08x}"
    yield "filter", f"{OURS} ip ttl set 2"
    yield "filter", f"{OURS} ip6 hoplimit set 2"
    yield "filter", f"meta mark {_UNKNOWN} meta mark set 0"


def _forwarding(vrrp: Vrrp) -> list[tuple[str, dict[str, tuple[str, str]]]]:
    return list(zip(vrrp.peers, vrrp.forwards, strict=False))
