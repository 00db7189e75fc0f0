# SPDX-License-Identifier: Apache-2.0
"""What UDP listeners and allowed networks mean to nftables: each line of the rules, with the words that may vary.

A pattern is a line in which ``{name}`` stands for a fact of the listener and where it listens; what ends with ``s}`` stands
for a list of such facts. So no address, port or number comes in that is not of these objects.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from fuzz.parser import Unmeant
from octavia_amphora.nftables.ruleset import Ruleset
from octavia_amphora.wire.config import Bind
from octavia_provider.model.graph import Graph
from octavia_provider.model.listener import Listener

from .listener import default_pool

CHAINS = {
    "filter": "type filter hook prerouting priority mangle; policy accept;",
    "nat": "type nat hook prerouting priority dstnat; policy accept;",
    "forward": "type filter hook forward priority filter; policy accept;",
    "post": "type nat hook postrouting priority srcnat; policy accept;",
}
OF_THE_TABLE = (
    "add table inet {table}",
    *(f"add chain inet {{table}} {name} {{ {spec} }}" for name, spec in CHAINS.items()),
    *(f"flush chain inet {{table}} {name}" for name in CHAINS),
    *(line for name in CHAINS for line in (
        f"add chain inet {{table}} {name}_{{digest}}", f"flush chain inet {{table}} {name}_{{digest}}",
        f"add rule inet {{table}} {name} jump {name}_{{digest}}",
    )),
)  # fmt: skip
OF_DATAGRAMS = (
    "add rule inet {table} forward_{digest} meta mark & 0xffff0000 == 0x0c7a0000 accept",  # connections handed to a former owner of VIPs
    "add rule inet {table} forward_{digest} ct status dnat accept", "add rule inet {table} forward_{digest} ct state related accept",
    "add rule inet {table} forward_{digest} drop", "add rule inet {table} post_{digest} meta l4proto udp ct status dnat masquerade",
)  # fmt: skip
_FILTER, _NAT = (
    "add rule inet {table} filter_{digest} {ip} daddr {at} ",
    "add rule inet {table} nat_{digest} {ip} daddr {at} udp dport {port} ",
)
_FORWARD = "add rule inet {table} forward_{digest} ct direction reply meta l4proto udp "
NETWORKS = (
    _FILTER + "{transport} dport {port} {ip} saddr != { {networks} } drop",
    _FILTER + "{transport} dport {port} drop",
)
COUNTED = (
    "add counter inet {table} in_{id}", "add counter inet {table} out_{id}", "add counter inet {table} new_{id}",
    _FILTER + "udp dport {port} ct state new reject", _FILTER + "udp dport {port} counter name in_{id}",
    _NAT + "counter name new_{id}",
    _FORWARD + "ct original {ip} daddr {at} ct original proto-dst {port} counter name out_{id}",
)  # fmt: skip
LIMIT = (
    "add set inet {table} limit_{id}_{limit} { type inet_service; flags dynamic; size 16; }",
    _FILTER + "udp dport {port} ct state new add @limit_{id}_{limit} { udp dport ct count over {limit} } reject",
)
SPREAD = (_NAT + "dnat {ip} to {picked}",)
_STICKY = "sticky{version}_{id}_{seconds}_{prefix}"
PERSIST = (
    f"add map inet {{table}} {_STICKY} {{ type {{address}} : mark; flags dynamic,timeout; timeout {{seconds}}s; size 65536; }}",
    _NAT + "meta mark set 0", _NAT + f"meta mark set {{client}} map @{_STICKY}",
    _NAT + "meta mark != { {marks} } meta mark set {picked}",
    _NAT + f"update @{_STICKY} {{ {{client}} timeout {{seconds}}s : meta mark }}", _NAT + "dnat {ip} to meta mark map { {marked} }",
)  # fmt: skip
NAMES = frozenset(
    f"nftables: {pattern}" for pattern in (*OF_THE_TABLE, *OF_DATAGRAMS, *NETWORKS, *COUNTED, *LIMIT, *SPREAD, *PERSIST)
)
DIGEST = "[0-9a-f]{12}"
_FACT = re.compile(r"\{([a-z]+)\}")


def check(rules: Ruleset, graph: Graph, binds: tuple[Bind, ...]) -> Counter[str]:
    """Raise ``Unmeant`` unless each line is one that a listener means; how often each came."""
    met: Counter[str] = Counter()
    known = [*_of_all(graph), *(pattern for li in graph.listeners.values() for pattern in _of(li, graph, binds))]
    for line in rules.text.splitlines():
        found = next((name for name, pattern in known if pattern.fullmatch(line)), None)
        if found is None:
            raise Unmeant(f"a line for nftables that no listener means: {line}")
        met[f"nftables: {found}"] += 1
    return met


Pattern = tuple[str, re.Pattern[str]]


def _of_all(graph: Graph) -> Iterator[Pattern]:
    facts = {"table": _table(graph), "digest": DIGEST}
    yield from (_pattern(one, facts) for one in OF_THE_TABLE)
    if any(li.protocol == "UDP" for li in graph.listeners.values()):
        yield from (_pattern(one, facts) for one in OF_DATAGRAMS)


def _of(listener: Listener, graph: Graph, binds: tuple[Bind, ...]) -> Iterator[Pattern]:
    for bind in binds:
        facts = _facts(listener, graph, bind)
        if listener.allowed_cidrs and not bind.proxy:
            yield from (_pattern(one, facts) for one in NETWORKS)
        if listener.protocol == "UDP":
            wanted = [*COUNTED, *(LIMIT if listener.connection_limit > 0 else ())]
            wanted += (PERSIST if "seconds" in facts else SPREAD) if "picked" in facts else ()
            yield from (_pattern(one, facts) for one in wanted)


def _pattern(line: str, facts: Mapping[str, str]) -> Pattern:
    parts = _FACT.split(line)
    return line, re.compile("".join(facts[part] if i % 2 else re.escape(part) for i, part in enumerate(parts)))


def _table(graph: Graph) -> str:
    return f"lb_{graph.load_balancer.id.replace('-', '')}"


def _list(one: str) -> str:
    return rf"{one}(?:, {one})*"


def _facts(listener: Listener, graph: Graph, bind: Bind) -> dict[str, str]:
    """Each fact as a regular expression of what may stand for it."""
    version = ipaddress.ip_address(bind.address).version
    ip = "ip" if version == 4 else "ip6"
    networks = [one for one in listener.allowed_cidrs if ipaddress.ip_network(one).version == version]
    facts = {
        "table": _table(graph), "digest": DIGEST, "id": listener.id.replace("-", ""), "ip": ip, "at": re.escape(bind.address),
        "port": str(listener.protocol_port), "transport": "udp" if listener.protocol == "UDP" else "tcp",
        "limit": str(listener.connection_limit), "version": str(version), "address": "ipv4_addr" if version == 4 else "ipv6_addr",
        "networks": _list(f"(?:{'|'.join(_merged(networks))})"),
    }  # fmt: skip
    pool_id = default_pool(graph, listener)
    members = graph.members.get(pool_id or "", {}).values()
    near = [
        one
        for one in members
        if ipaddress.ip_address(one.address).version == version and one.weight and one.admin_state_up
    ]
    if pool_id is None:
        return facts
    targets = "|".join(re.escape(f"{one.address} . {one.protocol_port}") for one in near) or "(?!)"
    persistence = graph.pools[pool_id].session_persistence
    mark = r"0x[0-9a-f]{8}"
    aims = mark if persistence else f"(?:{targets})"
    source = rf"jhash {ip} saddr(?: \. udp sport)? mod \d+ seed 0x[0-9a-f]+"
    places = _list(rf"\d+(?:-\d+)? : {aims}")
    facts["picked"] = rf"(?:numgen inc mod \d+|{source}) map \{{ {places} \}}"
    if persistence is not None:
        facts |= {"marks": _list(mark), "marked": _list(f"{mark} : (?:{targets})"),
                  "seconds": str(persistence.persistence_timeout or 360),
                  **_client(persistence.persistence_granularity, version)}  # fmt: skip
    return facts


def _client(mask: str | None, version: int) -> dict[str, str]:
    saddr = "ip saddr" if version == 4 else "ip6 saddr"
    full = 32 if version == 4 else 128
    if mask is None or ipaddress.ip_address(mask).version != version:
        return {"client": saddr, "prefix": str(full)}
    length = int(ipaddress.ip_address(mask)).bit_count()
    masked = saddr if length == full else f"{saddr} & {re.escape(mask)}"
    return {"client": masked, "prefix": str(length)}


def _merged(networks: list[str]) -> list[str]:
    """nftables takes no networks that overlap: they may be joined to others that hold the same addresses."""
    four = [one for text in networks if isinstance(one := ipaddress.ip_network(text), ipaddress.IPv4Network)]
    six = [one for text in networks if isinstance(one := ipaddress.ip_network(text), ipaddress.IPv6Network)]
    return [
        re.escape(str(one)) for one in (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))
    ] or ["(?!)"]
