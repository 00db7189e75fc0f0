# SPDX-License-Identifier: Apache-2.0
"""What has to be so in a world, whatever has happened in it."""

from __future__ import annotations

from itertools import pairwise

from octavia_amphora.wire.config import compose
from octavia_provider.ports import Transaction

from .site import Site


async def is_whole(site: Site, load_balancer_id: str) -> None:
    """The amphorae that the store knows are the ones that there are, each with its role, the same newest configuration and
    the VIPs; clients are let in to its listeners, and nothing else is held for it."""

    def look(tx: Transaction) -> tuple[object, ...]:
        return tx.scope(load_balancer_id), tx.amphorae(load_balancer_id), tx.find(scope_id=load_balancer_id)

    scope, amphorae, records = await site.store.read(look)
    assert scope.applied == scope.generation
    servers = site.world.live(load_balancer_id)
    assert sorted(a.role for a in amphorae) == sorted(site.roles)
    assert {a.id for a in amphorae} == {server.instance.amphora_id for server in servers}
    listeners = {r.id: r.spec["protocol_port"] for r in records if r.kind == "listener" and r.error is None}
    root = next(r for r in records if r.id == load_balancer_id)
    vips = {root.spec["vip_address"], *(vip["ip_address"] for vip in root.spec["additional_vips"])}
    for server in servers:
        standing = server.standing[load_balancer_id]
        assert standing.stamp is not None
        assert standing.configuration is not None
        assert standing.stamp.generation <= scope.generation
        assert set(standing.configuration.frontends) == set(listeners)
        assert set(server.instance.vips) == vips
        assert all(str(address) in compose(standing.configuration) for address in vips if listeners)
    assert len({server.standing[load_balancer_id].stamp.digest for server in servers}) == 1  # type: ignore[union-attr]
    assert {i: port for i, (lb, port) in site.world.rules.items() if lb == load_balancer_id} == listeners
    assert {address for (lb, _), address in site.world.ports.items() if lb == load_balancer_id} == vips
    never_back(site)


async def is_empty(site: Site) -> None:
    """Nothing is left, in the cloud or in the store."""
    world = site.world
    assert (world.servers, world.ports, world.rules) == ({}, {}, {})
    assert await site.store.read(lambda tx: (tx.find(), tx.amphorae(), tx.scopes())) == ([], [], [])


def never_back(site: Site) -> None:
    """No agent was ever given an older configuration than it had."""
    for server in site.world.servers.values():
        for before, after in pairwise(server.history):
            assert before.order < after.order
            assert before.generation <= after.generation
