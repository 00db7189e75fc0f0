# SPDX-License-Identifier: Apache-2.0
"""Makes the interfaces what load balancers want together, now, after each start, and when an interface comes.

Each load balancer says what it wants in its configuration; what all want is in ``interfaces.json`` in the state directory before it is made
so, and is made so again when the agent starts. An agent of whom nobody wants interfaces touches none.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from octavia_amphora.announcing import announce
from octavia_amphora.apply.disk import read, write
from octavia_amphora.nftables.kernel import KernelError, run
from octavia_amphora.supervision import supervised
from octavia_amphora.wire.interfaces import Interface

from . import changes
from .links import Link, LinkEvents, parse

log = logging.getLogger("octavia_amphora.interfaces")
PLUG_SECONDS = 20.0
"""So long an interface is waited for that was plugged in while the amphora runs; clouds take some seconds."""
TIMEOUT_SECONDS = 10.0
Claims = dict[str, tuple[Interface, ...]]
_IPV6 = Path("/proc/net/if_inet6")
"""It is there where the kernel has IPv6."""
_SYSCTLS = {
    # Shared addresses are on the loopback: whoever asks an interface for one hears nothing, and none is told as the asker's.
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/arp_announce": "2",
    "ipv4/conf/all/promote_secondaries": "1",  # a VIP that goes must not take the others of its subnet along
    "ipv4/conf/default/arp_notify": "1",
    "ipv6/conf/default/ndisc_notify": "1",
}
_OF_EACH = {
    "ipv4/conf/{}/arp_notify": "1",
    "ipv6/conf/{}/ndisc_notify": "1",
    "ipv6/conf/{}/accept_ra": "0",  # addresses and routers are Neutron's to give, by the control plane
}


class InterfaceError(OSError):
    """An interface cannot be made what it should be; the message says why. Nothing that is configured is to blame."""


class Interfaces:
    """``management``: the address that the agent listens on; the interface that has it is left alone. ``described``: the file in which a
    cloud describes that one, and by which it leaves the others to us. Without that file nothing is touched."""

    def __init__(self, state_directory: str, management: str, described: Path) -> None:
        self._path = Path(state_directory) / "interfaces.json"
        self._management = management
        self._described = read(described, tuple[Interface, ...])
        self._claims: Claims = read(self._path, Claims) or {}
        self._versions = (4, 6) if _IPV6.exists() else (4,)
        self._settled = False
        self._made_for: frozenset[object] = frozenset()
        self._looked = asyncio.Condition()
        self._lock = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    @property
    def source(self) -> str:
        """What is said to the control plane comes from this address; empty: there is one way out, and the kernel chooses."""
        return self._management if self._active else ""

    @property
    def _active(self) -> bool:
        return self._described is not None

    async def start(self) -> None:
        """Make them what was wanted last. An interface that has not come yet is made so when it comes."""
        if not (self._claims and self._active):
            return
        try:
            await self._reconcile()
        except OSError as error:
            log.error("interfaces are not all as they should be: %s", error)  # noqa: TRY400
        self._watch()

    async def extend(self, load_balancer_id: str, wanted: Sequence[Interface]) -> None:
        """A load balancer wants these too, beside what it wants already; ``InterfaceError``."""
        before = self._claims.get(load_balancer_id, ())
        await self.claim(load_balancer_id, before if before == tuple(wanted) else changes.united((wanted, before)))

    async def claim(self, load_balancer_id: str, wanted: Sequence[Interface]) -> None:
        """A load balancer wants these; others want what they do. An interface that is about to come is waited for."""
        before = self._claims.get(load_balancer_id, ())
        if not self._active or (before == tuple(wanted) and (self._settled or not before)):
            return
        new = [one for one in wanted if one.mac not in {known.mac for known in before}]
        self._watch()
        await self._wait_for(new)
        claims = {**self._claims, load_balancer_id: tuple(wanted)}
        self._claims = {id_: claim for id_, claim in claims.items() if claim}
        async with self._lock:  # load balancers are pushed side by side, and the last to write knows of all
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            await asyncio.to_thread(write, self._path, msgspec.json.encode(self._claims), durable=True)
        await self._reconcile()

    async def _wait_for(self, wanted: Sequence[Interface]) -> None:
        deadline = time.monotonic() + PLUG_SECONDS
        async with self._looked:
            while lacking := changes.missing(wanted, await _links()):
                try:
                    async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                        await self._looked.wait()
                except TimeoutError:
                    what = f"no interface with MAC address {' or '.join(lacking)} has come within {PLUG_SECONDS:g} s"
                    raise InterfaceError(what) from None

    async def _reconcile(self) -> None:
        """In the kernel all is as it should be; what has not come yet is left out."""
        async with self._lock:
            self._settled = False
            await self._make_so()
            self._settled = True

    async def _make_so(self) -> None:
        wanted, before = changes.united(self._claims.values()), await _links()
        ours = changes.ours(before, self._management)
        await asyncio.to_thread(_set_sysctls, [link.name for link in ours if not link.loopback])
        added, gone = changes.of_links(wanted, before, self._management)
        if added or gone:
            log.info("interfaces: %s", "; ".join((*added, *gone)))
        await _batch(added)
        await _batch(gone, force=True)  # an address that has just gone is no failure
        there = await _links()
        await self._route(wanted, there)
        self._made_for = _identities(there)
        await asyncio.to_thread(_announce, changes.new_addresses(wanted, before), there)

    async def _route(self, wanted: Sequence[Interface], there: Sequence[Link]) -> None:
        management = self._of_management(there)
        everything = (*wanted, *([management] if management else ()))
        for version in self._versions:
            rules = json.loads(await _ip(f"-{version}", "-j", "rule", "show"))
            lines = changes.of_routes(everything, there, version, management)
            await _batch([*lines, *changes.of_rules(everything, there, rules, version)], version=version)

    def _of_management(self, there: Sequence[Link]) -> Interface | None:
        """That of the agent's own address, as the cloud describes it."""
        macs = {link.mac for link in there if self._management in {held.address for held in link.held}}
        return next((one for one in self._described or () if one.mac in macs), None)

    # ── interfaces that come ─────────────────────────────────────────────────────────────────────────────────────────
    def _watch(self) -> None:
        if self._watching is None:
            self._watching = asyncio.ensure_future(supervised("interfaces", self._follow))

    async def _follow(self) -> None:
        events = LinkEvents()
        try:
            while True:
                await self._look()
                await events.wait()
        finally:
            events.close()

    async def _look(self) -> None:
        async with self._looked:
            self._looked.notify_all()
        now = _identities(await _links())
        if self._claims and now != self._made_for:
            await self._reconcile()

    async def close(self) -> None:
        """Follow no longer; all stays as it is."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)


async def _links() -> list[Link]:
    return parse(await _ip("-j", "address", "show"))


def _identities(there: Sequence[Link]) -> frozenset[object]:
    return frozenset(link.identity for link in there)


async def _ip(*words: str, text: str = "", good: Collection[int] = (0,)) -> str:
    try:
        return await asyncio.to_thread(run, ["ip", *words], text, good=good, seconds=TIMEOUT_SECONDS)
    except KernelError as error:
        raise InterfaceError(str(error)) from error


async def _batch(lines: Sequence[str], *, version: int | None = None, force: bool = False) -> None:
    if lines:
        words = [*([f"-{version}"] if version else ()), *(["-force"] if force else ()), "-batch", "-"]
        await _ip(*words, text="\n".join(lines) + "\n", good=(0, 1) if force else (0,))


def _set_sysctls(names: Sequence[str]) -> None:
    for name, value in (*_SYSCTLS.items(), *((key.format(n), v) for n in names for key, v in _OF_EACH.items())):
        path = Path("/proc/sys/net", name)
        try:
            if path.read_text(encoding="ascii").strip() != value:
                path.write_text(value, encoding="ascii")
        except FileNotFoundError:  # a kernel without IPv6, or an interface that has just gone
            continue
        except OSError as error:
            raise InterfaceError(f"net/{name} cannot be set: {error.strerror}") from error


def _announce(new: Mapping[str, Sequence[str]], there: Sequence[Link]) -> None:
    for name in new.keys() & {link.name for link in there}:
        try:
            announce(name, new[name])
        except OSError as error:
            log.warning("neighbours on %s are not told of %s: %s", name, " and ".join(new[name]), error)
