# SPDX-License-Identifier: Apache-2.0
"""What runs in the cloud and the store does not know: of another store, or of a later state than a restored one.

A control plane stops what it knows and was told to delete, and nothing else: so it does not start where there are orphans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from octavia_provider.model.errors import Conflict
from octavia_provider.ports import Instance, LocalCloud, Publication, Scope, StateVersion, Store, Transaction

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """What a cloud has, looked at once."""

    amphorae: Sequence[Instance] = ()
    hosts: Sequence[str] = ()
    networks: Sequence[str] = ()
    publications: Sequence[Publication] = ()
    pushed: Mapping[str, Mapping[str, StateVersion]]

    @property
    def empty(self) -> bool:
        """Whether nothing runs in it."""
        return not (self.amphorae or self.hosts or self.networks or self.publications)


async def look(cloud: LocalCloud) -> Cloud:
    """Ask the cloud for all that it has."""
    return Cloud(
        amphorae=await cloud.hosts(),
        hosts=list(await cloud.host_running()),
        networks=await cloud.networks(),
        publications=await cloud.publications(),
        pushed=await cloud.pushed(),
    )


async def orphans(cloud: Cloud, store: Store | None) -> list[Orphan]:
    """What the store does not know of what the cloud has; all of it where there is no store."""
    if store is None:
        return _unknown(cloud, {}, set(), set())

    def work(tx: Transaction) -> list[Orphan]:
        listeners = {p.listener_id for p in cloud.publications if tx.get("listener", p.listener_id)}
        scopes = {scope.id: scope for scope in tx.scopes()}
        return _unknown(cloud, scopes, {amphora.id for amphora in tx.amphorae()}, listeners)

    return await store.read(work)


def _unknown(cloud: Cloud, scopes: Mapping[str, Scope], amphorae: set[str], listeners: set[str]) -> list[Orphan]:
    balancers: dict[str, set[str]] = {}
    for host in cloud.amphorae:
        balancers.setdefault(host.load_balancer_id, set()).add(host.amphora_id)
    found = [Orphan("load_balancer", id_, f"load balancer {id_}") for id_ in sorted(balancers) if id_ not in scopes]
    found += [
        Orphan("amphora", host.amphora_id, f"amphora {host.amphora_id} of load balancer {host.load_balancer_id}")
        for host in cloud.amphorae
        if host.load_balancer_id in scopes and host.amphora_id not in amphorae
    ]
    found += [
        Orphan("listener", p.listener_id, f"listener {p.listener_id}, published at {p.address}:{p.port}")
        for p in cloud.publications
        if p.listener_id not in listeners
    ]
    found += [Orphan("local_host", id_, f"host {id_}") for id_ in cloud.hosts if id_ not in scopes]
    found += [Orphan("local_network", id_, f"network {id_}") for id_ in cloud.networks if id_ not in scopes]
    return found + _newer(cloud, scopes)


def _newer(cloud: Cloud, scopes: Mapping[str, Scope]) -> list[Orphan]:
    """A revision is in the store before it is pushed: where an amphora has a later one, the store is an older copy."""
    newest: dict[str, StateVersion] = {}
    for pushed in cloud.pushed.values():
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


async def require_none(cloud: Cloud, store: Store | None, home: str) -> None:
    """``Conflict`` where something runs that the store does not know."""
    if found := await orphans(cloud, store):
        raise Conflict(
            f"the store does not know what runs in this home's cloud: {sentence(found)}. Nothing was touched",
            subject=home, hint=HINT,
        )  # fmt: skip
