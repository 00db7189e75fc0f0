# SPDX-License-Identifier: Apache-2.0
"""One rendering for each write: the same graph is answered, and rendered once, until something changes."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavia_amphora.wire import encoding
from octavia_amphora.wire.config import apply, digest
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.controller.render_cache import Beside, RenderCache
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validation import validated
from octavia_provider.ports import Record, Scope
from octavia_provider.render import member as render_member
from octavia_provider.render.environment import Templates, shipped
from octavia_provider.render.haproxy import Placement, render

LB, LISTENER, POOL = (str(uuid.UUID(int=n)) for n in range(1, 4))
HERE = Placement(vips=("10.0.0.2",))


def record(kind: str, id_: str, generation: int, **values: object) -> Record:
    spec = validated(KINDS[kind], values)
    return Record(id=id_, kind=kind, scope_id=LB, project_id="p", spec=spec, generation=generation)


def member(number: int, generation: int, **values: Any) -> Record:
    values = {"pool_id": POOL, "address": f"10.0.{number // 250}.{number % 250}", "protocol_port": 80, **values}
    return record("member", str(uuid.UUID(int=100 + number)), generation, **values)


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
    first = render_cache.of(graph, "a", HERE, Beside(), shipped())
    assert render_cache.of(graph, "a", HERE, Beside(), shipped()) is first
    assert render_cache.of(graph, "a", HERE, Beside(), Templates()) is not first
    first = render_cache.of(graph, "a", HERE, Beside(), shipped())
    assert render_cache.digest(first) == digest(first.configuration)
    moved = render_cache.of(graph, "a", Placement(vips=("10.0.0.3",)), Beside(), shipped())
    assert moved is not first
    assert render_cache.digest(first) == digest(first.configuration)
    assert "10.0.0.3:80" in moved.configuration.frontends[LISTENER].text


POOLS: dict[str, dict[str, Any]] = {
    "plain": {}, "cookies": {"session_persistence": {"type": "HTTP_COOKIE"}}, "hash": {"lb_algorithm": "SOURCE_IP"},
    "UDP": {"protocol": "UDP"},
}  # fmt: skip
steps = st.one_of(
    st.tuples(st.just("write"), st.lists(st.tuples(st.integers(1, 8), st.integers(0, 3)), min_size=1, max_size=3)),
    st.tuples(st.just("delete"), st.sets(st.integers(1, 8), min_size=1, max_size=3)),
    st.tuples(st.just("pool"), st.just(None)),
)  # fmt: skip


@pytest.mark.parametrize("kind", POOLS)
@given(st.lists(steps, max_size=12))
def test_what_follows_from_the_last_rendering_is_what_is_rendered_anew(kind: str, moves: list[tuple[str, Any]]) -> None:
    wanted, render_cache, before = desired_state(), RenderCache(), None
    pool = {"loadbalancer_id": LB, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **POOLS[kind]}
    listener = {"loadbalancer_id": LB, "protocol": "UDP" if kind == "UDP" else "HTTP", "protocol_port": 80}
    ids = [LISTENER, str(uuid.UUID(int=4))]  # one pool serves two listeners
    more = [record("pool", POOL, 5, **pool), *(record("listener", id_, 5, default_pool_id=POOL, **{**listener, "protocol_port": 80 + n}) for n, id_ in enumerate(ids))]  # fmt: skip
    wanted.read(Scope(id=LB, kind="load_balancer", generation=5), more)
    for number, (move, told) in enumerate([("pool", None), *moves], start=6):
        if move == "write":
            written = [member(n, number, weight=weight) for n, weight in dict(told).items()]
        elif move == "delete":
            known = [wanted.records[i] for n in told if (i := str(uuid.UUID(int=100 + n))) in wanted.records]
            written = [dataclasses.replace(one, deleting=True, generation=number) for one in known]
        else:
            written = [record("pool", POOL, number, name=str(number), **pool)]
        wanted.read(Scope(id=LB, kind="load_balancer", generation=number, applied=number - 1), written)
        graph = wanted.graph()
        assert graph
        found = render_cache.of(graph, "a", HERE, Beside(), shipped())
        anew = render(graph, Placement(vips=("10.0.0.2",)), shipped())
        assert (found.configuration, found.owners) == (anew.configuration, anew.owners)
        assert render_cache.digest(found) == digest(anew.configuration)  # the order of servers too
        if before and found.configuration is not before and (delta := render_cache.delta(found)):
            assert delta.since == digest(before)
            assert digest(apply(before, delta)) == digest(anew.configuration)
        before = found.configuration
        wanted.settled(number, {id_: one.spec for id_, one in wanted.changed().items()}, {})


def test_a_member_more_costs_the_same_among_ten_and_among_a_thousand() -> None:
    assert work(10) == work(1000) == (1, 1)


def work(count: int) -> tuple[int, int]:
    """How many servers are rendered and encoded when a member is added to so many."""
    wanted, render_cache = desired_state(), RenderCache()
    wanted.read(dataclasses.replace(wanted.scope, generation=5), [member(n, 5) for n in range(1, count)])
    for number in (count, count + 1):
        graph = wanted.graph()
        assert graph
        render_cache.of(graph, "a", HERE, Beside(), shipped())
        wanted.read(dataclasses.replace(wanted.scope, generation=5 + number), [member(number, 5 + number)])
    made, encoded = render_member.Servers.of, encoding._of_server
    with (
        mock.patch.object(render_member.Servers, "of", autospec=True, side_effect=made) as rendered,
        mock.patch.object(encoding, "_of_server", side_effect=encoded) as encoder,
    ):
        graph = wanted.graph()
        assert graph
        render_cache.of(graph, "a", HERE, Beside(), shipped())
    return rendered.call_count, encoder.call_count
