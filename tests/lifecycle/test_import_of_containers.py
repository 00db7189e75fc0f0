# SPDX-License-Identifier: Apache-2.0
"""A TLS container with a certificate is imported without its key, which the API never shows, and nothing fails over that."""

from __future__ import annotations

from typing import Any

import pytest

import pem
from provider_process import Provider, pb

TOKEN = "octavia:index:TlsContainer"


pytestmark = pytest.mark.parametrize("plane", ["real"], indirect=True)


def imported(octavia: Provider, inputs: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    checked, failures = octavia.check(TOKEN, "made", inputs)
    assert failures == {}
    id_, _ = octavia.create(TOKEN, "made", checked)
    return octavia.read(TOKEN, "imported", id_)


def test_what_import_reads_is_checked_without_a_failure_and_changes_nothing(octavia: Provider) -> None:
    one = pem.make("one.example.com")
    id_, outputs, read = imported(octavia, {"certificate": one.pem, "privateKey": one.key_pem})
    assert "privateKey" not in read
    assert octavia.check(TOKEN, "imported", read, read) == (read, {})
    assert octavia.diff(TOKEN, "imported", id_, read, outputs, read).changes == pb.DiffResponse.DIFF_NONE
    updated = octavia.update(TOKEN, "imported", id_, read, outputs, {**read, "description": "changed"})
    assert updated["provisioningStatus"] == "ACTIVE"


def test_a_key_that_comes_later_is_the_same_key(octavia: Provider) -> None:
    one = pem.make("two.example.com")
    id_, outputs, read = imported(octavia, {"certificate": one.pem, "privateKey": one.key_pem})
    program, failures = octavia.check(TOKEN, "imported", {**read, "privateKey": one.key_pem}, read)
    assert failures == {}
    assert octavia.diff(TOKEN, "imported", id_, read, outputs, program).changes == pb.DiffResponse.DIFF_NONE
    more = {**program, "description": "changed"}
    assert list(octavia.diff(TOKEN, "imported", id_, read, outputs, more).diffs) == ["description"]


def test_another_certificate_asks_for_its_key_and_says_why(octavia: Provider) -> None:
    one, other = pem.make("three.example.com"), pem.make("four.example.com")
    id_, outputs, read = imported(octavia, {"certificate": one.pem, "privateKey": one.key_pem})
    _, failures = octavia.check(TOKEN, "imported", {**read, "certificate": other.pem}, read)
    assert list(failures) == ["privateKey"]
    assert "imported without its key" in failures["privateKey"]
    news = {**read, "certificate": other.pem, "privateKey": other.key_pem}
    assert octavia.check(TOKEN, "imported", news, read)[1] == {}
    assert sorted(octavia.diff(TOKEN, "imported", id_, read, outputs, news).diffs) == ["certificate", "privateKey"]
    _, failures = octavia.check(TOKEN, "fresh", {"certificate": one.pem})
    assert list(failures) == ["privateKey"]
