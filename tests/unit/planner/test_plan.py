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
    Publish,
    Push,
    Readdress,
    Step,
    Withdraw,
    plan,
    sentence,
)
from octavia_provider.ports import Amphora, Instance, Publication


def amphora(id_: str) -> Amphora:
    return Amphora(id=id_, load_balancer_id="lb")


def host(id_: str, *, alive: bool = True) -> Instance:
    return Instance(amphora_id=id_, load_balancer_id="lb", agent=("10.0.0.1", 9443), alive=alive)


def publication(id_: str, port: int = 80) -> Publication:
    return Publication(
        listener_id=id_, load_balancer_id="lb", address="127.0.0.9", port=port, target=("10.0.0.2", port)
    )


def desired(digest: Mapping[str, str] | None = None, *publications: Publication, amphorae: int = 1) -> Desired:
    return Desired(load_balancer_id="lb", amphorae=amphorae, digest=digest or {}, publications=publications)


def observed(*ids: str, hosts: Mapping[str, Instance] | None = None, **seen: object) -> Observed:
    return Observed(amphorae=tuple(amphora(i) for i in ids), hosts=hosts or {}, **seen)  # type: ignore[arg-type]


def test_nothing_there__an_amphora_is_written_down_before_anything_is_made() -> None:
    assert plan(desired(), observed()) == (AddAmphora(),)


def test_written_down__it_is_booted() -> None:
    assert plan(desired(), observed("a")) == (Boot("a"),)


def test_host_dead__it_is_booted_again() -> None:
    assert plan(desired(), observed("a", hosts={"a": host("a", alive=False)})) == (Boot("a"),)


def test_booted__it_is_pushed_to_then_published() -> None:
    wanted = desired({"a": "new"}, publication("web"))
    assert plan(wanted, observed("a", hosts={"a": host("a")})) == (Push("a"), Publish(publication("web")))


def test_in_force__nothing_to_do() -> None:
    wanted = desired({"a": "d"}, publication("web"))
    seen = observed("a", hosts={"a": host("a")}, digests={"a": "d"}, publications=(publication("web"),))
    assert plan(wanted, seen) == ()
    assert sentence(()) == "nothing to do"


def test_a_listener_that_left_is_withdrawn_before_the_push() -> None:
    seen = observed("a", hosts={"a": host("a")}, digests={"a": "old"}, publications=(publication("web"),))
    assert plan(desired({"a": "new"}), seen) == (Withdraw("web"), Push("a"))


def test_a_listener_that_moved_is_published_again_without_being_withdrawn() -> None:
    wanted = desired({"a": "d"}, publication("web", 81))
    seen = observed("a", hosts={"a": host("a")}, digests={"a": "d"}, publications=(publication("web", 80),))
    assert plan(wanted, seen) == (Publish(publication("web", 81)),)


def test_a_host_that_nobody_wrote_down_is_left_alone() -> None:
    """It was made by another store: it may be what serves."""
    seen = observed("a", hosts={"a": host("a"), "stray": host("stray")}, digests={"a": "d"})
    assert plan(desired({"a": "d"}), seen) == ()


def test_balancer_gone__everything_goes_and_publications_first() -> None:
    seen = observed("a", hosts={"a": host("a"), "b": host("b")}, publications=(publication("web"),))
    assert plan(desired(amphorae=0), seen) == (Withdraw("web"), Discard("a"), Discard("b"))


def test_a_sentence_names_what_is_done() -> None:
    steps: tuple[Step, ...] = (Push("a"), Publish(publication("web")))
    assert sentence(steps) == "push to amphora a, publish listener web at 127.0.0.9:80"


def carry_out(wanted: Desired, seen: Observed, step: Step) -> Observed:
    """A perfect world's answer to one step."""
    amphorae, hosts, digests = list(seen.amphorae), dict(seen.hosts), dict(seen.digests)
    published = list(seen.publications)
    match step:
        case AddAmphora():
            amphorae.append(amphora(f"new-{len(amphorae)}"))
        case Boot(id_):
            hosts[id_] = host(id_)
            digests.pop(id_, None)
        case Push(id_):
            digests[id_] = wanted.digest.get(id_, "d")
        case Publish(p):
            published = [q for q in published if q.listener_id != p.listener_id] + [p]
        case Withdraw(id_):
            published = [q for q in published if q.listener_id != id_]
        case Discard(id_):
            amphorae = [a for a in amphorae if a.id != id_]
            hosts.pop(id_, None)
            digests.pop(id_, None)
    return Observed(amphorae=tuple(amphorae), hosts=hosts, digests=digests, publications=tuple(published))


IDS = st.sampled_from(["a", "b", "c"])
PUBLICATIONS = st.lists(
    st.builds(publication, st.sampled_from(["x", "y"]), st.sampled_from([80, 81])), unique_by=lambda p: p.listener_id
)


@given(
    st.integers(0, 1), st.lists(IDS, unique=True), st.dictionaries(IDS, st.booleans()),
    st.dictionaries(IDS, st.sampled_from(["d", "old"])), PUBLICATIONS, PUBLICATIONS,
)  # fmt: skip
def test_every_plan_comes_to_an_end_and_then_all_is_as_desired(
    amphorae: int, ids: list[str], alive: dict[str, bool], digests: dict[str, str],
    wanted: list[Publication], published: list[Publication],
) -> None:  # fmt: skip
    hosts = {i: host(i, alive=a) for i, a in alive.items()}
    seen = observed(*ids, hosts=hosts, digests=digests, publications=tuple(published))
    for _ in range(6):
        digest = dict.fromkeys([a.id for a in seen.amphorae], "d")
        goal = desired(digest, *(wanted if amphorae else []), amphorae=amphorae)
        steps = plan(goal, seen)
        if not steps:
            break
        for step in steps:
            seen = carry_out(goal, seen, step)
    assert plan(goal, seen) == ()
    assert len(seen.amphorae) == amphorae
    orphans = set(alive) - set(ids) if amphorae else set()  # left alone
    assert set(seen.hosts) == {a.id for a in seen.amphorae} | orphans
    assert sorted(seen.publications, key=str) == sorted(wanted if amphorae else [], key=str)


def test_a_vip_that_lacks_comes_before_the_push__one_that_is_too_many_goes_after_it() -> None:
    want = dataclasses.replace(desired({"a": "new"}), vips=("10.0.0.9", "fd00::9"))
    carrying = dataclasses.replace(host("a"), vips=("10.0.0.9", "fd00::8"))
    assert plan(want, observed("a", hosts={"a": carrying})) == (Readdress("a"),)
    both = dataclasses.replace(carrying, vips=("10.0.0.9", "fd00::9", "fd00::8"))
    assert plan(want, observed("a", hosts={"a": both}, digests={"a": "old"})) == (Push("a"),)
    assert plan(want, observed("a", hosts={"a": both}, digests={"a": "new"})) == (Readdress("a", surplus=True),)
    exact = dataclasses.replace(carrying, vips=("fd00::9", "10.0.0.9"))
    assert plan(want, observed("a", hosts={"a": exact}, digests={"a": "new"})) == ()
