# SPDX-License-Identifier: Apache-2.0
"""What runs in the cloud and the store does not know: of another store, or of a later state than a restored one.

A control plane stops what it knows and was told to delete, and nothing else: so it does not start where there are orphans.
What becomes one while it runs is ours: a call to the cloud that took effect late, after its amphora was discarded (the control
plane that made it was paused, and another one had its lease). That is taken away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from octavia_provider.model.errors import Conflict, OctaviaError
from octavia_provider.model.events import Reason
from octavia_provider.ports import (
    Cloud,
    Compute,
    Instance,
    Inventory,
    Networks,
    RemoteAllocation,
    Scope,
    StateVersion,
    Store,
    Transaction,
)

from .event_recorder import ControlPlaneEvents

log = structlog.get_logger(__name__)
HINT = (
    "put the store that made them back, or `octaviactl adopt`: it shows them, restores the store's copy or lets them go"
)
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Orphan:
    """``kind`` is that of the model, ``amphora``, or ``newer``: a load balancer that runs a later state than the store has.

    ``order``: of that later state.
    """

    kind: str
    id: str
    words: str
    order: StateVersion = (0, 0, 0)


async def look(cloud: Cloud) -> Inventory:
    """Ask the cloud for all that it has."""
    return replace(await cloud.inventory(), pushed=await cloud.pushed())


async def orphans(inventory: Inventory, store: Store | None) -> list[Orphan]:
    """What the store does not know of what the cloud has; all of it where there is no store."""
    if store is None:
        return _unknown(inventory, {}, set(), set())

    def work(tx: Transaction) -> list[Orphan]:
        known = {one.id for one in inventory.resources if tx.get(one.kind, one.id)}
        scopes = {scope.id: scope for scope in tx.scopes()}
        return _unknown(inventory, scopes, {amphora.id for amphora in tx.amphorae()}, known)

    return await store.read(work)


def _unknown(inventory: Inventory, scopes: Mapping[str, Scope], amphorae: set[str], known: set[str]) -> list[Orphan]:
    balancers = {one.load_balancer_id for one in inventory.instances}
    found = [Orphan("load_balancer", id_, f"load balancer {id_}") for id_ in sorted(balancers) if id_ not in scopes]
    found += [
        Orphan("amphora", one.amphora_id, f"amphora {one.amphora_id} of load balancer {one.load_balancer_id}")
        for one in inventory.instances
        if one.load_balancer_id in scopes and one.amphora_id not in amphorae
    ]
    found += [Orphan(one.kind, one.id, one.words) for one in inventory.resources if one.id not in known]
    return found + _newer(inventory, scopes)


def _newer(inventory: Inventory, scopes: Mapping[str, Scope]) -> list[Orphan]:
    """A revision is in the store before it is pushed: where an amphora has a later one, the store is an older copy."""
    newest: dict[str, StateVersion] = {}
    for pushed in inventory.pushed.values():
        for id_, order in pushed.items():
            newest[id_] = max(order, newest.get(id_, order))
    return [
        Orphan("newer", id_, f"load balancer {id_} in a later state (revision {order[2]}) than the store has", order)
        for id_, order in sorted(newest.items())
        if id_ in scopes and order > (scopes[id_].epoch, scopes[id_].fence, scopes[id_].revision)
    ]


def sentence(found: Sequence[Orphan]) -> str:
    """The first few in words."""
    shown = "; ".join(one.words for one in found[:SHOWN])
    return f"{shown}; and {len(found) - SHOWN} more" if len(found) > SHOWN else shown


class OrphanCollector:
    """Takes away amphorae that appear while we run and that the store never knew as running.

    What ran before the first look, and what the store once knew as running, is left alone: there the store may be another one.
    With the last orphan of a load balancer or group that is in no store goes what was allocated for it: ``networks``.
    """

    def __init__(self, store: Store, compute: Compute, events: ControlPlaneEvents, networks: Networks) -> None:
        self._store, self._compute, self._events, self._networks = store, compute, events, networks
        self._spared: set[str] | None = None
        self._there_before: set[str] = set()
        self._suspected: set[str] = set()
        self._to_release: set[str] = set()

    async def collect(self, inventory: Inventory) -> None:
        """Those that were unknown at the last look too: a look is not made at one moment."""
        known, scopes = await self._store.read(
            lambda tx: ({amphora.id for amphora in tx.amphorae()}, {scope.id for scope in tx.scopes()})
        )
        running = {one.amphora_id: one for one in inventory.instances}
        unknown = running.keys() - known
        if self._spared is None:
            self._spared = set(running)
            self._there_before = {one.load_balancer_id for one in inventory.instances} | {
                one.id for one in inventory.resources
            }
        self._spared |= running.keys() & known
        self._there_before -= scopes
        unknown -= self._spared
        for amphora_id in unknown & self._suspected:
            try:
                await self._take_away(running[amphora_id])
            except (OctaviaError, OSError) as error:
                log.warning("orphan not taken away", amphora=amphora_id, reason=str(error))
                continue
            log.warning("orphan taken away", amphora=amphora_id, load_balancer=running[amphora_id].load_balancer_id)
            message = f"Amphora {amphora_id} ran, and was in no store: a late call had made it"
            await self._events.record(Reason.OrphanRemoved, message)
            self._to_release.add(running.pop(amphora_id).load_balancer_id)
        self._suspected = unknown - self._suspected
        self._spared &= running.keys()
        await self._release(scopes | {one.load_balancer_id for one in running.values()})

    async def _take_away(self, instance: Instance) -> None:
        if instance.host is None:
            await self._compute.delete(instance.amphora_id)
        else:
            await self._compute.detach(instance.host, instance.load_balancer_id)

    async def _release(self, alive: Collection[str]) -> None:
        """What was allocated for load balancers and groups that are no more; ``alive``: those that are known, or have amphorae."""
        for id_ in sorted(self._to_release):
            try:
                if isinstance(self._networks, RemoteAllocation) and id_ not in alive and id_ not in self._there_before:
                    await self._networks.release(id_, ())
            except (OctaviaError, OSError) as error:
                log.warning("not given back", load_balancer=id_, reason=str(error))
                continue
            self._to_release.discard(id_)


async def require_none(inventory: Inventory, store: Store | None, home: str, *, hint: str = HINT) -> None:
    """``Conflict`` where something runs that the store does not know; ``hint``: what to do."""
    if found := await orphans(inventory, store):
        raise Conflict(
            f"the store does not know what runs in this home's cloud: {sentence(found)}. Nothing was touched",
            subject=home, hint=hint,
        )  # fmt: skip
