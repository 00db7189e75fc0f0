# SPDX-License-Identifier: Apache-2.0
"""What is told of certificates and lists by the time: over, not yet, soon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import pem
from octavia_provider.model import validity
from octavia_provider.model.unknown import UNKNOWN

CA = pem.authority("one")
PAIR = pem.make("a.test", CA, days=90)
END = PAIR.certificate.not_valid_after_utc
START = PAIR.certificate.not_valid_before_utc
HELD = {**PAIR.container(), "intermediates": CA.pem}


def invalid(values: Any, now: Any) -> list[str]:
    return [one.message for one in validity.warnings(values, now) if not one.valid]


@pytest.mark.parametrize(
    ("when", "says", "at_once"),
    [
        (START - timedelta(days=2), "the certificate (CN=a.test) is valid from", True),
        (START, "", False),
        (END - timedelta(days=30, seconds=1), "", False),
        (END - timedelta(days=30), "the certificate (CN=a.test) ends in 30 days, on ", False),
        (END - timedelta(days=1, hours=1), "the certificate (CN=a.test) ends tomorrow", False),
        (END - timedelta(seconds=1), "the certificate (CN=a.test) ends within a day", False),
        (END + timedelta(seconds=1), "the certificate (CN=a.test) ended less than two days ago, on ", True),
        (END + timedelta(days=400), "the certificate (CN=a.test) ended 400 days ago, on ", True),
    ],
)
def test_a_certificate_by_the_time(when: Any, says: str, at_once: bool) -> None:
    told = [one for one in validity.warnings(HELD, when) if "intermediates" not in one.message]
    assert [one.message[: len(says)] for one in told] == ([says] if says else [])
    assert [one.valid for one in told] == ([not at_once] if says else [])


def test_intermediates_and_authorities_too() -> None:
    later = CA.certificate.not_valid_after_utc + timedelta(days=3)
    assert any(line.startswith("of intermediates, number 1 (CN=one) ended 3 days ago") for line in invalid(HELD, later))
    young = pem.authority("young")
    (line,) = invalid({"ca_certificates": young.pem + PAIR.pem}, END + timedelta(days=2))
    assert line.startswith("of ca_certificates, number 2 (CN=a.test) ended 2 days ago")


def test_a_revocation_list_that_is_over_lets_nobody_in() -> None:
    held = {"crl": pem.crl(CA)}
    assert validity.warnings(held, pem.NOW) == []  # lists of nine days are made anew all the time
    (line,) = invalid(held, pem.NOW + timedelta(days=10))
    assert line.startswith("the revocation list of CN=one ended")
    assert line.endswith("OpenSSL accepts nobody of that authority")


def test_of_many_the_first_are_told() -> None:
    bundle = "".join(pem.make(f"ca{i}", authority=True, days=1).pem for i in range(9))
    told = invalid({"ca_certificates": bundle}, pem.NOW + timedelta(days=9))
    assert len(told) == validity.TOLD + 1
    assert told[-1] == "and 4 more"


def test_what_is_not_known_yet_is_passed_over() -> None:
    assert validity.warnings({"certificate": UNKNOWN, "ca_certificates": None}, pem.NOW) == []
