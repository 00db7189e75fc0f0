# SPDX-License-Identifier: Apache-2.0
"""The desired state, read piece by piece."""

from __future__ import annotations

import dataclasses

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
