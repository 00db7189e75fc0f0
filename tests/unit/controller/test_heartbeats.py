# SPDX-License-Identifier: Apache-2.0
"""What heartbeats do: they go to the board; another configuration than ours is asked for in full; silence is looked at."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from builders import record, scope, web
from octavia_amphora.wire.heartbeat import BalancerBeat, Heartbeat, encode, short_digest
from octavia_amphora.wire.messages import Counters, ListenerState, ServerState, States
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.controller.heartbeats import Heartbeats
from octavia_provider.controller.load_balancer import BalancerReconciler
from octavia_provider.controller.push import InForce
from octavia_provider.controller.silence import HeartbeatTiming
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.model.errors import TransientError, Unreachable
from octavia_provider.ports import Amphora
from octavia_provider.render.haproxy import Placement, render

CONFIGURATION = render(web(2), Placement(vips=("10.0.0.9",))).configuration
OURS, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
KEY = b"k" * 32
STEP = 0.25
TIMING = HeartbeatTiming(interval=0.005, timeout=1.0)  # the interval is that of the looks, by the loop's clock


class Site:
    """One load balancer on one amphora. It stands for the store, the controller and the agent; the rest is real."""

    def __init__(self) -> None:
        self.status_cache = StatusCache()
        self.known = BalancerReconciler(
            cast("Any", SimpleNamespace(networks=None, holder="one", store=self)),
            DesiredState(scope()),
            instances={"amp": cast("Any", SimpleNamespace(amphora_id="amp", host=None))},
        )
        self.known.in_force["amp"] = InForce(CONFIGURATION, OURS)
        self.amphorae = [Amphora(id="amp", heartbeat_key=KEY, load_balancer_id="lb")]
        self.asked: list[tuple[Any, str]] = []
        self.answer: States | Exception | None = None
        self.waiting: asyncio.Event | None = None
        self.pokes: list[tuple[str, bool]] = []
        self.written = 0
        self.now, self.looks, self.sequence = 0.0, 0, 0
        self.changed = asyncio.Event()
        self.heartbeat_receiver = "192.0.2.1:5555"
        self.heartbeats = Heartbeats(
            cast("Any", self), self.status_cache, cast("Any", self), cast("Any", self), cast("Any", self),
            timing=TIMING, clock=self.clock,
        )  # fmt: skip
        self.heartbeats._long = 60.0  # a busy machine stops this process for seconds

    def clock(self) -> float:
        self.looks += 1
        return self.now

    # what the store, the controller and the agents are asked for
    async def read(self, _: Callable[..., Any]) -> list[Any]:
        return list(self.amphorae)

    async def write(self, _: Callable[..., Any]) -> None:
        self.written += 1

    def watch(self) -> Any:
        return _Watch(self.changed)

    def reconciler(self, scope_id: str) -> BalancerReconciler | None:
        return self.known if scope_id == "lb" else None

    def poke(self, scope_id: str, *, forget: bool = False) -> None:
        self.pokes.append((scope_id, forget))

    def heartbeat_socket(self) -> socket.socket:
        ours, self.sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return ours

    async def states(self, host: Any, load_balancer_id: str) -> States | None:
        self.asked.append((host, load_balancer_id))
        if self.waiting:
            await self.waiting.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    # what a test does
    def beat(
        self, digest: str, state: ServerState = "up", *, lb: str = "lb", key: bytes = KEY, serving: bool = True
    ) -> None:
        """A heartbeat comes in, as datagrams."""
        self.sequence += 1
        balancer = BalancerBeat(lb, digest, 1, serving, (ListenerState(counters=Counters(bytes_in=7)),), (state, state))
        for part in encode(Heartbeat("amp", 1, self.sequence, 1.0, (balancer,)), key):
            self.heartbeats.hear_datagram(part)

    async def pass_(self, seconds: float) -> None:
        """Time passes, and is looked at often."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            looks = self.looks
            await come(lambda looks=looks: self.looks >= looks + 2)  # type: ignore[misc]

    async def quiet(self) -> None:
        """All that was begun has ended (the two watches go on)."""
        others = [task for task in self.heartbeats._tasks if "_ask" in repr(task.get_coro())]
        await asyncio.gather(*others)

    def member(self) -> str:
        return self.status_cache.operating_status(record("member", "m1"))


