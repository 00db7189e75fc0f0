# SPDX-License-Identifier: Apache-2.0
"""Putting rules in force (``nft -f``) and cutting flows that they no longer allow (``conntrack -D``).

Both survive this process and haproxy: the filter of a VIP holds while neither runs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from octavia_amphora.shortage import Shortage, is_shortage, is_shortage_text
from octavia_amphora.wire.messages import Counters

from .claims import Claims
from .ruleset import Flow, Ruleset, counter
from .transactions import Present, Transactions, transactions

log = logging.getLogger("octavia_amphora.nftables")

TIMEOUT_SECONDS = 30.0
PACKAGES = {"nft": "nftables", "conntrack": "conntrack", "ip": "iproute2"}
"""Whose tools ``run`` runs."""
# Counting takes two processes: at most every so often, and a twentieth of the time where there are very many flows.
COUNT_SECONDS = 2.0
# A member that leaves may still answer what it was asked before; then its flows move.
LINGER_SECONDS = 1.0
COUNT_SHARE = 20
Endpoint = tuple[str, int]
_FORWARDING = {4: "/proc/sys/net/ipv4/ip_forward", 6: "/proc/sys/net/ipv6/conf/all/forwarding"}


class KernelError(Exception):
    """The kernel, or a tool that we need, said no; the message is in its own words."""


class Kernel:
    """The rules of one load balancer. ``current`` is what is in force, None when that is not known (after a start).

    ``_present``: what is in its table, None where that has to be looked at: after a start, and after what did not come to its end.
    """

    def __init__(self, table: str, claims: Claims) -> None:
        self._empty = Ruleset(table)
        self._claims = claims
        self.current: Ruleset | None = None
        self._present: Present | None = None
        self._counted: dict[str, Counters] = {}
        self._count_at = 0.0
        self._lingering: dict[Flow, float] = {}
        self._cleanup_tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()

    async def apply(self, new: Ruleset, assumed: Ruleset | None = None, *, linger: bool = False) -> None:
        """Put rules in force; ``Failed`` leaves those before. ``assumed``: what an earlier agent may have left.

        Flows that they do not allow are cut at once, or ``linger`` for a moment.
        """
        if new == self.current:
            return
        async with self._changing:
            await self._apply(new, assumed, linger=linger)

    async def _apply(self, new: Ruleset, assumed: Ruleset | None, *, linger: bool) -> None:
        old = self.current or assumed or self._empty
        if self.current is None and not new.text and not old.text:
            self.current = new  # the usual case: neither UDP nor a filter, and no tool is needed
            return
        there, self._present = self._present, None
        self._present = await asyncio.to_thread(_apply, new, old, there, self._claims)
        known, self.current = self.current is not None, new
        if known and not old.flows - new.flows and old.endpoints == new.endpoints:
            return
        if linger and old.endpoints == new.endpoints:
            now = time.monotonic()
            self._lingering = {f: at for f, at in self._lingering.items() if f not in new.flows}
            self._lingering.update(dict.fromkeys(old.flows - new.flows, now + LINGER_SECONDS))
            sweep = asyncio.ensure_future(self._cleanup_later(old))
            self._cleanup_tasks.add(sweep)
            sweep.add_done_callback(self._cleanup_tasks.discard)
        else:
            await asyncio.to_thread(_delete_stale_flows, old.endpoints | new.endpoints, new.flows)

    async def _cleanup_later(self, old: Ruleset) -> None:
        await asyncio.sleep(LINGER_SECONDS)
        async with (
            self._changing
        ):  # a server that comes back between the look and the cut would lose what it was asked since
            await self._delete_lingering(old)

    async def _delete_lingering(self, old: Ruleset) -> None:
        now = time.monotonic()
        self._lingering = {f: at for f, at in self._lingering.items() if at > now}  # those that began to leave since
        try:
            if self.current is not None:
                await asyncio.to_thread(_delete_stale_flows, old.endpoints, self.current.flows | self._lingering.keys())
        except (KernelError, OSError) as error:
            log.warning("cutting flows table=%s: %s", old.table, error)

    async def count(self, listeners: Mapping[str, AbstractSet[Endpoint]]) -> dict[str, Counters]:
        """Counters of UDP listeners: bytes and flows."""
        if self.current is None or not self.current.endpoints or time.monotonic() < self._count_at:
            return self._counted
        began = time.monotonic()
        try:
            self._counted = await asyncio.to_thread(_count, self.current, listeners)
        except (KernelError, OSError) as error:
            log.warning("counting table=%s: %s", self.current.table, error)
        now = time.monotonic()
        self._count_at = now + max(COUNT_SECONDS, (now - began) * COUNT_SHARE)
        return self._counted


def _apply(new: Ruleset, old: Ruleset, there: Present | None, claims: Claims) -> Present | None:
    """What is in the table then, where that is known."""
    # before the rules go that keep it to what is ours
    claims.forwarding(new, old, lambda version: _set_forwarding(version, "0"))
    in_force = old
    try:
        with claims.tracking(new) as others_track:
            try:
                cleaned = _run_transactions(
                    transactions(new, old, there or _look(new.table), others_track=others_track)
                )
            except KernelError:
                if there is None:
                    raise
                # Somebody else may have changed what was known.
                cleaned = _run_transactions(transactions(new, old, _look(new.table), others_track=others_track))
        in_force = new
    finally:
        claims.claim(in_force)
        for version in in_force.forwarded:
            _set_forwarding(version, "1")  # after the rules: they say that nothing is forwarded but what is ours
    return Present.of(new) if cleaned else None


def _look(table: str) -> Present:
    return Present.read(run(["nft", "-t", "list", "table", "inet", table], good=(0, 1)))


def _run_transactions(wanted: Transactions) -> bool:
    """Whether all of it is done: the new rules are in force, whatever becomes of the old."""
    _nft(wanted.prepare)
    _nft(wanted.switch)
    try:
        _nft(wanted.clean)
    except (KernelError, OSError) as error:
        log.warning("former rules are left until the next change: %s", error)
        return False
    return True


def _nft(text: str) -> None:
    if text:
        run(["nft", "-f", "-"], text)


def _set_forwarding(version: int, value: str) -> None:
    try:
        Path(_FORWARDING[version]).write_text(value, encoding="ascii")
    except OSError as error:
        raise KernelError(f"forwarding of IPv{version} cannot be set: {error.strerror}") from error


def _delete_stale_flows(entrances: AbstractSet[Endpoint], allowed: AbstractSet[Flow]) -> None:
    """Cut every flow that came in there and goes where none may: to a member that has gone, or to nobody.

    Such of nobody: packets that came before the listener was there are tracked, too.
    """
    found: set[Flow] = set()
    for version in sorted({6 if ":" in address else 4 for address, _ in entrances}):
        found.update(_flows(run(["conntrack", "-L", "-f", f"ipv{version}", "-p", "udp"])))
    for flow in found - allowed:
        if (flow.address, flow.port) in entrances:
            words = ["--orig-dst", flow.address, "--orig-port-dst", str(flow.port)]
            _delete_flows([*words, "--reply-src", flow.server, "--reply-port-src", str(flow.server_port)], flow.address)


def _delete_flows(words: list[str], address: str) -> None:
    family = "ipv6" if ":" in address else "ipv4"
    run(["conntrack", "-D", "-f", family, "-p", "udp", *words], good=(0, 1))  # 1: there is none


def _count(current: Ruleset, listeners: Mapping[str, AbstractSet[Endpoint]]) -> dict[str, Counters]:
    listing = json.loads(run(["nft", "-j", "list", "counters", "table", "inet", current.table]))["nftables"]
    kernel_counters = {one["counter"]["name"]: one["counter"] for one in listing if "counter" in one}
    flows: Counter[Endpoint] = Counter()
    for version in current.families:
        listed = _flows(run(["conntrack", "-L", "-f", f"ipv{version}", "-p", "udp"]))
        flows.update((flow.address, flow.port) for flow in listed)
    found = {}
    for listener, entrances in listeners.items():
        into, out, new = (kernel_counters.get(counter(direction, listener), {}) for direction in ("in", "out", "new"))
        found[listener] = Counters(
            bytes_in=into.get("bytes", 0),
            bytes_out=out.get("bytes", 0),
            active_connections=sum(flows[entrance] for entrance in entrances),
            total_connections=new.get("packets", 0),
        )
    return found


def _flows(text: str) -> Iterator[Flow]:
    """``conntrack -L``: each line tells a flow as it came (src, dst, sport, dport), then as its answers come."""
    for line in text.splitlines():
        words = [word.partition("=") for word in line.split()]
        fields: dict[str, list[str]] = {}
        for name, _, value in words:
            fields.setdefault(name, []).append(value)
        if all(len(fields.get(name, ())) > 1 for name in ("src", "dst", "sport", "dport")):
            entry, server = (str(ipaddress.ip_address(one)) for one in (fields["dst"][0], fields["src"][1]))
            yield Flow(entry, int(fields["dport"][0]), server, int(fields["sport"][1]))


def run(
    command: list[str], text: str = "", *, good: Collection[int] = (0,), seconds: float = TIMEOUT_SECONDS
) -> str:  # fmt: skip
    """Run a tool; what it says. ``KernelError`` with its words where it refuses."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Shortage(f"{command[0]} had no answer: {error}") from error
    except OSError as error:
        if is_shortage(error):
            raise
        raise KernelError(f"{command[0]} did not run: {error}. The amphora needs {PACKAGES[command[0]]}") from error
    if done.returncode not in good:
        if done.returncode < 0 or is_shortage_text(done.stderr):
            raise Shortage(f"{command[0]} came to no end: {' '.join(done.stderr.split())[:500] or done.returncode}")
        raise KernelError(f"{command[0]} refused: {' '.join(done.stderr.split())[:1000]}")
    return done.stdout
