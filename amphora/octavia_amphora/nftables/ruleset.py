# SPDX-License-Identifier: Apache-2.0
"""A configuration, and which servers are down → the rules of nftables. Pure.

A UDP flow (a client's address and port) is given a server at its first packet (``dnat``); from there on connection
tracking keeps it there, whatever becomes of the rules. So rules can be replaced under traffic, while what has a memory (counters,
the maps of persistence, the sets of limits) is only added or deleted, by names that say all that it is made with. Flows whose
server has gone are cut separately (``Ruleset.flows`` tells which may stay). Members see the amphora's address (``masquerade``):
so answers come back. How one set of rules follows another: ``transactions``.

nft(8): sections SETS, MAPS, NAT STATEMENTS, COUNTER, CONNLIMIT; dnat of an inet table names the family.
"""

from __future__ import annotations

import hashlib
import ipaddress
import zlib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from octavia_amphora.wire.config import Backend, Bind, Configuration, Datagrams, Frontend, Server
from octavia_amphora.wire.vrrp import Vrrp

from . import handover, server_selection

# Clients that persistence remembers for one listener; the kernel forgets none before its time and takes no more.
STICKY_SIZE = 65_536
_CHAINS = {
    "filter": "type filter hook prerouting priority mangle; policy accept;",
    "nat": "type nat hook prerouting priority dstnat; policy accept;",
    "forward": "type filter hook forward priority filter; policy accept;",
    "post": "type nat hook postrouting priority srcnat; policy accept;",
}
HOOKED = (*_CHAINS, handover.ADVERTS)
"""All chains that the kernel sends packets to; what else there is, they lead to."""
# An amphora is no router. Packets of its other load balancers come by here, too.
_FORWARDED = (f"{handover.OURS} accept", "ct status dnat accept", "ct state related accept", "drop")


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a flow comes in, and the server that it may go to."""

    address: str
    port: int
    server: str
    server_port: int


@dataclass(frozen=True, slots=True)
class Ruleset:
    """``rules``: all that is made beforehand; ``switch``: what leads to the chains ``jumps``. ``objects``: all that is in the table, as
    ``nft delete`` names it. ``endpoints``: address, port. ``forwards``: IP versions that are passed on to another amphora.
    ``tracked``: VIPs whose connections are."""

    table: str
    rules: str = ""
    switch: str = ""
    jumps: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    flows: frozenset[Flow] = frozenset()
    endpoints: frozenset[tuple[str, int]] = frozenset()
    forwards: frozenset[int] = frozenset()
    tracked: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """All of it, for ``nft -f``."""
        return self.rules + self.switch

    @property
    def families(self) -> frozenset[int]:
        """IP versions that UDP comes in by."""
        return frozenset(_version(address) for address, _ in self.endpoints)

    @property
    def forwarded(self) -> frozenset[int]:
        """IP versions of packets that do not end here."""
        return self.families | self.forwards


def _split_object(text: str) -> tuple[str, str, str]:
    return text.partition(" ")


def table_name(load_balancer_id: str) -> str:
    """One table a load balancer."""
    return f"lb_{load_balancer_id.replace('-', '')}"


def counter(direction: str, listener: str) -> str:
    """The counter of a listener: ``in`` and ``out`` count packets and bytes, ``new`` flows."""
    return f"{direction}_{listener.replace('-', '')}"


def ruleset(
    configuration: Configuration, down: AbstractSet[tuple[str, str]] = frozenset(), *, router: int | None = None
) -> Ruleset:
    """The rules of a load balancer whose servers in ``down`` (backend, server) get nothing. ``router``: see ``handover.mark``."""
    table = table_name(configuration.load_balancer_id)
    parts = [_Listener(f, configuration.backends.get(f.datagrams.backend) if f.datagrams else None, down)
             for f in configuration.frontends.values() if f.datagrams or f.allowed]  # fmt: skip
    if not parts and configuration.vrrp is None:
        return Ruleset(table)
    lines = [f"add table inet {table}"]
    objects = {name: spec for part in parts for name, spec in part.objects()}
    objects.update(handover.objects(configuration.vrrp) if configuration.vrrp else ())
    lines += [
        f"add {kind} inet {table} {name}{objects[f'{kind} {name}']}" for kind, _, name in map(_split_object, objects)
    ]
    lines += [f"add chain inet {table} {chain} {{ {spec} }}" for chain, spec in _CHAINS.items()]
    hooked = [*_CHAINS, *(name for kind, _, name in map(_split_object, objects) if kind == "chain")]
    rules = [rule for part in parts for rule in part.rules()]
    if vrrp := configuration.vrrp:
        rules += [*vrrp_rules(vrrp), *handover.rules(vrrp, vrrp.router_id if router is None else router)]
    if vrrp or any(part.datagrams for part in parts):
        rules += [("forward", rule) for rule in _FORWARDED]
    rules += dict.fromkeys(("post", rule) for part in parts for rule in part.source_rules())
    chains = _chains(rules, lines)
    for chain in chains.values():
        lines += [f"add chain inet {table} {chain}", f"flush chain inet {table} {chain}"]
    lines += [f"add rule inet {table} {chains[chain]} {rule}" for chain, rule in rules]
    switch = [f"flush chain inet {table} {chain}" for chain in hooked]
    switch += [f"add rule inet {table} {chain} jump {to}" for chain, to in chains.items()]
    return Ruleset(
        table=table,
        rules="\n".join(lines) + "\n",
        switch="\n".join(switch) + "\n",
        jumps=frozenset(chains.values()),
        objects=frozenset([*objects, *(f"chain {chain}" for chain in (*_CHAINS, *chains.values()))]),
        flows=frozenset(flow for part in parts for flow in part.flows()),
        endpoints=frozenset((b.address, b.port) for part in parts if part.datagrams for b in part.frontend.binds),
        forwards=handover.families(vrrp) if vrrp else frozenset(),
        tracked=handover.tracked(vrrp) if vrrp else frozenset(),
    )


def _chains(rules: Sequence[tuple[str, str]], declared: Sequence[str]) -> dict[str, str]:
    """The chain that has the rules, for each with a hook. Its name says all that there is, so that others never come in it."""
    digest = hashlib.sha256("\n".join([*declared, *map(" ".join, rules)]).encode()).hexdigest()[:12]
    return {chain: f"{chain}_{digest}" for chain, _ in rules}


def vrrp_rules(vrrp: Vrrp) -> Iterator[tuple[str, str]]:
    """Adverts of our router come from the other amphorae alone, and so does what is for our side of stick tables, but for what a
    worker of haproxy that is replaced tells the next one.

    What comes to other addresses is other load balancers' to judge, which may have a router of the same number (the second byte of
    an advert, RFC 9568, section 5.2.3). keepalived hears what comes to an own address alone, or to all where it knows no peer.
    """
    own = sorted({*vrrp.interfaces.values(), *(ours for via in vrrp.forwards for _, ours in via.values())})
    for version, ip, everyone in ((4, "ip", "224.0.0.18"), (6, "ip6", "ff02::12")):
        peers = ", ".join(peer for peer in vrrp.peers if _version(peer) == version)
        others = f" {ip} saddr != {{ {peers} }}" if peers else ""
        mine = [address for address in own if _version(address) == version]
        heard = f"{ip} daddr {{ {', '.join([*mine, everyone])} }}"
        yield "filter", f"{heard} meta l4proto 112 @th,8,8 {vrrp.router_id}{others} drop"
        if mine:
            yield "filter", f'iifname != "lo" {ip} daddr {{ {", ".join(mine)} }} tcp dport {vrrp.port}{others} drop'


class _Listener:
    """The rules of one listener."""

    def __init__(self, frontend: Frontend, backend: Backend | None, down: AbstractSet[tuple[str, str]]) -> None:
        self.frontend = frontend
        self.datagrams = frontend.datagrams
        self._id = frontend.name.replace("-", "")
        servers = backend.servers.values() if backend else ()
        self._up_servers = [s for s in servers if s.admin == "ready" and backend and (backend.name, s.name) not in down]

    def flows(self) -> Iterator[Flow]:
        """What may go on: drained servers keep what they have."""
        if self.datagrams:
            for bind in self.frontend.binds:
                for server in self._up_servers:
                    if _version(server.address) == _version(bind.address):
                        yield Flow(bind.address, bind.port, server.address, server.port)

    def objects(self) -> Iterator[tuple[str, str]]:
        """``counter in_…`` → how it is declared."""
        if not (datagrams := self.datagrams):
            return
        for direction in ("in", "out", "new"):
            yield f"counter {counter(direction, self._id)}", ""
        if datagrams.limit > 0:  # of none at all nothing has to be counted
            yield f"set {self._limit(datagrams)}", " { type inet_service; flags dynamic; size 16; }"
        if datagrams.persistence:
            for version in sorted({_version(bind.address) for bind in self.frontend.binds}):
                kind = "ipv4_addr" if version == 4 else "ipv6_addr"
                spec = (
                    f"type {kind} : mark; flags dynamic,timeout; timeout {datagrams.persistence}s; size {STICKY_SIZE};"
                )
                yield f"map {self._sticky(datagrams, version)}", f" {{ {spec} }}"

    def rules(self) -> Iterator[tuple[str, str]]:
        """Chain and rule, in order."""
        transport = "udp" if self.datagrams else "tcp"
        for bind in self.frontend.binds:
            at = f"{_ip(bind.address)} daddr {bind.address} {transport} dport {bind.port}"
            if not bind.proxy:
                yield from self._filter_rules(bind, at)
            if self.datagrams:
                yield from self._dnat_rules(bind, at, self.datagrams)

    def _filter_rules(self, bind: Bind, at: str) -> Iterator[tuple[str, str]]:
        if not self.frontend.allowed:
            return
        networks = [n for n in self.frontend.allowed if _version(n.partition("/")[0]) == _version(bind.address)]
        among = _collapse_networks(networks)
        if not networks:
            yield "filter", f"{at} drop"
        elif "0.0.0.0/0" not in among and "::/0" not in among:
            yield "filter", f"{at} {_ip(bind.address)} saddr != {{ {', '.join(among)} }} drop"

    def _dnat_rules(self, bind: Bind, at: str, datagrams: Datagrams) -> Iterator[tuple[str, str]]:
        selectable = _selectable([s for s in self._up_servers if _version(s.address) == _version(bind.address)])
        if not selectable:
            # Said at once, and no flow is tracked that would keep to "nobody" when there is somebody again.
            yield "filter", f"{at} ct state new reject"
        if datagrams.limit == 0:
            yield "filter", f"{at} ct state new reject"
        elif datagrams.limit > 0:
            over = f"add @{self._limit(datagrams)} {{ udp dport ct count over {datagrams.limit} }}"
            yield "filter", f"{at} ct state new {over} reject"
        yield "filter", f"{at} counter name {counter('in', self._id)}"
        ip = _ip(bind.address)
        entered = f"meta l4proto udp ct original {ip} daddr {bind.address} ct original proto-dst {bind.port}"
        yield "forward", f"ct direction reply {entered} counter name {counter('out', self._id)}"
        if not selectable:
            return
        yield "nat", f"{at} counter name {counter('new', self._id)}"
        if not datagrams.persistence:
            yield "nat", f"{at} dnat {ip} to {_select_expression(_targets(selectable), datagrams.spreading, ip)}"
            return
        sticky, client = self._sticky(datagrams, _version(bind.address)), _client(bind.address, datagrams)
        numbers = _numbers(selectable)
        weights = {f"0x{number:08x}": server.weight for number, server in numbers.items()}
        servers = ", ".join(f"0x{number:08x} : {server.address} . {server.port}" for number, server in numbers.items())
        yield "nat", f"{at} meta mark set 0"
        yield "nat", f"{at} meta mark set {client} map @{sticky}"
        # Nobody remembered, or a server that has gone, is dead or drained: it is somebody else's turn.
        yield (
            "nat",
            f"{at} meta mark != {{ {', '.join(weights)} }} meta mark set {_select_expression(weights, datagrams.spreading, ip)}",
        )
        yield "nat", f"{at} update @{sticky} {{ {client} timeout {datagrams.persistence}s : meta mark }}"
        yield "nat", f"{at} dnat {ip} to meta mark map {{ {servers} }}"

    def source_rules(self) -> Iterator[str]:
        """Servers see an address of the amphora, to which answers come back: one of this load balancer's, where we are told which."""
        for bind in self.frontend.binds if self.datagrams else ():
            sources = self.datagrams.sources if self.datagrams else ()
            source, ip = (
                next((one for one in sources if _version(one) == _version(bind.address)), None),
                _ip(bind.address),
            )
            entered = f"ct original {ip} daddr {bind.address} ct original proto-dst {bind.port} snat {ip} to {source}"
            yield f"meta l4proto udp ct status dnat {entered if source else 'masquerade'}"

    def _limit(self, datagrams: Datagrams) -> str:
        return f"limit_{self._id}_{datagrams.limit}"

    def _sticky(self, datagrams: Datagrams, version: int) -> str:
        prefix = datagrams.prefix4 if version == 4 else datagrams.prefix6
        return f"sticky{version}_{self._id}_{datagrams.persistence}_{prefix}"


