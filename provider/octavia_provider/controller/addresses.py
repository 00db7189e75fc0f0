# SPDX-License-Identifier: Apache-2.0
"""The addresses of one load balancer: read where the store has them, asked for where a cloud gives them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace

from octavia_provider.model import allocated
from octavia_provider.ports import (
    Amphora,
    LocalAllocation,
    Networks,
    Record,
    RemoteAllocation,
    Scope,
    Store,
    Transaction,
    Vip,
    fenced,
)


@dataclass(slots=True)
class Addresses:
    """``vips``: what amphorae carry, as it was read last. ``allocated``: every VIP has its address.

    ``_held``: what a cloud may hold for it at most; None: that is not known yet. ``_given_back``: what was so when the rest
    was given back last. ``_doubted``: some of what was allocated may be gone.
    """

    networks: Networks
    vips: tuple[Vip, ...] = ()
    allocated: bool = False
    _held: frozenset[str] | None = None
    _doubted: bool = False
    _written: int = 0
    _given_back: object = None
    _local: LocalAllocation | None = field(init=False)

    def __post_init__(self) -> None:
        """Who allocates is asked once: to look through a protocol takes its time."""
        self._local = self.networks if isinstance(self.networks, LocalAllocation) else None

    def read(self, tx: Transaction, load_balancer: Record) -> None:
        """Learn what its amphorae are to carry."""
        self._written = load_balancer.generation
        if self._local is not None:
            self.vips, self.allocated = self._local.vips(tx, load_balancer), True
        else:
            self._take(load_balancer)

    def _take(self, load_balancer: Record) -> None:
        vips = tuple(Vip(**vip) for vip in load_balancer.spec.get(allocated.CARRIED, ()))
        known = {vip.address for vip in vips if vip.served} == set(allocated.addresses(load_balancer.spec))
        self.allocated = known and not self._doubted
        if known:
            self.vips = vips
            if self._held is not None:
                self._held |= {vip.address for vip in vips}

    def doubt(self) -> None:
        """Something of it is gone in the cloud: it is asked for anew."""
        self._doubted = self._local is None

    async def allocate(self, store: Store, lease: Scope, load_balancer: Record) -> Record:
        """Ask the cloud, and write down what it says; the record with its addresses."""
        if not isinstance(self.networks, RemoteAllocation):
            return load_balancer
        found = await self.networks.allocate(load_balancer)
        self._doubted = False
        chosen = {**found.values, allocated.CARRIED: [asdict(vip) for vip in found.vips]}

        def work(tx: Transaction) -> None:
            now = tx.get(load_balancer.kind, load_balancer.id)
            if now is not None and not now.deleting:
                tx.fill(now.id, allocated.filled(now.spec, chosen))

        await store.write(fenced(lease, work))
        known = replace(load_balancer, spec=allocated.filled(load_balancer.spec, chosen))
        self._take(known)
        return known

    async def own(self, store: Store, lease: Scope, load_balancer: Record, amphora: Amphora) -> Amphora:
        """The amphora with an address of its own in each subnet of the VIPs' network, which is written down."""
        networks, known = self.networks, amphora

        def keep(tx: Transaction, own: tuple[Vip, ...]) -> Amphora:
            found = replace(amphora, own=own)
            if own != amphora.own:
                tx.put_amphora(found)
            return found

        if isinstance(networks, LocalAllocation):
            local = networks
            if not amphora.own:
                known = await store.write(fenced(lease, lambda tx: keep(tx, local.own(tx, load_balancer, amphora.id))))
        elif isinstance(networks, RemoteAllocation):
            own = await networks.own(load_balancer, amphora.id)
            known = await store.write(fenced(lease, lambda tx: keep(tx, own)))
        if self._held is not None:
            self._held |= {vip.address for vip in known.own}
        return known

    def to_release(self, carried: Collection[str], *, gone: bool) -> tuple[str, ...] | None:
        """What is to be kept where the cloud may hold more than that for it; None where it does not."""
        if self._local is not None:
            return None
        keep = frozenset() if gone else frozenset((*carried, *(vip.address for vip in self.vips)))
        return None if self._held is not None and self._held <= keep else tuple(sorted(keep))

    async def release(self, load_balancer_id: str, keep: Collection[str]) -> None:
        """The cloud holds nothing else for it. This is asked once after each start too: a crash may have come before it."""
        if isinstance(self.networks, RemoteAllocation):
            await self.networks.release(load_balancer_id, keep)
        self._held = frozenset(keep)

    def surplus(self, carried: Collection[str]) -> object | None:
        """Where the store has the addresses: what it is by which some may be to be given back, None where none is."""
        now = (self._written, self.vips, frozenset(carried))
        return None if self._local is None or self._given_back == now else now

    def give_back(self, tx: Transaction, load_balancer_id: str, carried: Collection[str]) -> None:
        """Give back what is neither wanted nor carried, in the transaction that settles; then ``given_back`` is told."""
        if self._local is not None:
            self._local.give_back(tx, load_balancer_id, carried)

    def given_back(self, surplus: object) -> None:
        """It was committed."""
        self._given_back = surplus
