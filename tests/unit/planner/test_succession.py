# SPDX-License-Identifier: Apache-2.0
"""Amphorae that are replaced: one by one, by a pair, by one alone. Somebody has the VIPs at each step."""

from __future__ import annotations

import dataclasses

import pytest

from octavia_provider.planner.plan import Boot, Desired, Discard, Drain, HandOver, Observed, Push, Retire, Step, plan
from octavia_provider.planner.succession import succession
from octavia_provider.ports import DRAIN, Amphora
from unit.planner.world import PAIR, SINGLE, VIP, amphora, desired, host, steps_to_the_end

READY = {"status": "ALLOCATED"}


def wanted(roles: tuple[str, ...]) -> Desired:
    return dataclasses.replace(desired(roles=roles), vips=(VIP,))


def standing(*amphorae: Amphora, owner: str | None = None) -> Observed:
    """They serve."""
    instances = {a.id: host(a.id, **{"vips" if a.role == "STANDALONE" else "shared": (VIP,)}) for a in amphorae}
    return Observed(amphorae=amphorae, instances=instances, digests=dict.fromkeys(instances, "d"), owner=owner)


def one(**facts: object) -> Amphora:
    return amphora("a", **READY, **facts)


def both(**facts: object) -> tuple[Amphora, Amphora]:
    return amphora("m", "MASTER", **READY, **facts), amphora("b", "BACKUP", **READY, **facts)


STARTS = {
    "one is replaced": (SINGLE, standing(one(retiring=True)), set()),
    "one becomes a pair": (PAIR, standing(one()), {"a"}),
    "a pair becomes one": (SINGLE, standing(*both(), owner="m"), {"m"}),
    "both of a pair are replaced": (PAIR, standing(*both(retiring=True), owner="m"), set()),
    "the owner of a pair is replaced": (PAIR, standing(amphora("m", "MASTER", retiring=True, **READY), both()[1], owner="m"), {"b"}),
    "nobody knows the owner": (PAIR, standing(amphora("m", "MASTER", retiring=True, **READY), both()[1]), {"b"}),
    "another flavor": (PAIR, standing(*both(flavor={"compute_flavor": "small"}), owner="b"), set()),
}  # fmt: skip


def reachable(seen: Observed, owner: str | None) -> bool:
    """Whether what is sent to the VIP arrives where a configuration is in force."""
    for amphora_ in seen.amphorae:
        instance = seen.instances.get(amphora_.id)
        if instance is None or not instance.alive or amphora_.id not in seen.digests:
            continue
        if VIP in instance.vips or (amphora_.id == owner and VIP in instance.shared):
            return True
    return False


@pytest.mark.parametrize(("roles", "seen", "stay"), STARTS.values(), ids=STARTS.keys())
def test_somebody_has_the_vip_at_each_step_and_in_the_end_those_that_are_wanted(
    roles: tuple[str, ...], seen: Observed, stay: set[str]
) -> None:
    before, taken = {a.id for a in seen.amphorae}, list[Step]()
    owner = seen.owner or ("m" if "m" in before else None)
    for step, after in steps_to_the_end(wanted(roles), seen):
        seen = after
        taken.append(step)
        if isinstance(step, Push) and owner is None and roles == PAIR:
            owner = step.amphora_id  # VRRP elects one of those that have heard of it
        owner = step.amphora_id if isinstance(step, HandOver) else owner
        assert reachable(seen, owner), taken
    assert sorted(a.role for a in seen.amphorae) == sorted(roles)
    assert {a.id for a in seen.amphorae} & before == stay
    assert not any(a.retiring for a in seen.amphorae)
    carries = {True: {"vips": (), "shared": (VIP,)}, False: {"vips": (VIP,), "shared": ()}}[roles == PAIR]
    assert all({"vips": one.vips, "shared": one.shared} == carries for one in seen.instances.values())


def test_a_pair_is_replaced_one_after_the_other__first_the_one_that_does_not_serve() -> None:
    taken = [step for step, _ in steps_to_the_end(wanted(PAIR), STARTS["both of a pair are replaced"][1])]
    order = [step for step in taken if isinstance(step, Boot | HandOver | Drain | Discard)]
    assert [type(step) for step in order] == [Boot, Drain, Discard, Boot, HandOver, Drain, Discard]
    assert [step.amphora_id for step in order if isinstance(step, Discard)] == ["b", "m"]


