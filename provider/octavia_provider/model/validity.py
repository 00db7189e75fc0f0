# SPDX-License-Identifier: Apache-2.0
"""How long what a TLS container holds is valid, told at a time that is passed in: no clock is read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from . import certificates

SOON = timedelta(days=30)
"""How long before its end a certificate is told of."""
TOLD = 5
"""Of more than so many in one container the others are counted."""
_PLACES: Mapping[str, str] = {
    "certificate": "the certificate", "intermediates": "of intermediates, number {place}",
    "ca_certificates": "of ca_certificates, number {place}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """One certificate or revocation list: what a message calls it, and from when to when it is valid (UTC)."""

    name: str
    start: datetime
    end: datetime | None
    revokes: bool = False
    among: bool = False
    """One of many that are trusted alike: the others go on without it."""


def spans(values: Mapping[str, Any]) -> Iterator[Span]:
    """All that is in a container, the certificate first. ``values`` are canonical; what is not text yet is passed over."""
    for name, called in _PLACES.items():
        text = values.get(name)
        if isinstance(text, str):
            for place, one in enumerate(certificates.certificates(text), start=1):
                shown = f"{called.format(place=place)} ({certificates.whose(one)})"
                among = name == "ca_certificates"
                yield Span(shown, one.not_valid_before_utc, one.not_valid_after_utc, among=among)
    if isinstance(values.get("crl"), str):
        for lists in certificates.revocation_lists(values["crl"]):
            shown = f"the revocation list of {certificates.issuer(lists)}"
            yield Span(shown, lists.last_update_utc, lists.next_update_utc, revokes=True)


@dataclass(frozen=True, slots=True)
class Warned:
    """One thing to tell people. ``valid``: it is still, and will not be ``SOON``; ``breaks``: nothing that uses it works."""

    message: str
    valid: bool
    breaks: bool = False


def warnings(values: Mapping[str, Any], now: datetime) -> list[Warned]:
    """What is not valid at this time, and what will not be soon."""
    found = list(spans(values))
    over = [Warned(line, valid=False, breaks=not span.among) for span in found if (line := _now(span, now))]
    ending = [Warned(line, valid=True) for span in found if not _now(span, now) and (line := _soon(span, now))]
    return [*_bounded(over), *_bounded(ending)]


def _now(span: Span, now: datetime) -> str | None:
    if span.end is not None and span.end < now:
        ended = f"{span.name} ended {_ago(now - span.end)}, on {_day(span.end)}"
        return (
            f"{ended}: OpenSSL accepts nobody of that authority"
            if span.revokes
            else f"{ended}: whoever verifies it refuses it"
        )
    if span.start > now:
        return f"{span.name} is valid from {_day(span.start)} on: until then whoever verifies it refuses it"
    return None


def _soon(span: Span, now: datetime) -> str | None:
    if span.end is None or span.end - now > SOON:
        return None
    if span.revokes and span.end - span.start < SOON:
        return None  # lists are made anew every week or so
    days = (span.end - now).days
    when = f"in {days} days" if days > 1 else ("tomorrow" if days else "within a day")
    return f"{span.name} ends {when}, on {_day(span.end)}"


def _ago(passed: timedelta) -> str:
    return f"{passed.days} days ago" if passed.days > 1 else "less than two days ago"


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _bounded(found: list[Warned]) -> list[Warned]:
    more = len(found) - TOLD
    return found if more <= 1 else [*found[:TOLD], Warned(f"and {more} more", valid=found[0].valid)]
