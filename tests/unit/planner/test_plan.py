# SPDX-License-Identifier: Apache-2.0
"""The plan of one load balancer, case by case, and that it always comes to an end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from octavia_provider.planner.plan import (
    AddAmphora,
    Boot,
    Desired,
    Discard,
    Observed,
    Push,
    Readdress,
    Step,
    plan,
    sentence,
)
from octavia_provider.ports import Amphora, CloudStep, Instance


def amphora(id_: str) -> Amphora:
    return Amphora(id=id_, load_balancer_id="lb")


def host(id_: str, *, alive: bool = True) -> Instance:
    return Instance(amphora_id=id_, load_balancer_id="lb", agent=("10.0.0.1", 9443), alive=alive)


OPEN, CLOSE = CloudStep("web", "open web"), CloudStep("old", "close old", before=True)


def desired(digest: Mapping[str, str] | None = None, *steps: CloudStep, amphorae: int = 1) -> Desired:
    return Desired(load_balancer_id="lb", amphorae=amphorae, digest=digest or {}, cloud_steps=steps)


def observed(*ids: str, hosts: Mapping[str, Instance] | None = None, **seen: object) -> Observed:
    return Observed(amphorae=tuple(amphora(i) for i in ids), hosts=hosts or {}, **seen)  # type: ignore[arg-type]


def test_nothing_there__an_amphora_is_written_down_before_anything_is_made() -> None:
    assert plan(desired(), observed()) == (AddAmphora(),)


def test_written_down__it_is_booted() -> None:
    assert plan(desired(), observed("a")) == (Boot("a"),)


def test_host_dead__it_is_booted_again() -> None:
    assert plan(desired(), observed("a", hosts={"a": host("a", alive=False)})) == (Boot("a"),)


def test_booted__it_is_pushed_to_then_clients_are_let_in() -> None:
    assert plan(desired({"a": "new"}, OPEN), observed("a", hosts={"a": host("a")})) == (Push("a"), OPEN)


def test_in_force__nothing_to_do() -> None:
    assert plan(desired({"a": "d"}), observed("a", hosts={"a": host("a")}, digests={"a": "d"})) == ()
    assert sentence(()) == "nothing to do"


def test_what_the_cloud_closes_is_closed_before_the_push() -> None:
    seen = observed("a", hosts={"a": host("a")}, digests={"a": "old"})
    assert plan(desired({"a": "new"}, OPEN, CLOSE), seen) == (CLOSE, Push("a"), OPEN)


def test_what_the_cloud_does_needs_no_push() -> None:
    assert plan(desired({"a": "d"}, OPEN), observed("a", hosts={"a": host("a")}, digests={"a": "d"})) == (OPEN,)


def test_a_host_that_nobody_wrote_down_is_left_alone() -> None:
    """It was made by another store: it may be what serves."""
    seen = observed("a", hosts={"a": host("a"), "stray": host("stray")}, digests={"a": "d"})
    assert plan(desired({"a": "d"}), seen) == ()


def test_balancer_gone__everything_goes_and_the_access_to_it_first() -> None:
    seen = observed("a", hosts={"a": host("a"), "b": host("b")})
    assert plan(desired(None, CLOSE, amphorae=0), seen) == (CLOSE, Discard("a"), Discard("b"))


def test_a_sentence_names_what_is_done() -> None:
    steps: tuple[Step, ...] = (AddAmphora(), Push("a"), OPEN)
    assert sentence(steps) == "add an amphora, push to amphora a, open web"


VIPS = ("10.0.0.9", "fd00::9", "10.0.0.10")


def carry_out(wanted: Desired, seen: Observed, step: Step) -> Observed:
    """A perfect world's answer to one step."""
    amphorae, hosts, digests = list(seen.amphorae), dict(seen.hosts), dict(seen.digests)
    match step:
        case AddAmphora():
            amphorae.append(amphora(f"new-{len(amphorae)}"))
        case Boot(id_):
            hosts[id_] = dataclasses.replace(host(id_), vips=wanted.vips)
            digests.pop(id_, None)
        case Readdress(id_, surplus):
            kept = () if surplus else hosts[id_].vips
            hosts[id_] = dataclasses.replace(hosts[id_], vips=tuple({*kept, *wanted.vips}))
        case Push(id_):
            assert set(wanted.vips) <= set(hosts[id_].vips), "a VIP comes before the configuration that binds it"
            digests[id_] = wanted.digest.get(id_, "d")
        case Discard(id_):
            amphorae = [a for a in amphorae if a.id != id_]
            hosts.pop(id_, None)
            digests.pop(id_, None)
    return Observed(amphorae=tuple(amphorae), hosts=hosts, digests=digests)


IDS = st.sampled_from(["a", "b", "c"])
SOME_VIPS = st.lists(st.sampled_from(VIPS), unique=True).map(tuple)


@given(
    st.integers(0, 1), st.lists(IDS, unique=True), st.dictionaries(IDS, st.tuples(st.booleans(), SOME_VIPS)),
    st.dictionaries(IDS, st.sampled_from(["d", "old"])), SOME_VIPS, st.sets(st.sampled_from([OPEN, CLOSE])),
)  # fmt: skip
def test_every_plan_comes_to_an_end_and_then_all_is_as_desired(
    amphorae: int, ids: list[str], there: dict[str, tuple[bool, tuple[str, ...]]], digests: dict[str, str],
    vips: tuple[str, ...], cloud: set[CloudStep],
) -> None:  # fmt: skip
    hosts = {i: dataclasses.replace(host(i, alive=alive), vips=carried) for i, (alive, carried) in there.items()}
    seen = observed(*ids, hosts=hosts, digests=digests)
    to_do = cloud if amphorae else cloud - {OPEN}
    for _ in range(8):
        digest = dict.fromkeys([a.id for a in seen.amphorae], "d")
        goal = dataclasses.replace(desired(digest, *to_do, amphorae=amphorae), vips=vips)
        steps = plan(goal, seen)
        if not steps:
            break
        for step in steps:
            seen = carry_out(goal, seen, step)
            to_do = to_do - {step}
    assert plan(goal, seen) == ()
    assert not to_do
    assert len(seen.amphorae) == amphorae
    orphans = set(there) - set(ids) if amphorae else set()  # left alone
    assert set(seen.hosts) == {a.id for a in seen.amphorae} | orphans
    assert all(set(seen.hosts[a.id].vips) == set(vips) for a in seen.amphorae)


def test_a_vip_that_lacks_comes_before_the_push__one_that_is_too_many_goes_after_it() -> None:
    want = dataclasses.replace(desired({"a": "new"}), vips=("10.0.0.9", "fd00::9"))
    carrying = dataclasses.replace(host("a"), vips=("10.0.0.9", "fd00::8"))
    assert plan(want, observed("a", hosts={"a": carrying})) == (Readdress("a"),)
    both = dataclasses.replace(carrying, vips=("10.0.0.9", "fd00::9", "fd00::8"))
    assert plan(want, observed("a", hosts={"a": both}, digests={"a": "old"})) == (Push("a"),)
    assert plan(want, observed("a", hosts={"a": both}, digests={"a": "new"})) == (Readdress("a", surplus=True),)
    exact = dataclasses.replace(carrying, vips=("fd00::9", "10.0.0.9"))
    assert plan(want, observed("a", hosts={"a": exact}, digests={"a": "new"})) == ()