def test_a_lost_one_of_a_pair_is_replaced_and_not_waited_for() -> None:
    seen = standing(*both(), owner="m")
    del seen.instances["m"]  # type: ignore[attr-defined]
    assert plan(wanted(PAIR), seen) == (Retire("m"),)
    taken = [step for step, _ in steps_to_the_end(wanted(PAIR), seen)]
    assert not any(isinstance(step, HandOver | Drain) for step in taken)
    assert Discard("m") in taken


def test_an_agent_that_does_not_come_back_condemns_its_amphora_only_while_another_one_works() -> None:
    goal = dataclasses.replace(wanted(PAIR), digest={"m": "d", "b": "d"})
    seen = dataclasses.replace(standing(*both(), owner="m"), suspects=frozenset({"b"}), unrecoverable=frozenset({"b"}))
    assert plan(goal, seen) == (Retire("b", "its agent does not come back"),)
    both_silent = dataclasses.replace(seen, suspects=frozenset({"b", "m"}), unrecoverable=frozenset({"b", "m"}))
    assert not any(isinstance(step, Retire) for step in plan(goal, both_silent))


def test_preferred_is_who_has_the_vips_already__else_one_that_has_a_configuration() -> None:
    goal, seen = wanted(PAIR), standing(*both(), amphora("old", "MASTER", retiring=True, **READY), owner="b")
    assert succession(goal, seen).preferred == "b"
    seen = dataclasses.replace(seen, owner="old", digests={"b": "d"})
    assert succession(goal, seen).preferred == "b"
    assert succession(goal, standing(*both(), owner="m")).preferred is None


def test_another_one_takes_the_vips_where_the_first_fails_to() -> None:
    goal = wanted(PAIR)
    seen = standing(*both(), amphora("old", "MASTER", retiring=True, **READY), owner="old")
    goal = dataclasses.replace(goal, digest=dict(seen.digests))
    assert plan(goal, seen) == (HandOver("m"),)
    assert plan(goal, dataclasses.replace(seen, failing=frozenset({"m"}))) == (HandOver("b"),)
    assert plan(goal, dataclasses.replace(seen, failing=frozenset({"m", "b"}))) == ()
    taken = dataclasses.replace(seen, failing=frozenset({"m"}), owner="b")
    assert plan(goal, taken) == (), "the old one stays until both serve"


def drained(amphora_: Amphora) -> Amphora:
    return dataclasses.replace(amphora_, requests=frozenset({DRAIN}))


def test_one_that_is_drained_is_not_preferred__and_the_other_one_is_as_long_as_it_works() -> None:
    master, backup = both()
    goal = wanted(PAIR)
    assert succession(goal, standing(master, backup, owner="m")).preferred is None
    seen = standing(drained(master), backup, owner="m")
    assert succession(goal, seen).preferred == "b"
    assert succession(goal, dataclasses.replace(seen, owner="b")).preferred == "b"
    assert succession(goal, dataclasses.replace(seen, suspects=frozenset({"b"}))).preferred is None
    assert succession(goal, standing(drained(master), drained(backup), owner="m")).preferred is None
    by_itself = dataclasses.replace(seen, instances={**seen.instances, "m": host("m", vips=(VIP,), shared=(VIP,))})
    assert succession(goal, by_itself).preferred is None, "it would answer for the VIP beside the one that takes it"


def test_who_serves_hears_of_one_that_joins_before_that_one_begins() -> None:
    goal, seen = wanted(PAIR), standing(*both(), owner="b")
    goal = dataclasses.replace(goal, digest={"m": "new", "b": "new"})
    assert plan(goal, dataclasses.replace(seen, digests={"b": "d"})) == (Push("b"),)
    assert plan(goal, dataclasses.replace(seen, digests={"b": "new"})) == (Push("m"),)
    assert plan(goal, dataclasses.replace(seen, digests={})) == (Push("m"), Push("b")), "made together"