class _Watch:
    def __init__(self, event: asyncio.Event) -> None:
        self.event = event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def changed(self) -> dict[str, None]:
        await self.event.wait()
        self.event.clear()
        return {"lb": None}


def full(digest: str, state: ServerState = "down") -> States:
    return States(
        load_balancer_id="lb", digest=digest, serving=True, servers={"pool:web": {"m1": state, "m2": state}},
        listeners={"web": ListenerState(counters=Counters(bytes_in=9))},
    )  # fmt: skip


async def come(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)  # the rate at which the condition is looked at


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.heartbeats.start()
    await made.heartbeats.open(cast("Any", made))
    yield made
    await made.heartbeats.stop()
    made.sending.close()


async def test_a_beat_of_the_configuration_in_force__seen_at_once__nobody_is_asked(site: Site) -> None:
    site.beat(OURS)
    assert site.member() == "ONLINE"
    assert site.status_cache.statistics("lb", "web") == Counters(bytes_in=7)
    assert not site.asked
    assert not site.pokes


async def test_one_odd_digest__a_push_may_be_under_way__nobody_is_asked(site: Site) -> None:
    site.beat(OTHER)
    site.beat(OURS)  # it has arrived
    site.beat(OTHER)  # and this is the first of its kind again
    site.beat(THIRD)  # so is this
    await site.quiet()
    assert not site.asked
    assert not site.pokes


async def test_the_same_odd_digest_twice__the_agent_is_asked__what_it_says_in_full_is_taken(site: Site) -> None:
    site.answer = full(OURS)
    site.beat(OTHER)
    assert site.member() == "OFFLINE"
    site.beat(OTHER)
    await site.quiet()
    assert [lb for _, lb in site.asked] == ["lb"]
    assert site.member() == "ERROR"
    assert site.status_cache.statistics("lb", "web") == Counters(bytes_in=9)
    assert not site.pokes


async def test_as_many_servers_as_ours_tell_nothing_where_the_digest_is_another(site: Site) -> None:
    site.beat(OURS, "up")
    for _ in range(2):
        site.beat(OTHER, "down")
    await site.quiet()
    assert site.member() == "ONLINE"


@pytest.mark.parametrize("answer", [full(OTHER), None], ids=["another configuration", "nothing in force"])
async def test_the_agent_has_another_configuration__it_is_pushed_again(site: Site, answer: States | None) -> None:
    site.answer = answer
    for _ in range(2):
        site.beat(OTHER)
    await site.quiet()
    assert site.pokes == [("lb", True)]
    assert site.member() == "OFFLINE"


async def test_nothing_is_known_of_the_amphora__it_is_looked_at(site: Site) -> None:
    site.known.instances = None
    site.known.in_force.clear()
    for _ in range(2):
        site.beat(OURS)
    await site.quiet()
    assert not site.asked
    assert site.pokes == [("lb", True)]


async def test_the_agent_cannot_be_reached__nothing_is_done__it_is_asked_again_later(site: Site) -> None:
    site.answer = TransientError("no answer")
    for _ in range(4):
        site.beat(OTHER)
        await site.quiet()
    assert len(site.asked) == 2
    assert not site.pokes


async def test_a_beat_with_a_wrong_signature_changes_nothing(site: Site) -> None:
    for _ in range(3):
        site.beat(OURS, key=b"x" * 32)
    await site.quiet()
    assert (site.asked, site.pokes, site.member()) == ([], [], "OFFLINE")


