# SPDX-License-Identifier: Apache-2.0
"""The plan of one load balancer, case by case, and that it always comes to an end."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from octavia_provider.planner.plan import (
    AddAmphora,
    AllocateVips,
    Boot,
    Discard,
    Drain,
    HandOver,
    Observed,
    Push,
    Readdress,
    Recast,
    RecoverAgent,
    ReleaseVips,
    RenewCertificate,
    Step,
    plan,
    sentence,
    served,
)
from octavia_provider.planner.succession import carried
from octavia_provider.ports import CloudStep
from unit.planner.world import PAIR, SINGLE, amphora, carry_out, desired, host, observed, written_down

OPEN, CLOSE = CloudStep("web", "open web"), CloudStep("old", "close old", before=True)


def test_nothing_there__an_amphora_is_written_down_before_anything_is_made() -> None:
    assert plan(desired(), observed()) == (AddAmphora("STANDALONE"),)


def test_written_down__it_is_booted() -> None:
    assert plan(desired(), observed("a")) == (Boot("a"),)


def test_host_dead__it_is_booted_again() -> None:
    assert plan(desired(), observed("a", instances={"a": host("a", alive=False)})) == (Boot("a"),)


def test_booted__it_is_pushed_to_then_clients_are_let_in() -> None:
    assert plan(desired({"a": "new"}, OPEN), observed("a", instances={"a": host("a")})) == (Push("a"), OPEN)


def test_it_runs_and_was_not_written_down_as_made__it_serves_first_and_is_found_made() -> None:
    """Its agent came up late, or the control plane ended meanwhile."""
    late = dataclasses.replace(amphora("a"), status="BOOTING")
    seen = dataclasses.replace(observed("a", instances={"a": host("a")}), amphorae=(late,))
    assert plan(desired({"a": "new"}), seen) == (Push("a"),)
    assert plan(desired({"a": "new"}), dataclasses.replace(seen, digests={"a": "new"})) == (Boot("a"),)


def test_in_force__nothing_to_do() -> None:
    assert plan(desired({"a": "d"}), observed("a", instances={"a": host("a")}, digests={"a": "d"})) == ()
    assert sentence(()) == "nothing to do"


def test_what_the_cloud_closes_is_closed_before_the_push() -> None:
    seen = observed("a", instances={"a": host("a")}, digests={"a": "old"})
    assert plan(desired({"a": "new"}, OPEN, CLOSE), seen) == (CLOSE, Push("a"), OPEN)


def test_what_the_cloud_does_needs_no_push() -> None:
    assert plan(desired({"a": "d"}, OPEN), observed("a", instances={"a": host("a")}, digests={"a": "d"})) == (OPEN,)


def test_a_host_that_nobody_wrote_down_is_left_alone() -> None:
    """It was made by another store: it may be what serves."""
    seen = observed("a", instances={"a": host("a"), "stray": host("stray")}, digests={"a": "d"})
    assert plan(desired({"a": "d"}), seen) == ()


def test_balancer_gone__everything_goes_and_the_access_to_it_first() -> None:
    seen = observed("a", instances={"a": host("a"), "b": host("b")})
    assert plan(desired(None, CLOSE, roles=()), seen) == (CLOSE, Discard("a"), Discard("b"))


def test_a_sentence_names_what_is_done() -> None:
    steps: tuple[Step, ...] = (AddAmphora("MASTER"), Push("a"), OPEN)
    assert sentence(steps) == "add an amphora (MASTER), push to amphora a, open web"


VIPS = ("10.0.0.9", "fd00::9", "10.0.0.10")


IDS = st.sampled_from(["a", "b", "c"])
SOME_VIPS = st.lists(st.sampled_from(VIPS), unique=True).map(tuple)
ROLES = st.sampled_from([(), SINGLE, PAIR, ("MASTER", "BACKUP", "BACKUP")])


@settings(max_examples=400)
@given(
    ROLES, st.dictionaries(IDS, st.tuples(st.sampled_from(["STANDALONE", "MASTER", "BACKUP"]), st.booleans())),
    st.dictionaries(IDS, st.tuples(st.booleans(), SOME_VIPS, SOME_VIPS)), st.dictionaries(IDS, st.sampled_from(["d", "old"])),
    SOME_VIPS, st.sets(st.sampled_from([OPEN, CLOSE])), st.sets(IDS), st.sets(IDS), st.none() | IDS,
)  # fmt: skip
def test_every_plan_comes_to_an_end_and_then_all_is_as_desired(
    roles: tuple[str, ...], known: dict[str, tuple[str, bool]], there: dict[str, tuple[bool, tuple[str, ...], tuple[str, ...]]],
    digests: dict[str, str], vips: tuple[str, ...], cloud: set[CloudStep], suspects: set[str], due: set[str], owner: str | None,
) -> None:  # fmt: skip
    instances = {
        i: dataclasses.replace(host(i, alive=alive), vips=vips, shared=shared)
        for i, (alive, vips, shared) in there.items()
    }
    seen = Observed(
        amphorae=tuple(dataclasses.replace(amphora(i, role), retiring=r) for i, (role, r) in known.items()),
        instances=instances, digests=digests, suspects=frozenset(suspects), due=frozenset(due), owner=owner,
    )  # fmt: skip
    to_do = cloud if roles else cloud - {OPEN}
    for _ in range(60):
        digest = dict.fromkeys([a.id for a in seen.amphorae], "d")
        goal = dataclasses.replace(desired(digest, *to_do, roles=roles), vips=vips)
        steps = plan(goal, seen)
        if not steps:
            break
        for step in steps:
            seen = carry_out(goal, seen, step)
            to_do = to_do - {step}
    assert plan(goal, seen) == ()
    assert not to_do
    assert sorted(a.role for a in seen.amphorae) == sorted(roles)
    assert not any(a.retiring for a in seen.amphorae)
    orphans = set(there) - set(known) if roles else set()  # left alone
    assert set(seen.instances) == {a.id for a in seen.amphorae} | orphans
    how = roles != SINGLE
    assert all(carried(seen.instances[a.id]) == {(vip, how) for vip in vips} for a in seen.amphorae)
    assert served(goal, seen) == bool(roles)


# ── addresses that have to be asked for ──────────────────────────────────────────────────────────────────────────────
def test_addresses_come_before_amphorae_and_go_after_them() -> None:
    assert plan(desired(), observed(allocated=False)) == (AllocateVips(),)
    seen = observed("a", instances={"a": host("a")}, digests={"a": "d"}, release=("10.0.0.9",))
    assert plan(desired({"a": "d"}), seen) == (ReleaseVips(("10.0.0.9",)),)
    assert served(desired({"a": "d"}), seen), "nobody waits for that"
    assert plan(desired({"a": "new"}), seen) == (Push("a"),)
    gone = observed("a", instances={"a": host("a")}, release=(), allocated=False)
    assert plan(desired(roles=()), gone) == (Discard("a"),)
    assert plan(desired(roles=()), observed(release=())) == (ReleaseVips(),)
    assert sentence((AllocateVips(), ReleaseVips(), ReleaseVips(("x", "y")))) == (
        "allocate the VIPs, release the VIPs, release all addresses but x, y"
    )


# ── several amphorae ─────────────────────────────────────────────────────────────────────────────────────────────────
def pair(**seen: object) -> Observed:
    both = (amphora("m", "MASTER"), amphora("b", "BACKUP"))
    known = {"instances": {"m": host("m"), "b": host("b")}, "digests": {"m": "d", "b": "d"}}
    return written_down(Observed(amphorae=both, **{**known, **seen}))  # type: ignore[arg-type]


WANTED = desired({"m": "d", "b": "d"}, roles=PAIR)


def test_pair__both_are_written_down_booted_and_pushed_to_at_once() -> None:
    assert plan(WANTED, observed()) == (AddAmphora("MASTER"), AddAmphora("BACKUP"))
    assert plan(WANTED, pair(instances={}, digests={})) == (Boot("m"), Boot("b"))
    assert plan(WANTED, pair(digests={})) == (Push("m"), Push("b"))
    assert plan(WANTED, pair()) == ()


def test_pair__the_one_that_works_has_the_newest_configuration_before_the_other_is_repaired() -> None:
    seen = pair(instances={"m": host("m"), "b": host("b", alive=False)}, digests={"m": "old"})
    assert plan(WANTED, seen) == (Push("m"),)
    assert not served(WANTED, seen)
    pushed = pair(instances={"m": host("m"), "b": host("b", alive=False)}, digests={"m": "d"})
    assert plan(WANTED, pushed) == (Boot("b"),)
    assert served(WANTED, pushed)


def test_pair__a_silent_agent_is_looked_after_last__alone_it_is_looked_after_first() -> None:
    assert plan(WANTED, pair(digests={"m": "old"}, suspects=frozenset({"b"}))) == (Push("m"),)
    assert plan(WANTED, pair(suspects=frozenset({"b"}))) == (RecoverAgent("b"),)
    alone = observed("a", instances={"a": host("a")}, digests={"a": "old"}, suspects=frozenset({"a"}))
    assert plan(desired({"a": "d"}), alone) == (RecoverAgent("a"),)


def test_a_certificate_is_renewed_when_all_else_is_done() -> None:
    due = frozenset({"m"})
    assert plan(WANTED, pair(digests={"m": "d", "b": "old"}, due=due)) == (Push("b"),)
    assert plan(WANTED, pair(due=due)) == (RenewCertificate("m"),)
    assert served(WANTED, pair(due=due))


def test_pair__one_that_has_just_failed_is_left_aside() -> None:
    seen = pair(digests={"m": "d", "b": "old"}, failing=frozenset({"b"}))
    assert plan(WANTED, seen) == ()
    assert served(WANTED, seen)
    assert not served(WANTED, pair(failing=frozenset({"m", "b"})))


def test_roles_that_are_not_wanted_any_more_go_when_the_others_serve() -> None:
    both = (amphora("a"), amphora("m", "MASTER"), amphora("b", "BACKUP"))
    instances = {i: host(i) for i in "amb"}
    seen = written_down(Observed(amphorae=both, instances=instances, digests={"m": "d", "b": "old"}))
    assert plan(WANTED, seen) == (Recast("a", "MASTER"),), "so that it hands the VIPs over by VRRP"
    seen = dataclasses.replace(seen, amphorae=(amphora("a", "MASTER", retiring=True), *seen.amphorae[1:]))
    assert plan(WANTED, seen) == (Push("b"),)
    seen = dataclasses.replace(seen, digests={"m": "d", "b": "d"})
    assert plan(WANTED, seen) == (HandOver("m"),)
    assert not served(WANTED, seen), "an amphora is still to go"
    seen = dataclasses.replace(seen, owner="b")
    assert plan(WANTED, seen) == (Drain("a"),)
    assert plan(WANTED, dataclasses.replace(seen, drained=frozenset({"a"}))) == (Discard("a"),)


def test_a_vip_that_lacks_comes_before_the_push__one_that_is_too_many_goes_after_it() -> None:
    want = dataclasses.replace(desired({"a": "new"}), vips=("10.0.0.9", "fd00::9"))
    carrying = dataclasses.replace(host("a"), vips=("10.0.0.9", "fd00::8"))
    assert plan(want, observed("a", instances={"a": carrying})) == (Readdress("a"),)
    both = dataclasses.replace(carrying, vips=("10.0.0.9", "fd00::9", "fd00::8"))
    assert plan(want, observed("a", instances={"a": both}, digests={"a": "old"})) == (Push("a"),)
    assert plan(want, observed("a", instances={"a": both}, digests={"a": "new"})) == (Readdress("a", surplus=True),)
    exact = dataclasses.replace(carrying, vips=("fd00::9", "10.0.0.9"))
    assert plan(want, observed("a", instances={"a": exact}, digests={"a": "new"})) == ()
