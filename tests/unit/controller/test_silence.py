# SPDX-License-Identifier: Apache-2.0
"""Who is taken for silent, by a clock of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavia_provider.controller.silence import HeartbeatTiming, Judgement, SilenceDetector

TIMING = HeartbeatTiming(interval=1.0, timeout=4.0, breaker_share=0.5)


class Watch:
    """Amphorae that beat each second, and a control plane that looks each second."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.ids = [str(number) for number in range(count)]
        self.detector = SilenceDetector(TIMING, 0.0)
        self.detector.expect(self.ids, 0.0)
        self.looks: list[Judgement] = []

    def run(self, seconds: int, *silent: str) -> set[str]:
        """So long these are silent; who was named."""
        named: set[str] = set()
        for _ in range(seconds):
            self.now += 1
            for amphora_id in self.ids:
                if amphora_id not in silent:
                    self.detector.heard(amphora_id, self.now)
            self.looks.append(self.detector.look(self.now))
            named.update(self.looks[-1].silent)
        return named


def test_three_heartbeats_have_to_fit_in_the_timeout() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        HeartbeatTiming(interval=1.0, timeout=2.99)
    assert HeartbeatTiming(interval=1.0, timeout=3.0)


def test_one_of_four_is_named_after_the_timeout_and_once_in_each() -> None:
    watch = Watch(4)
    assert watch.run(4, "1") == set()
    assert watch.run(1, "1") == {"1"}
    assert watch.run(3, "1") == set()
    assert watch.run(1, "1") == {"1"}
    assert watch.run(20) == set()


def test_one_that_is_silent_for_half_of_the_timeout_is_told_once_until_it_is_heard() -> None:
    watch = Watch(2)
    for _ in range(2):
        watch.run(10, "1")
        assert [one.quiet for one in watch.looks] == [(), (), ("1",), *[()] * 7]
        watch.run(1)
        watch.looks.clear()


@pytest.mark.parametrize(("count", "silent"), [(1, 1), (2, 2), (4, 2), (10, 5), (100, 50)])
def test_as_many_as_the_share_are_named(count: int, silent: int) -> None:
    watch = Watch(count)
    assert watch.run(10, *watch.ids[:silent]) == set(watch.ids[:silent])
    assert not watch.detector.tripped


@pytest.mark.parametrize(("count", "silent"), [(3, 3), (4, 3), (10, 6), (100, 51), (100, 100)])
def test_more_than_the_share_open_the_breaker__nobody_is_named__it_closes_by_itself(count: int, silent: int) -> None:
    watch = Watch(count)
    assert watch.run(60, *watch.ids[:silent]) == set()
    assert [one.opened for one in watch.looks].count(True) == 1
    assert watch.detector.tripped
    assert watch.run(10, watch.ids[0]) == {watch.ids[0]}, "the one that stays silent is named when the others are heard"
    assert [one.closed for one in watch.looks].count(True) == 1
    assert not watch.detector.tripped


def test_those_that_fall_silent_within_one_interval_are_counted_together() -> None:
    detector = SilenceDetector(TIMING, 0.0)
    detector.expect(["early", "late", "later", "well"], 0.0)
    for at in range(1, 9):
        detector.heard("well", float(at))
        if at == 1:
            for offset, amphora_id in enumerate(("early", "late", "later")):
                detector.heard(amphora_id, at + offset * 0.3)
        assert detector.look(float(at)).silent == {}
    assert detector.tripped


@given(st.lists(st.floats(0.0, 30.0), min_size=1, max_size=60), st.integers(1, 6))
def test_no_pause_of_the_control_plane_makes_a_beating_amphora_silent(pauses: list[float], count: int) -> None:
    """Whatever it is (SIGSTOP, a busy processor): beats of a pause wait in the socket, and are read after the next look."""
    now, detector = 0.0, SilenceDetector(TIMING, 0.0)
    ids = [str(number) for number in range(count)]
    detector.expect(ids, now)
    for pause in pauses:
        now += pause
        found = detector.look(now)
        assert not found.silent
        assert not found.opened
        for amphora_id in ids:
            detector.heard(amphora_id, now)


def test_what_was_not_listened_for_is_not_missed() -> None:
    watch = Watch(2)
    watch.run(3, "0")
    watch.detector.listen_again(watch.now)
    assert watch.run(4, "0") == set()
    assert watch.run(1, "0") == {"0"}


def test_one_that_is_gone_is_not_missed() -> None:
    watch = Watch(2)
    watch.run(3, "0")
    watch.detector.forget("0")
    watch.ids.remove("0")
    watch.detector.heard("0", watch.now)
    assert watch.run(20, "0") == set()
    assert watch.detector.known == 1
