# SPDX-License-Identifier: Apache-2.0
"""The table of what each haproxy offers. Whether haproxy agrees is asked in ``test_haproxy_process``."""

from __future__ import annotations

import pytest

from octavia_amphora.wire.haproxy_versions import (
    DYNAMIC_COOKIES,
    FEATURES,
    OLDEST,
    TESTED,
    Version,
    has,
    implications,
    parse,
)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", (2, 6)),
        ("HA-Proxy version 1.8.4", (1, 8)),
        ("3.0.11-1+deb13u4", (3, 0)),
        ("3.4-dev5-0c5e5f-12", (3, 4)),
        ("HAProxy version 10.12.1", (10, 12)),
        ("what?", None),
        ("", None),
    ],
)
def test_a_version_is_read(said: str, version: tuple[int, int] | None) -> None:
    assert parse(said) == version


def test_what_is_not_known_has_nothing_that_came_later() -> None:
    assert not has(None, DYNAMIC_COOKIES)
    assert not has(Version(2, 9), DYNAMIC_COOKIES)
    assert has(Version(3, 0), DYNAMIC_COOKIES)
    assert has(Version(10, 0), DYNAMIC_COOKIES)


def test_every_version_is_told_what_it_has_and_what_it_has_not() -> None:
    assert all(offer.since > OLDEST for offer in FEATURES), "what every haproxy has is no offer"
    for version in (*TESTED, Version(2, 9), Version(9, 9)):
        first, *rest = implications(version)
        assert ("the tests run with it" in first) is (version in TESTED)
        assert rest == [offer.with_feature if version >= offer.since else offer.without_feature for offer in FEATURES]
    assert "nobody has tried" in implications(Version(9, 9))[0]
    assert "too old" in implications(Version(2, 4))[0]