async def test_an_amphora_that_has_lost_its_records_is_told_the_whole_again__and_is_not_online(site: Site) -> None:
    """It is well, and speaks of nothing that we have put in force there."""
    site.beat(OURS)
    assert site.member() == "ONLINE"
    site.beat(OTHER, lb="elsewhere")
    assert not site.pokes  # the same twice: no push was under way
    site.beat(OTHER, lb="elsewhere")
    assert site.pokes == [("lb", True)]
    assert site.member() == "OFFLINE"


async def test_a_silent_amphora_whose_agent_does_not_answer_is_suspected(site: Site) -> None:
    site.beat(OURS)
    site.answer = Unreachable("no answer")
    await site.pass_(1.5)
    await come(lambda: bool(site.pokes))
    assert site.known.suspects == {"amp"}
    await come(lambda: site.written == 1 and not site.known.events.noted)
    assert site.member() == "OFFLINE"


async def test_an_agent_is_asked_after_half_of_the_timeout__and_not_once_more_after_all_of_it(site: Site) -> None:
    site.beat(OURS)
    site.answer = Unreachable("no answer")
    await site.pass_(0.75)
    await come(lambda: bool(site.asked))
    assert (site.known.suspects, site.pokes) == (set(), [])
    site.beat(OURS)
    site.waiting = asyncio.Event()  # it hangs
    await site.pass_(1.0)
    assert (site.known.suspects, site.pokes) == (set(), []), "it was heard meanwhile"
    await site.pass_(0.5)
    await come(lambda: site.known.suspects == {"amp"})
    assert "no answer within 0.5 s" in site.known.confirmed["amp"][1]


async def test_a_silent_amphora_whose_agent_answers_is_believed(site: Site) -> None:
    site.beat(OURS)
    site.answer = full(OURS)
    await site.pass_(1.5)
    await come(lambda: bool(site.asked) and site.member() == "ERROR")
    assert (site.pokes, site.known.suspects) == ([], set())


async def test_a_replay_from_before_the_last_push_changes_nothing(site: Site) -> None:
    """To a control plane that has just started every heartbeat is new; an agent's answer to its push says what is not."""
    site.known.in_force["amp"] = InForce(CONFIGURATION, OURS, (1, 5))
    for _ in range(5):
        site.beat(OURS)
    assert site.member() == "OFFLINE"
    assert site.heartbeats.facts()["rejected"] == {"replayed": 5}
    site.beat(OURS)
    assert site.member() == "ONLINE"
    assert site.heartbeats.facts()["accepted"] == 1


async def test_what_comes_in_by_the_socket_is_heard__too_long_ones_are_not(site: Site) -> None:
    (part,) = encode(
        Heartbeat("amp", 1, 1, 1.0, (BalancerBeat("lb", OURS, 1, True, (ListenerState(),), ("up", "up")),)), KEY
    )
    site.sending.send(part + bytes(2000))
    site.sending.send(part)
    await come(lambda: site.member() == "ONLINE")
    assert site.heartbeats.facts()["rejected"] == {"garbled": 1}


async def test_counters_of_a_beat_without_a_new_state_count__and_a_new_state_after_them_does(site: Site) -> None:
    for counted, state in ((1, "up"), (2, "up"), (3, "down"), (4, "up")):
        beat = BalancerBeat(
            "lb", short_digest(OURS), 1, True, (ListenerState(counters=Counters(bytes_in=counted)),), (state, state)  # type: ignore[arg-type]
        )  # fmt: skip
        site.heartbeats.hear(Heartbeat("amp", 1, counted, 1.0, (beat,)))
        assert site.status_cache.statistics("lb", "web") == Counters(bytes_in=counted)
        assert site.member() == {"up": "ONLINE", "down": "ERROR"}[state]


