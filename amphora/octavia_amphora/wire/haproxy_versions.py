# SPDX-License-Identifier: Apache-2.0
"""What each version of haproxy offers of what we use, in one table. The agent asks it by the version that runs.

Found by trying 2.6, 3.0 and 3.2, and in haproxy's sources for the versions between. What a configuration says is the
same for all of them: the table is for what is said to haproxy at run time, and for what people are told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple


class Version(NamedTuple):
    """``2.6.12-1+deb12u4`` is (2, 6): features come with minor versions."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


OLDEST = Version(2, 6)
"""The oldest haproxy that takes what is rendered."""
TESTED = (Version(2, 6), Version(3, 0), Version(3, 2))
"""The tests run with these."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that haproxy has since a version: what it means for load balancers there, and what before."""

    since: Version
    with_feature: str
    without_feature: str


DYNAMIC_COOKIES = Feature(
    Version(3, 0),
    "members of pools with HTTP_COOKIE come and go without a reload",
    "a reload for each member that comes to or leaves a pool with HTTP_COOKIE",
)
"""``add server`` takes the keyword ``cookie``."""
RELOAD_ANSWERS = Feature(
    Version(2, 7),
    "a reload that fails is told with haproxy's reason at once",
    "why a reload failed is looked up in haproxy's log",
)
"""The master answers ``reload`` when it is done, with ``Success=`` and what the new worker said."""
STRICT_HOSTS = Feature(
    Version(3, 0),
    "requests whose Host holds characters that no host has, a comma among them, are answered 400",
    "requests with any Host are passed on",
)
"""Fixes brought it to later releases of older versions, too (2.8.15): nothing here depends on it."""
PERSISTENT_MASTER = Feature(
    Version(3, 1),
    "the master stays the same process image over reloads",
    "the master replaces itself at a start and at each reload, and its socket refuses meanwhile: it is asked again",
)

FEATURES = (RELOAD_ANSWERS, DYNAMIC_COOKIES, STRICT_HOSTS, PERSISTENT_MASTER)


def parse(text: str) -> Version | None:
    """Of ``HAProxy version 3.0.11-1+deb13u4 2025/…`` or ``3.0.11-1+deb13u4``; None where there is none."""
    found = re.search(r"(?:^|version )(\d+)\.(\d+)", text)
    return Version(int(found[1]), int(found[2])) if found else None


def has(version: Version | None, offer: Feature) -> bool:
    """Whether this haproxy has it; one whose version is not known has nothing that came later."""
    return version is not None and version >= offer.since


def implications(version: Version) -> list[str]:
    """What this version implies, in sentences, for people; first whether it is among those that we try."""
    return [
        _tested_text(version),
        *(offer.with_feature if has(version, offer) else offer.without_feature for offer in FEATURES),
    ]


def _tested_text(version: Version) -> str:
    names = ", ".join(map(str, TESTED))
    if version in TESTED:
        return f"the tests run with it ({names})"
    if version > TESTED[-1]:
        return f"newer than what the tests run with ({names}): it should work, but nobody has tried"
    if version > OLDEST:
        return f"between versions that the tests run with ({names})"
    return f"too old: {OLDEST} or newer is needed"
