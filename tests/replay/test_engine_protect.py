# SPDX-License-Identifier: Apache-2.0
"""What is protected, retained or ignored: nothing of it is deleted by the way, and what stays behind is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TRACE = Path(__file__).parent / "traces" / "16-delete-protected"
LB = 'lb = Balancer("lb", subnetId="n1"{})\n'
PROTECTED = ", opts=O(protect=True)"
MEMBERS = 'Member("one", balancerId=lb.id, address="a")\nMember("two", balancerId=lb.id, address="b")\n'


@pytest.mark.parametrize("kind", ["destroy", "preview_destroy"])
def test_a_destroy_deletes_nothing_where_anything_is_protected(kind: str, stack: Any) -> None:
    assert stack.up(LB.format(PROTECTED) + MEMBERS)[0].ok
    before, _ = stack.resources(), stack.calls()
    result, shown = stack.run(kind)
    assert not result.ok
    assert "error: probe:index:Balancer lb: it is protected, so nothing is deleted; take `protect` from it" in shown
    assert stack.mutations() == []
    assert stack.resources() == before
    assert set(stack.cloud()) == {resource["id"] for resource in before.values()}


def test_every_protected_one_is_named(stack: Any) -> None:
    both = 'Member("m", balancerId=lb.id, address="a", opts=O(protect=True))\n'
    assert stack.up(LB.format(PROTECTED) + both)[0].ok
    _, shown = stack.run("destroy")
    assert shown.count("it is protected, so nothing is deleted") == 2


@pytest.mark.parametrize("kind", ["up", "preview"])
def test_an_up_deletes_nothing_where_anything_that_left_the_program_is_protected(kind: str, stack: Any) -> None:
    child = 'Member("child", balancerId=lb.id, address="c", opts=O(parent=lb, protect=True))\n'
    assert stack.up(LB.format("") + MEMBERS + child)[0].ok
    stack.calls()
    stack.program(LB.format(""))
    result, shown = stack.run(kind)
    assert not result.ok
    assert "Member child: it is protected, so nothing is deleted" in shown
    assert stack.mutations() == []
    assert set(stack.resources()) == {"lb", "one", "two", "child"}
    result, shown = stack.up(LB.format("") + child.replace("protect=True", "protect=False"))
    assert result.ok, shown
    assert set(stack.resources()) == {"lb", "child"}
    assert stack.up(LB.format(""))[0].ok
    assert set(stack.resources()) == {"lb"}


def test_pulumi_deletes_the_others_of_a_recorded_step_and_this_engine_does_not(stack: Any) -> None:
    assert stack.up(LB.format("") + MEMBERS.replace('address="b"', 'address="b", opts=O(protect=True)'))[0].ok
    recorded = (TRACE / "calls.jsonl").read_text()
    assert recorded.count("ResourceProvider/Delete") == 1
    stack.calls()
    assert not stack.up(LB.format(""))[0].ok
    assert stack.mutations() == []


@pytest.mark.parametrize("first", [True, False])
def test_protect_is_taken_away_and_the_resource_replaced_in_one(first: bool, stack: Any) -> None:
    text = 'Balancer("lb", subnetId="{net}", opts=O(protect={protect}, delete_before_replace={first}))\n'
    assert stack.up(text.format(net="n1", protect=True, first=first))[0].ok
    result, shown = stack.up(text.format(net="n2", protect=False, first=first))
    assert result.ok, shown
    (found,) = stack.cloud().values()
    assert found["subnetId"] == "n2"
    assert [r["urn"] for r in stack.deployment()["resources"] if r.get("delete")] == []
    assert stack.run("destroy")[0].ok
    assert stack.cloud() == {}


@pytest.mark.parametrize("kind", ["up", "destroy"])
def test_what_an_earlier_engine_left_stuck_goes(kind: str, stack: Any) -> None:
    text = 'Balancer("lb", subnetId="n2")\n'
    assert stack.up(text)[0].ok
    resources = stack.deployment()["resources"]
    new = next(r for r in resources if r["type"] == "probe:index:Balancer")
    old = {**new, "id": "balancer-77", "protect": True, "delete": True}
    stack.seed([*resources, old])
    assert len(stack.cloud()) == 2
    assert stack.run(kind)[0].ok
    assert set(stack.cloud()) == ({new["id"]} if kind == "up" else set())


def test_a_replacement_that_takes_along_what_is_protected_is_refused_and_told(stack: Any) -> None:
    text = (
        'lb = Balancer("lb", subnetId="{net}", opts=O(delete_before_replace=True))\n'
        'inner = Balancer("inner", subnetId=lb.id, opts=O(protect=True))\n'
    )
    assert stack.up(text.format(net="n1"))[0].ok
    stack.calls()
    result, shown = stack.up(text.format(net="n2"))
    assert not result.ok
    assert "lb: it would be replaced, which takes along what is protected: probe:index:Balancer inner" in shown
    assert stack.mutations() == []


def test_what_is_retained_is_not_shown_as_deleted(stack: Any) -> None:
    kept = 'Member("kept", balancerId=lb.id, address="c", opts=O(retain_on_delete=True))\n'
    assert stack.up(LB.format("") + kept + 'Member("gone", balancerId=lb.id, address="d")\n')[0].ok
    stack.program(LB.format(""))
    _, planned = stack.run("preview")
    assert "Member kept retain: no longer in the stack, not deleted at the provider" in planned
    assert "1 to delete" in planned
    assert "1 to retain" in planned
    result, shown = stack.up()
    assert "Member kept retained: no longer in the stack, not deleted at the provider" in shown
    assert "kept deleted" not in shown
    assert "1 deleted" in shown
    assert result.summary.changes["delete"] == 2  # as Pulumi counts
    assert len(stack.cloud()) == 2


def test_a_replacement_says_that_the_old_one_is_retained(stack: Any) -> None:
    text = 'Balancer("lb", subnetId="{net}", opts=O(retain_on_delete=True))\n'
    assert stack.up(text.format(net="n1"))[0].ok
    stack.program(text.format(net="n2"))
    assert "lb replace; the old one is retained: no longer in the stack" in stack.run("preview")[1]
    assert "lb retained: no longer in the stack, not deleted" in stack.up()[1]
    assert len(stack.cloud()) == 2


def test_outputs_that_move_by_themselves_are_no_drift(stack: Any) -> None:
    assert stack.up(LB.format(""))[0].ok
    data = json.loads(stack.cloud_file.read_text())
    data["objects"]["balancer-1"]["status"] = "DEGRADED"
    stack.cloud_file.write_text(json.dumps(data))
    result, shown = stack.run("refresh")
    assert result.ok
    assert not result.summary.changed, shown
    assert stack.resources()["lb"]["outputs"]["status"] == "DEGRADED"