def _selectable(alive: Sequence[Server]) -> list[Server]:
    """Who gets new flows: those with a weight; backups when nobody else is left."""
    weighty = [server for server in alive if server.weight]
    return [s for s in weighty if not s.backup] or weighty


def _targets(servers: Sequence[Server]) -> dict[str, int]:
    """``address . port`` → weight."""
    return {f"{server.address} . {server.port}": server.weight for server in servers}


def _numbers(servers: Sequence[Server]) -> dict[int, Server]:
    """Numbers that servers keep, whoever else comes or goes: persistence remembers them."""
    found: dict[int, Server] = {}
    for server in sorted(servers, key=lambda one: (one.address, one.port)):
        number = zlib.crc32(f"{server.address} {server.port}".encode()) or 1
        while number in found:
            number = number % 0xFFFFFFFF + 1
        found[number] = server
    return found


def _select_expression(weights: Mapping[str, int], spreading: str, ip: str) -> str:
    """An expression that gives one of the names."""
    if spreading == "round_robin":
        size, places = server_selection.round_robin(weights)
        expression = f"numgen inc mod {size}"
    else:
        size, places = server_selection.maglev(weights)
        source = f"{ip} saddr . udp sport" if spreading == "source_ip_port" else f"{ip} saddr"
        expression = f"jhash {source} mod {size} seed 0x{server_selection.SEED:x}"
    elements = ", ".join(f"{f'{a}-{b}' if b > a else a} : {target}" for a, b, target in places)
    return f"{expression} map {{ {elements} }}"


def _client(address: str, datagrams: Datagrams) -> str:
    version = _version(address)
    prefix, bits = (datagrams.prefix4, 32) if version == 4 else (datagrams.prefix6, 128)
    saddr = f"{_ip(address)} saddr"
    if prefix >= bits:
        return saddr
    mask = ((1 << bits) - 1) ^ ((1 << (bits - prefix)) - 1)
    return f"{saddr} & {ipaddress.IPv4Address(mask) if version == 4 else ipaddress.IPv6Address(mask)}"


def _collapse_networks(networks: Sequence[str]) -> list[str]:
    """Sets of nftables take no networks that overlap."""
    four = [n for one in networks if isinstance(n := ipaddress.ip_network(one), ipaddress.IPv4Network)]
    six = [n for one in networks if isinstance(n := ipaddress.ip_network(one), ipaddress.IPv6Network)]
    return [str(n) for n in (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))]


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _ip(address: str) -> str:
    return "ip6" if ":" in address else "ip"
