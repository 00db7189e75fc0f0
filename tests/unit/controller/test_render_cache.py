# SPDX-License-Identifier: Apache-2.0
"""One rendering for each write: the same graph is answered, and rendered once, until something changes."""

from __future__ import annotations

import dataclasses
import uuid

from octavia_amphora.wire.config import digest
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.controller.render_cache import RenderCache
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validation import validated
from octavia_provider.ports import Instance, Record, Scope
from octavia_provider.render.environment import Templates, shipped

LB, LISTENER, POOL = (str(uuid.UUID(int=n)) for n in range(1, 4))
HOST = Instance(amphora_id="a", load_balancer_id=LB, agent=("10.0.0.1", 9443))


def record(kind: str, id_: str, generation: int, **values: object) -> Record:
    spec = validated(KINDS[kind], values)
    return Record(id=id_, kind=kind, scope_id=LB, project_id="p", spec=spec, generation=generation)


def member(number: int, generation: int) -> Record:
    return record(
        "member",
        str(uuid.UUID(int=100 + number)),
        generation,
        pool_id=POOL,
        address=f"10.0.0.{number}",
        protocol_port=80,
    )


def desired_state() -> DesiredState:
    found = DesiredState(Scope(id=LB, kind="load_balancer"))
    found.read(
        Scope(id=LB, kind="load_balancer", generation=4),
        [
            record("load_balancer", LB, 1, name="lb", vip_network_id=str(uuid.UUID(int=9))),
            record("listener", LISTENER, 2, loadbalancer_id=LB, protocol="HTTP", protocol_port=80),
            record("pool", POOL, 3, listener_id=LISTENER, protocol="HTTP", lb_algorithm="ROUND_ROBIN"),
            member(1, 4),
        ],
    )
    return found


def test_the_graph_is_the_same_until_a_record_changes() -> None:
    wanted = desired_state()
    first = wanted.graph()
    assert wanted.graph() is first
    wanted.settled(4, {id_: one.spec for id_, one in wanted.records.items()}, {})
    assert wanted.graph() is first
    wanted.read(dataclasses.replace(wanted.scope, generation=5), [member(2, 5)])
    assert wanted.graph() is not first


def test_what_is_refused_dropped_or_in_error_is_another_graph() -> None:
    wanted = desired_state()
    bad = member(1, 4).id
    first = wanted.graph()
    assert first
    dropped = wanted.graph(dropped=[bad])
    assert dropped
    assert bad not in dropped.members.get(POOL, {})
    assert bad in first.members[POOL]
    wanted.settled(4, {bad: None}, {bad: "no"})
    after = wanted.graph()
    assert after
    assert bad not in after.members.get(POOL, {})


def test_what_is_deleted_is_in_the_graph_no_longer() -> None:
    wanted = desired_state()
    wanted.graph()
    gone = dataclasses.replace(member(1, 5), deleting=True)
    wanted.read(dataclasses.replace(wanted.scope, generation=5), [gone])
    graph = wanted.graph()
    assert graph
    assert gone.id not in graph.members.get(POOL, {})


def test_each_host_is_rendered_once_for_a_graph_and_a_placement() -> None:
    wanted, render_cache = desired_state(), RenderCache()
    graph = wanted.graph()
    assert graph
    first = render_cache.of(graph, HOST, ("10.0.0.2",), shipped())
    assert render_cache.of(graph, HOST, ("10.0.0.2",), shipped()) is first
    assert render_cache.of(graph, HOST, ("10.0.0.2",), Templates()) is not first
    first = render_cache.of(graph, HOST, ("10.0.0.2",), shipped())
    assert render_cache.digest(first) == digest(first.configuration)
    moved = render_cache.of(graph, HOST, ("10.0.0.3",), shipped())
    assert moved is not first
    assert render_cache.digest(first) == digest(first.configuration)
    assert "10.0.0.3:80" in moved.configuration.frontends[LISTENER].text
