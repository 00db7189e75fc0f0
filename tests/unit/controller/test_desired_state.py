# SPDX-License-Identifier: Apache-2.0
"""The desired state, read piece by piece."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import record, scope
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.ports import Record


def desired_state(*records: Record, generation: int = 1, applied: int = 0) -> DesiredState:
    result = DesiredState(scope(generation, applied))
    result.read(scope(generation, applied), [record("load_balancer", "lb"), *records])
    return result


def test_the_graph_has_every_record() -> None:
    graph = desired_state(record("listener", "web"), record("pool", "pool"), record("member", "m")).graph()
    assert graph is not None
    assert list(graph.listeners) == ["web"]
    assert graph.members["pool"]["m"].address == "10.0.0.11"


def test_what_is_being_deleted_is_not_in_it() -> None:
    graph = desired_state(record("listener", "web", deleting=True)).graph()
    assert graph is not None
    assert graph.listeners == {}


def test_a_refused_object_stands_in_its_accepted_form() -> None:
    accepted = {**record("listener", "web").spec, "protocol_port": 8080}
    graph = desired_state(record("listener", "web", accepted=accepted)).graph(refused=["web"])
    assert graph is not None
    assert graph.listeners["web"].protocol_port == 8080


def test_a_refused_object_that_never_was_in_force_is_left_out() -> None:
    graph = desired_state(record("listener", "web")).graph(refused=["web"])
    assert graph is not None
    assert graph.listeners == {}


def test_an_error_of_before_is_remembered_until_the_object_is_written_again() -> None:
    bad = record("listener", "web", error="no", generation=1)
    settled = desired_state(bad, generation=2, applied=1).graph()
    written = desired_state(dataclasses.replace(bad, generation=2), generation=2, applied=1).graph()
    assert settled is not None
    assert written is not None
    assert settled.listeners == {}
    assert list(written.listeners) == ["web"]


def test_a_refused_policy_is_tried_again_when_one_of_its_rules_goes() -> None:
    refused = record("l7_policy", "policy", error="no", generation=1)
    known = desired_state(record("listener", "web"), refused, record("l7_rule", "rule"), generation=1, applied=1)
    assert known.graph().l7_policies == {}  # type: ignore[union-attr]
    known.read(scope(2, 1), [record("l7_rule", "rule", deleting=True, generation=2)])
    assert list(known.graph().l7_policies) == ["policy"]  # type: ignore[union-attr]
    assert "policy" in known.changed()
    known.settled(2, {"policy": refused.spec}, {})
    assert known.records["policy"].error is None


def test_settled_mirrors_the_store() -> None:
    known = desired_state(record("listener", "web"), record("listener", "old", deleting=True), record("pool", "pool"))
    spec = known.records["web"].spec
    known.settled(1, {"web": spec}, {"pool": "no"})
    assert "old" not in known.records
    assert known.records["web"].accepted == spec
    assert known.records["pool"].error == "no"
    assert known.changed() == {}


def test_a_balancer_that_is_being_deleted_is_gone() -> None:
    known = DesiredState(scope())
    assert known.gone
    known.read(scope(), [record("load_balancer", "lb", deleting=True)])
    assert known.gone
    assert known.graph() is None


def test_an_object_is_built_once() -> None:
    known = desired_state(record("listener", "web"))
    first, second = known.graph(), known.graph()
    assert first is not None
    assert second is not None
    assert first.listeners["web"] is second.listeners["web"]


OBJECTS = {
    "lb": "load_balancer", "web": "listener", "tls": "listener", "pool": "pool", "spare": "pool", "check": "health_monitor",
    "policy": "l7_policy", "rule": "l7_rule", **{f"m{number}": "member" for number in range(4)},
}  # fmt: skip
MORE = {
    "lb": {}, "tls": {"default_tls_container_ref": "certificate"}, "spare": {"listener_id": None},
    "m3": {"pool_id": "spare"}, "m2": {"pool_id": "spare"},
}  # fmt: skip
ids = st.sampled_from(list(OBJECTS))
some, asked = st.sets(ids, max_size=4), st.sampled_from([set(), set(), {"m0"}, {"web"}, {"rule"}])
moves = st.one_of(
    st.tuples(st.just("write"), st.lists(ids, max_size=3), st.sampled_from([True, True, True, False])),
    st.tuples(st.just("delete"), st.lists(ids, max_size=2)),
    st.tuples(st.just("settle"), some, some),
    st.tuples(st.just("settled by another")),
)  # fmt: skip


class Written:
    """A desired state that is written to piece by piece."""

    def __init__(self) -> None:
        self.state = DesiredState(scope(0, 0))
        self.container: Record | None = None
        self.names = itertools.count()

    def write(self, chosen: list[str], with_container: bool) -> None:
        self.container = record("member", "certificate") if with_container else None
        if self.container is not None:
            spec = {"name": "c", "certificate": "x"}
            self.container = dataclasses.replace(self.container, kind="tls_container", spec=spec)
        now = self.state.generation + 1
        values = [(i, {**MORE.get(i, {}), "name": str(next(self.names))}) for i in dict.fromkeys(chosen)]
        known = self.state.records
        self._read(
            [
                dataclasses.replace(record(OBJECTS[i], i, generation=now, **v), accepted=known[i].accepted if i in known else None)
                for i, v in values
            ]
        )  # fmt: skip

    def delete(self, chosen: list[str]) -> None:
        known = [self.state.records[i] for i in dict.fromkeys(chosen) if i in self.state.records]
        now = self.state.generation + 1
        self._read([dataclasses.replace(one, deleting=True, generation=now) for one in known])

    def _read(self, records: list[Record]) -> None:
        self.state.read(scope(self.state.generation + 1, self.state.scope.applied), records, lambda _: self.container)

    def settle(self, good: set[str], bad: set[str]) -> None:
        records = self.state.records
        accepted = {i: records[i].spec for i in good if i in records and not records[i].deleting}
        self.state.settled(self.state.generation, accepted, {i: "no" for i in bad if i in records})

    def settled_by_another(self) -> None:
        self.state.read(scope(self.state.generation, self.state.generation), [], lambda _: self.container)


def shape(graph: object) -> object:
    """A graph with the order of what is in it (that of groups and of monitors means nothing)."""
    if graph is None:
        return None
    plain = {f.name: getattr(graph, f.name) for f in dataclasses.fields(graph) if f.compare}  # type: ignore[arg-type]
    ordered = {name: list(plain[name]) for name in ("listeners", "pools", "l7_policies")}
    groups = {name: {i: list(one) for i, one in plain[name].items()} for name in ("members", "l7_rules")}
    return plain, ordered, groups


@given(st.lists(st.tuples(moves, asked, asked), max_size=25))
def test_the_graph_of_many_small_changes_is_that_of_all_records_at_once(
    steps: list[tuple[tuple[Any, ...], set[str], set[str]]],
) -> None:
    written = Written()
    written.write(list(OBJECTS), True)
    for (step, *told), refused, dropped in steps:
        state = written.state
        state.graph(refused, dropped)
        getattr(written, step.replace(" ", "_"))(*told)
        whole = DesiredState(state.scope, dict(state.records), state.generation, dict(state.containers))
        assert shape(state.graph(refused, dropped)) == shape(whole.graph(refused, dropped))
        pending = {i for i, r in state.records.items() if r.generation > state.scope.applied and not r.deleting}
        assert set(state.changed()) == pending


def test_a_change_looks_at_what_changed_and_shares_the_rest() -> None:
    many = [record("member", f"m{number}") for number in range(50)]
    known = desired_state(record("listener", "web"), record("pool", "pool"), record("pool", "other"), *many,
                          record("member", "theirs", pool_id="other"))  # fmt: skip
    before = known.graph()
    known.read(scope(2, 1), [record("member", "new", generation=2)])
    after = known.graph()
    assert before is not None
    assert after is not None
    assert after.lineage is not None
    assert (after.lineage.identity, after.lineage.removed) == (before.identity, ())
    assert [one.id for one in after.lineage.added] == ["new"]
    assert after.members["other"] is before.members["other"]
    assert "new" not in before.members["pool"]
    assert all(after.members["pool"][one.id] is before.members["pool"][one.id] for one in many)
