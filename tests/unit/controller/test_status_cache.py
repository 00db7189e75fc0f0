# SPDX-License-Identifier: Apache-2.0
"""Operating statuses and their roll-up."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import record, resource, web
from octavia_amphora.wire.config import Configuration, difference
from octavia_amphora.wire.messages import Counters, ListenerState, ServerState, States
from octavia_provider.controller import status_cache as module
from octavia_provider.controller.status_cache import StatusCache, roll_up
from octavia_provider.render.haproxy import Placement, render

CONFIGURATION = render(web(2), Placement(vips=("10.0.0.9",))).configuration


def status_cache(m1: ServerState, m2: ServerState, *, serving: bool = True) -> StatusCache:
    result = StatusCache()
    states = States(
        load_balancer_id="lb", digest="", serving=serving, servers={"pool:web": {"m1": m1, "m2": m2}},
        listeners={"web": ListenerState(counters=Counters(bytes_in=7))},
    )  # fmt: skip
    result.see("amp", CONFIGURATION, states)
    return result


def status(status_cache: StatusCache, kind: str, id_: str, **values: object) -> str:
    return status_cache.operating_status(record(kind, id_, **values))


@pytest.mark.parametrize(
    ("state", "expected"),
    [("up", "ONLINE"), ("down", "ERROR"), ("drain", "DRAINING"), ("maint", "OFFLINE"), ("no_check", "NO_MONITOR")],
)
def test_member(state: ServerState, expected: str) -> None:
    assert status(status_cache(state, "up"), "member", "m1") == expected


def test_pool_and_balancer_are_as_well_as_their_members() -> None:
    assert status(status_cache("up", "up"), "pool", "pool") == "ONLINE"
    assert status(status_cache("up", "down"), "pool", "pool") == "DEGRADED"
    assert status(status_cache("up", "down"), "load_balancer", "lb") == "DEGRADED"
    assert status(status_cache("down", "down"), "pool", "pool") == "ERROR"
    assert status(status_cache("down", "down"), "load_balancer", "lb") == "ERROR"
    assert roll_up([]) == "ONLINE"


def test_nobody_has_seen_it__offline() -> None:
    assert status(StatusCache(), "listener", "web") == "OFFLINE"


def test_switched_off__offline_whatever_is_seen() -> None:
    assert status(status_cache("up", "up"), "listener", "web", admin_state_up=False) == "OFFLINE"


def test_haproxy_dead__error() -> None:
    assert status(status_cache("up", "up", serving=False), "load_balancer", "lb") == "ERROR"
    assert status(status_cache("up", "up", serving=False), "listener", "web") == "OFFLINE"


def test_lost_and_forgotten() -> None:
    seen = status_cache("up", "up")
    seen.lost("lb", "amp")
    assert status(seen, "load_balancer", "lb") == "ERROR"
    assert status(seen, "member", "m1") == "OFFLINE"
    seen.forget("lb")
    assert status(seen, "load_balancer", "lb") == "OFFLINE"
    assert seen.statistics("lb", "web") == Counters()


def test_counters() -> None:
    assert status_cache("up", "up").statistics("lb", "web").bytes_in == 7


# ── several amphorae ─────────────────────────────────────────────────────────────────────────────────────────────────
def pair(first: tuple[ServerState, ServerState], second: tuple[ServerState, ServerState]) -> StatusCache:
    result = StatusCache()
    for amphora_id, (m1, m2) in {"a": first, "b": second}.items():
        says(result, amphora_id, m1, m2)
    return result


def says(
    result: StatusCache, amphora_id: str, m1: ServerState, m2: ServerState, *, serving: bool = True,
    listener: ListenerState | None = None,
) -> None:  # fmt: skip
    states = States(
        load_balancer_id="lb", digest="", serving=serving, servers={"pool:web": {"m1": m1, "m2": m2}},
        listeners={"web": listener or ListenerState(counters=Counters(bytes_in=7, active_connections=1))},
    )  # fmt: skip
    result.see(amphora_id, CONFIGURATION, states)


def test_pair__a_member_is_as_well_as_one_of_them_sees_it() -> None:
    seen = pair(("up", "down"), ("down", "down"))
    assert [status(seen, "member", name) for name in ("m1", "m2")] == ["ONLINE", "ERROR"]
    assert status(seen, "pool", "pool") == status(seen, "load_balancer", "lb") == "DEGRADED"
    assert status(pair(("up", "down"), ("unknown", "up")), "load_balancer", "lb") == "ONLINE"


def test_pair__counters_are_summed_and_each_has_its_own() -> None:
    seen = pair(("up", "up"), ("up", "up"))
    assert seen.statistics("lb", "web") == Counters(bytes_in=14, active_connections=2)
    assert seen.statistics("lb", "web", "a") == Counters(bytes_in=7, active_connections=1)
    assert seen.statistics("lb", "web", "c") == Counters()
    seen.forget_amphora("lb", "a")
    assert seen.statistics("lb", "web") == Counters(bytes_in=7, active_connections=1)


def test_pair__one_that_is_lost_or_does_not_serve_is_not_believed() -> None:
    seen = pair(("up", "up"), ("up", "down"))
    seen.lost("lb", "a")
    assert status(seen, "load_balancer", "lb") == "DEGRADED"
    assert status(seen, "member", "m2") == "ERROR"
    says(seen, "b", "up", "up", serving=False)
    assert status(seen, "load_balancer", "lb") == "ERROR"
    says(seen, "a", "up", "up")
    assert status(seen, "load_balancer", "lb") == status(seen, "listener", "web") == "ONLINE"
    seen.lost("lb", "a")
    seen.lost("lb", "b")
    assert status(seen, "load_balancer", "lb") == "ERROR"
    assert status(seen, "listener", "web") == "OFFLINE"


def test_pair__a_listener_that_is_full_on_one_is_degraded() -> None:
    seen = pair(("up", "up"), ("up", "up"))
    says(seen, "b", "up", "up", listener=ListenerState("full"))
    assert status(seen, "listener", "web") == status(seen, "load_balancer", "lb") == "DEGRADED"


def test_pair__what_is_put_in_force_on_the_second_begins_as_the_first_sees_it() -> None:
    monitor = resource("health_monitor", "hm")
    known = in_force(status_cache("down", "up"), monitor)
    made = web(2)
    made.add(monitor)
    known.applied("new", render(made, Placement(vips=("10.0.0.9",))).configuration)
    assert [status(known, "member", name) for name in ("m1", "m2")] == ["ERROR", "ONLINE"]
    assert known.statistics("lb", "web").bytes_in == 7


# ── just put in force, before any heartbeat ──────────────────────────────────────────────────────────────────────────
def in_force(status_cache: StatusCache, *more: Any, members: int = 2, **pool: Any) -> StatusCache:
    made = web(members, **pool)
    for one in more:
        made.add(one)
    configuration = render(made, Placement(vips=("10.0.0.9",))).configuration
    status_cache.applied("amp", configuration)
    status_cache.stands_aside(made, configuration)
    return status_cache


@pytest.mark.parametrize("type_", ["HTTP", "PING"])
def test_just_applied__everything_is_shown_as_it_begins(type_: str) -> None:
    monitor = resource("health_monitor", "hm", type=type_)
    drained, off = resource("member", "m3", weight=0), resource("member", "m4", admin_state_up=False)
    plain = in_force(StatusCache(), drained, off)
    kinds = ("load_balancer", "lb"), ("listener", "web"), ("pool", "pool"), ("health_monitor", "hm"), ("l7_policy", "p")
    assert {status(plain, *one) for one in kinds} == {"ONLINE"}
    wanted = ["NO_MONITOR", "NO_MONITOR", "DRAINING", "OFFLINE"]
    assert [status(plain, "member", f"m{n}") for n in range(1, 5)] == wanted
    watched = in_force(plain, monitor, drained, off)
    assert [status(watched, "member", f"m{n}") for n in range(1, 5)] == ["ONLINE", "ONLINE", "DRAINING", "OFFLINE"]
    assert status(in_force(watched), "member", "m1") == "NO_MONITOR"  # the monitor has gone


def test_just_applied__what_was_seen_before_still_holds() -> None:
    monitor = resource("health_monitor", "hm")
    known = in_force(status_cache("down", "up"), monitor, members=3)
    assert [status(known, "member", f"m{n}") for n in range(1, 4)] == ["ERROR", "ONLINE", "ONLINE"]
    assert status(known, "pool", "pool") == status(known, "load_balancer", "lb") == "DEGRADED"
    assert known.statistics("lb", "web").bytes_in == 7


def test_just_applied__switched_off_and_on_again() -> None:
    off = in_force(StatusCache(), resource("listener", "web", admin_state_up=False))
    assert status(off, "listener", "web") == "OFFLINE"
    assert status(in_force(off), "listener", "web") == "ONLINE"


def test_a_pool_that_no_listener_sends_to__members_without_a_monitor() -> None:
    aside, member = resource("pool", "aside", listener_id=None), resource("member", "m9", pool_id="aside")
    seen = in_force(StatusCache(), aside, member)
    assert status(seen, "pool", "aside") == "OFFLINE"
    assert status(seen, "member", "m9", pool_id="aside") == "NO_MONITOR"
    assert status(seen, "member", "m9", pool_id="aside", admin_state_up=False) == "OFFLINE"
    watched = in_force(seen, aside, member, resource("health_monitor", "hm", pool_id="aside"))
    assert status(watched, "member", "m9", pool_id="aside") == "OFFLINE"
    in_force(seen, aside, member)
    seen.forget("lb")
    assert status(seen, "member", "m9", pool_id="aside") == "OFFLINE"


# ── a few members changed ────────────────────────────────────────────────────────────────────────────────────────────
def configured(members: dict[str, int]) -> Configuration:
    """Checked members with their weights; -1 for one that is switched off."""
    made = web(0)
    made.add(resource("health_monitor", "hm"))
    for name, weight in members.items():
        made.add(resource("member", name, weight=max(weight, 0), admin_state_up=weight >= 0))
    return render(made, Placement(vips=("10.0.0.9",))).configuration


def said(configuration: Configuration, servers: dict[str, ServerState]) -> States:
    return States("lb", "", True, {"web": ListenerState()}, {"pool:web": servers})


weights = st.dictionaries(st.sampled_from([f"m{n}" for n in range(6)]), st.integers(-1, 2))
checks = st.lists(st.sampled_from(["up", "down"]), min_size=6, max_size=6)


@given(st.lists(st.tuples(weights, checks, checks), min_size=1, max_size=6))
def test_a_delta_leads_to_what_the_whole_configuration_does(steps: list[Any]) -> None:
    known, since = StatusCache(), configured({})
    known.applied("amp", since)
    for members, one, two in steps:
        new = configured({name: members[name] for name in sorted(members)})
        whole = copy.deepcopy(known)
        known.applied("amp", new, since=since, delta=difference(since, new))
        whole.applied("amp", new)
        names = list(new.backends["pool:web"].servers)
        for seen in (known, whole):
            if one != two:
                seen.see("amp", new, said(new, dict(zip(names, one, strict=False))))
                seen.see("amp", new, said(new, dict(zip(names, two, strict=False))))
        shown = [
            {(kind, i): status(seen, kind, i) for kind, i in (*(("member", n) for n in members), ("pool", "pool"), ("load_balancer", "lb"))}
            for seen in (known, whole)
        ]  # fmt: skip
        assert shown[0] == shown[1]
        since = new


def test_a_heartbeat_that_says_what_is_expected_looks_at_no_member() -> None:
    since, new = (configured({f"m{n}": 1 for n in range(count)}) for count in (9, 10))
    known = StatusCache()
    known.applied("amp", since)
    with mock.patch.object(module, "_member", side_effect=module._member) as looked:
        known.applied("amp", new, since=since, delta=difference(since, new))
        known.see("amp", new, said(new, dict.fromkeys(new.backends["pool:web"].servers, "up")))
    assert looked.call_count == 1
    assert status(known, "member", "m9") == "ONLINE"
