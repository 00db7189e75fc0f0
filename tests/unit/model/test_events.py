# SPDX-License-Identifier: Apache-2.0
"""The registry of reasons, and the times that people give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import octavia_provider
from octavia_provider.model.events import MESSAGE_LENGTH, SEVERITIES, Event, Reason, since, utc

SOURCES = Path(octavia_provider.__file__).parent
NOW = 1_800_000_000.0


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_declared_with_all_that_it_means(reason: Reason) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+){2,4}", reason.name), "a word as in Kubernetes"
    assert reason.severity in SEVERITIES
    assert reason.doc.endswith(".")
    assert "|" not in reason.doc, "it stands in a table"
    assert reason.fold_seconds >= 0


def test_each_declared_reason_is_recorded_somewhere() -> None:
    registry = SOURCES / "model" / "events.py"
    texts = (path.read_text() for path in SOURCES.rglob("*.py") if path != registry)
    used = {name for text in texts for name in re.findall(r"\bReason\.(\w+)", text)}
    assert set(Reason.__members__) - used == set()


def test_members_with_the_same_words_would_be_one() -> None:
    assert len(Reason.__members__) == len(list(Reason))


def test_an_event_of_a_reason_that_is_no_more_can_be_read() -> None:
    assert Event(reason="Former", severity="info", message="").fold_seconds == 0
    assert len(Reason.AmphoraLost.event("x" * 10_000).message) == MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - 90), ("30m", NOW - 1800), ("1.5h", NOW - 5400), (" 2d ", NOW - 172_800), ("1w", NOW - 604_800),
        ("2026-01-31T12:00", 1_769_860_800.0), ("2026-01-31T12:00:00Z", 1_769_860_800.0),
        ("2026-01-31T13:00:00+01:00", 1_769_860_800.0), ("2026-01-31", 1_769_817_600.0),
    ],
)  # fmt: skip
def test_a_time_is_a_span_or_a_date(text: str, moment: float) -> None:
    assert since(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "1", "h", "-1h", "1y", "٣h", "2026-13-01"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="neither a span"):
        since(text, NOW)


def test_times_are_shown_with_milliseconds() -> None:
    assert utc(1_769_860_800.0125) == "2026-01-31T12:00:00.012"
    assert since(utc(NOW), 0.0) == NOW
