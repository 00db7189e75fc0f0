# SPDX-License-Identifier: Apache-2.0
"""What has to be so in a world, whatever has happened in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from msgspec import structs

from octavia_amphora.wire.config import compose
from octavia_provider.model import flavor
from octavia_provider.planner.succession import ALONE, Carried, carried
from octavia_provider.ports import Amphora, Transaction, flavor_data

from .site import Site
from .world import World


async def is_whole(site: Site, load_balancer_id: str) -> None:
    """The amphorae that the store knows are the ones that there are, each with its role, the same newest configuration and
    the VIPs; clients are let in to its listeners, and nothing else is held for it."""

    def look(tx: Transaction) -> tuple[Any, ...]:
        root = tx.get("load_balancer", load_balancer_id)
        wanted = flavor_data(tx, root.spec["flavor_id"] if root else None)
        parts = tx.find(scope_id=load_balancer_id)
        return tx.scope(load_balancer_id), tx.amphorae(load_balancer_id), parts, wanted

    scope, amphorae, records, wanted = await site.store.read(look)
    assert scope.applied == scope.generation
    servers = site.world.live(load_balancer_id)
    assert sorted(a.role for a in amphorae) == sorted(flavor.roles(wanted))
    assert all(server.flavor == flavor.booted_by(wanted) for server in servers if server.instance.host is None)
    assert not any(amphora.retiring for amphora in amphorae)
    assert {a.id for a in amphorae} == {server.instance.amphora_id for server in servers}
    by_id = {amphora.id: amphora for amphora in amphorae}
    listeners = {r.id: r.spec["protocol_port"] for r in records if r.kind == "listener" and r.error is None}
    root = next(r for r in records if r.id == load_balancer_id)
    vips = {root.spec["vip_address"], *(vip["ip_address"] for vip in root.spec["additional_vips"])}
    for server in servers:
        standing = server.standing[load_balancer_id]
        assert standing.stamp is not None
        assert standing.configuration is not None
        assert standing.stamp.generation <= scope.generation
        assert set(standing.configuration.frontends) == set(listeners)
        assert carried(server.instance) == bearing(vips, by_id[server.instance.amphora_id])
        assert all(str(address) in compose(standing.configuration) for address in vips if listeners)
        assert standing.configuration.interfaces == server.instance.interfaces
    standing_here = [one for s in servers if (one := s.standing[load_balancer_id].configuration)]
    alike = [structs.replace(one, vrrp=None, interfaces=()) for one in standing_here]
    assert all(one == alike[0] for one in alike)
    if len(servers) > 1:
        states = [site.world.vrrp_state(server.instance.amphora_id, load_balancer_id) for server in servers]
        assert sorted(states) == ["BACKUP", "MASTER"]
        assert any(server.instance.host for server in servers) or {server.domain for server in servers} == {0, 1}
    assert {i: port for i, (lb, port) in site.world.rules.items() if lb == load_balancer_id} == listeners
    held = {address for (whose, _), address in site.world.ports.items() if whose.split("/")[0] == load_balancer_id}
    assert held == vips | {vip.address for amphora in amphorae for vip in amphora.own}
    never_back(site)


@contextlib.contextmanager
def one_owner(world: World, load_balancer_id: str, vip: str) -> Iterator[None]:
    """At each effect of a control plane, one amphora has the VIP, and a configuration in force. The election of a pair is over
    at once in here: in the field there is a window (``docs/explanation/availability.md``)."""

    def look() -> None:
        there = {server.instance.amphora_id: server for server in world.live(load_balancer_id)}
        by_itself, ids = {id_ for id_, one in there.items() if vip in one.instance.vips}, [*there]
        by_vrrp = {id_ for id_ in ids if world.vrrp_state(id_, load_balancer_id) == "MASTER"}
        owners = by_itself | by_vrrp
        assert len(owners) == 1, (by_itself, by_vrrp)
        for id_ in owners:
            configuration = there[id_].standing[load_balancer_id].configuration
            assert configuration
            vrrp = configuration.vrrp
            assert vrrp is None or vrrp.peers, "it would give the VIPs up for a moment when it gets its first peer"

    world.lookers.append(look)
    yield
    world.lookers.remove(look)


def bearing(vips: set[str], amphora: Amphora) -> Carried:
    """What an amphora carries in the end."""
    return frozenset({*((vip, amphora.role != ALONE) for vip in vips), *((vip.address, False) for vip in amphora.own)})


async def is_empty(site: Site) -> None:
    """Nothing is left, in the cloud or in the store."""
    world = site.world
    assert (world.servers, world.seats, world.ports, world.rules, world.server_groups) == ({}, {}, {}, {}, set())
    records, amphorae, scopes = await site.store.read(lambda tx: (tx.find(), tx.amphorae(), tx.scopes()))
    assert amphorae == []
    assert {one.kind for one in (*records, *scopes)} <= {"flavor", "flavor_profile"}


def never_back(site: Site) -> None:
    """No agent was ever given an older configuration than it had."""
    for history in (history for server in site.world.servers.values() for history in server.histories.values()):
        for before, after in pairwise(history):
            assert before.order < after.order
            assert before.generation <= after.generation
