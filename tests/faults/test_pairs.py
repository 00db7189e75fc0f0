# SPDX-License-Identifier: Apache-2.0
"""A pair after whatever happens to it under traffic: one owner, two amphorae that have the newest generation, nothing left over;
and what is done on purpose fails no request. How long an outage takes is measured by ``make bench``."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.analysis import report
from faults.conftest import COST
from faults.generations import GenerationRecorder, backwards, newest
from faults.measure import measure_outage
from faults.openloop import Client
from faults.our_faults import DELIBERATE, HARMLESS
from faults.our_pair import OctaviaPair, agents, member_host, site_of_pairs, small_disk
from faults.ownership import overlaps
from faults.pair import FAULTS
from faults.partition import deaf
from netns.installation import until
from octavia_provider.client import events
from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.kit import paths

pytestmark = pytest.mark.timeout(150)
RATE, PATIENCE = 200.0, 10.0
"""Requests a second, and after how many seconds one is lost: a machine that is busy with other tests is slow."""


@pytest.fixture(scope="module")
def pair() -> Iterator[OctaviaPair]:
    with small_disk() as disk, site_of_pairs(disk / "home") as site:
        made = OctaviaPair(site)
        with made.recorder:
            made.watch()
            made.add_member(member_host(site, made.network))
            yield made


Tell = Callable[[str, object], None]


def through(pair: OctaviaPair, name: str, tell: Tell, *, timeout: float) -> tuple[int, int]:
    """Let it happen, and look at what does not depend on time; how many requests of both clients were lost."""
    until(pair.restored, what="the pair to be whole before", seconds=60)
    pair.watch()
    owner = pair.owner()
    act = {**FAULTS, **HARMLESS, **DELIBERATE}[name]
    with GenerationRecorder(pair.id, lambda: pair.amphorae) as generations:
        found = measure_outage(pair, name, act, rate=RATE, timeout=timeout, patience=90.0)
        pair.repair(owner)
        until(pair.restored, what="the pair to be whole again", seconds=60)
        pair.change()
        until(lambda: same_generation(generations, pair), what="both amphorae to have the newest generation")
    cost = found.new
    tell(COST, (f"pair: {name}", cost.gap, cost.lost, cost.late, cost.requests, cost.errors))
    assert cost.requests > 0
    assert found.new.server_errors == found.kept.server_errors == 0, (found.new, found.kept)
    assert backwards(generations.history) == []
    late = [one for one in overlaps(found.history, found.since + found.over) if one.until >= found.since + found.over]
    assert late == [], "two owners, and that is how it stayed"
    nothing_left_over(pair)
    return found.new.lost, found.kept.lost


def same_generation(generations: GenerationRecorder, pair: OctaviaPair) -> bool:
    generations.look()
    last = newest(generations.history)
    return len({last.get(name) for name in pair.agents()}) == 1


def nothing_left_over(pair: OctaviaPair) -> None:
    """The cloud has two amphorae, each with one agent."""
    known = sorted(one["id"] for one in pair.listed())
    assert len(known) == 2
    until(lambda: asyncio.run(amphorae_of(pair.site.home)) == known, what=f"the cloud to have {known} alone")
    until(lambda: sorted(agents(pair.site.holder)) == known, what=f"agents of {known} alone")


async def amphorae_of(home: Path) -> list[str]:
    cloud = NetnsCloud(home)
    try:
        return sorted(one.amphora_id for one in await cloud.all_instances())
    finally:
        await cloud.close()


@pytest.fixture(autouse=True)
def last_words(pair: OctaviaPair) -> Iterator[None]:
    """The control plane's and the amphorae's, for the report of a test that failed."""
    yield
    tail(paths.log_file(pair.site.home), 60)
    for amphora, agent in agents(pair.site.holder).items():
        print(f"── amphora {amphora}")
        tail(pair.site.home / "log" / f"{amphora}.log", 30)
        for path in Path(f"/proc/{agent}/root/run/octavia-amphora").rglob("*"):
            if path.name in ("keepalived.conf", "keepalived.log", "haproxy.track", "vrrp.state"):
                tail(path, 30)


def tail(path: Path, count: int) -> None:
    """Print its last lines."""
    with contextlib.suppress(OSError):
        print(f"── {path.name}", *path.read_text(errors="replace").splitlines()[-count:], sep="\n")


REPAIRED = {
    "haproxy killed": "HaproxyRestarted", "haproxy hung": "HaproxyHung", "keepalived killed": "KeepalivedRestarted",
    "keepalived hung": "KeepalivedRestarted",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_of_the_active_amphora(pair: OctaviaPair, fault: str, record_property: Tell) -> None:
    """What the agent repaired by itself is an event."""
    newest = max((one["sequence"] for one in events.latest(pair.site.client, [], 1)), default=0)
    through(pair, fault, record_property, timeout=0.5)
    if fault in REPAIRED:
        which = [("reason", REPAIRED[fault]), ("load_balancer", pair.id)]

        def told() -> bool:
            return any(one["sequence"] > newest for one in events.latest(pair.site.client, which, 1))

        until(told, what=f"the event {REPAIRED[fault]}")


@pytest.mark.parametrize("what", HARMLESS)
def test_what_clients_do_not_notice(pair: OctaviaPair, what: str, record_property: Tell) -> None:
    assert through(pair, what, record_property, timeout=PATIENCE) == (0, 0)


@pytest.mark.parametrize("what", DELIBERATE)
def test_what_is_done_on_purpose_fails_no_request(pair: OctaviaPair, what: str, record_property: Tell) -> None:
    assert through(pair, what, record_property, timeout=PATIENCE) == (0, 0)


@pytest.mark.parametrize("who", [("active",), ("standby",), ("active", "standby")], ids="-and-".join)
def test_invariant_06_a_partition_ends_with_one_owner(pair: OctaviaPair, who: tuple[str, ...]) -> None:
    """``who`` hears nothing. Two owners there are while the standby one hears nothing, and not longer."""
    until(pair.restored, what="the pair to be whole before", seconds=60)
    pair.watch()
    owner = pair.owner()
    (other,) = set(pair.amphorae) - {owner}
    roles = {"active": owner, "standby": other}
    since = time.monotonic()
    with (
        GenerationRecorder(pair.id, lambda: pair.amphorae) as generations,
        Client(pair.url, rate=RATE, timeout=PATIENCE, inside=pair.inside) as client,
    ):
        with contextlib.ExitStack() as stack:
            for one in who:
                stack.enter_context(deaf(pair, roles[one]))
            if "standby" in who:
                until(lambda: other in pair.recorder.owners(), what="the standby one to take the VIP")
            pair.change()
            if "standby" not in who:
                assert pair.recorder.owners() == {owner}
        until(lambda: len(pair.recorder.owners()) == 1, what="one owner")
        healed = time.monotonic()
        pair.change()
        until(lambda: same_generation(generations, pair), what="both amphorae to have the newest generation")
    history = pair.recorder.history
    assert [
        one for one in overlaps(history, time.monotonic()) if one.since < since < one.until or one.until > healed
    ] == []
    assert backwards(generations.history) == []
    assert report(client.samples).server_errors == 0
    nothing_left_over(pair)