async def test_what_an_agent_has_repaired_is_told_once__after_each_of_its_starts(site: Site) -> None:
    """Not what it had repaired when this control plane began to listen: another one may have told of it."""
    told: list[tuple[str, int]] = []
    for boot, repairs in (
        (1, (3, 0, 1)),
        (1, (3, 0, 1)),
        (1, (5, 1, 1)),
        (2, (0, 0, 0)),
        (3, (1, 0, 0)),
        (3, ()),
        (4, (0, 0, 1, 7)),
    ):
        beat = BalancerBeat("lb", short_digest(OURS), 1, True, (ListenerState(),), ("up", "up"), repairs=repairs)
        site.heartbeats.hear(Heartbeat("amp", boot, 1 + sum(repairs), 1.0, (beat,)))
        told += [(event.reason, event.data["times"]) for _, event in site.known.events.noted]
        site.known.events.noted.clear()
    assert told == [("HaproxyRestarted", 2), ("HaproxyHung", 1), ("HaproxyRestarted", 1), ("KeepalivedRestarted", 1)]


async def test_an_amphora_that_was_made_anew_and_has_nothing_in_force_yet_is_not_online(site: Site) -> None:
    """What was put in force in the one before it is nowhere: nothing serves until a push succeeds."""
    site.beat(OURS)
    site.known.in_force.clear()
    for part in encode(Heartbeat("amp", 2, 1, 1.0, ()), KEY):
        site.heartbeats.hear_datagram(part)
    assert site.status_cache.operating_status(record("load_balancer", "lb")) == "ERROR"
    assert site.member() == "OFFLINE"
    assert not site.pokes, "it is pushed to already"


async def test_an_amphora_that_serves_nothing_is_not_online__whatever_it_has_records_of(site: Site) -> None:
    """Made anew with the records of the one before it, and haproxy cannot be started: nothing is in force that we know."""
    site.beat(OURS)
    site.known.in_force.clear()
    site.beat(OURS, serving=False)
    assert site.status_cache.operating_status(record("load_balancer", "lb")) == "ERROR"
    assert site.member() == "OFFLINE"


async def test_silence__its_balancer_is_lost_and_looked_at_once_a_period(site: Site) -> None:
    site.beat(OURS)
    site.answer = Unreachable("no answer")
    for period in (1, 2):
        await site.pass_(1.25)
        await come(lambda period=period: len(site.pokes) == period)  # type: ignore[misc]
        assert site.pokes == [("lb", True)] * period
    assert site.status_cache.operating_status(record("load_balancer", "lb")) == "ERROR"
    site.beat(OURS)
    assert site.status_cache.operating_status(record("load_balancer", "lb")) == "ONLINE"


async def test_after_a_pause_nothing_is_claimed_and_what_waited_is_not_believed(site: Site) -> None:
    """It is this process that was silent, not the amphora."""
    site.beat(OURS)
    assert site.member() == "ONLINE"
    site.heartbeats._looked -= 100.0
    site.beat(OURS)
    site.now += 1.0
    await come(lambda: site.heartbeats._pause() < 50)
    assert (site.member(), site.pokes, site.known.suspects) == ("OFFLINE", [], set())
    site.beat(OURS, "down")
    assert site.member() == "ERROR"


async def test_an_amphora_that_never_said_a_word_is_silent_too(site: Site) -> None:
    await site.pass_(1.5)
    await come(lambda: site.pokes == [("lb", True)])


async def test_a_control_plane_that_was_paused_listens_before_it_judges(site: Site) -> None:
    site.beat(OURS)
    site.now += 100
    looks = site.looks
    await come(lambda: site.looks >= looks + 3)
    await site.pass_(0.5)
    assert (site.asked, site.pokes) == ([], [])
    site.answer = Unreachable("no answer")
    await site.pass_(0.5)
    assert (site.known.suspects, site.pokes) == (set(), [])


async def test_an_amphora_that_is_gone_is_not_missed_and_not_believed(site: Site) -> None:
    site.amphorae.clear()
    site.changed.set()
    await come(lambda: not site.changed.is_set())
    await site.pass_(1.5)
    site.beat(OURS)
    assert (site.pokes, site.member()) == ([], "OFFLINE")
