# SPDX-License-Identifier: Apache-2.0
"""Free text: what nobody sees and changes what is around it is refused, and what a message says of a long value is short."""

from __future__ import annotations

from typing import Any

import pytest

from octavia_provider.model import echo
from octavia_provider.model.errors import Invalid, Violation
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import INTEGERS, ITEMS, inputs
from octavia_provider.model.validation import validate
from unit.model.bad_inputs import GOOD

UNSEEN = [
    *"\x00\t\n\r\x1b\x7f\x80\x9b\x85", "\u2028", "\u2029", "\u061c", "\u200e", "\u200f", *"\u202a\u202b\u202c\u202d\u202e",
    *"\u2066\u2067\u2068\u2069", "\ud800", "\udfff",
]  # fmt: skip
FREE = [
    (k, n)
    for k, cls in KINDS.items()
    for n in ("name", "description", "tags")
    if n in inputs(cls) and (k, n) != ("quota", "name")
]


def refusals(kind: str, **values: Any) -> list[Violation]:
    return validate(KINDS[kind], {**GOOD[kind], **values}).violations


@pytest.mark.parametrize(("kind", "name"), FREE)
def test_text_holds_nothing_that_nobody_sees(kind: str, name: str) -> None:
    for character in UNSEEN:
        value = f"we{character}b"
        found = refusals(kind, **{name: [value] if name == "tags" else value})
        assert [v.path[0] for v in found] == [name], ascii(character)
        assert f"U+{ord(character):04X} is character 3" in found[0].message
        assert character not in found[0].message


@pytest.mark.parametrize(
    "text", ["café", "負載平衡", "مرحبا", "שלום", "👩‍👩‍👧", "[/x]", "[red]", "a\u00a0b", "नमस्\u200dते"]
)
def test_all_that_can_be_read_is_taken(text: str) -> None:
    assert refusals("listener", name=text, description=text, tags=[text]) == []


def test_half_a_character_cannot_be_told_to_a_command() -> None:
    assert "U+D800" in refusals("local_host", command=["sh", "a\ud800"])[0].message
    assert "U+DFFF" in refusals("local_host", environment={"A": "\udfff"})[0].message


LONG = "x" * 300_000
BAD: list[tuple[str, dict[str, Any]]] = [
    ("listener", {"name": LONG}), ("listener", {"protocol": LONG}), ("listener", {"protocol": LONG[:250] + " " + LONG}),
    ("listener", {"loadbalancer_id": LONG}), ("listener", {"protocol_port": LONG}), ("listener", {"allowed_cidrs": [LONG]}),
    ("listener", {"insert_headers": {LONG: "true"}}), ("listener", {"insert_headers": {"X-Forwarded-For": LONG}}),
    ("listener", {"tls_ciphers": "TLS_" + LONG[:2000]}), ("listener", {LONG: 1}), ("listener", {"rate_limit": {LONG: 1}}),
    ("listener", {"default_tls_container_ref": LONG}), ("pool", {"session_persistence": {"type": LONG}}),
    ("member", {"address": LONG}), ("member", {"address": "fe80::1%" + LONG}), ("health_monitor", {"url_path": LONG}),
    ("health_monitor", {"http_version": LONG}), ("l7_rule", {"value": "(" * 200}), ("l7_policy", {"redirect_url": LONG}),
    ("flavor_profile", {"flavor_data": "[" * 4000}), ("flavor_profile", {"flavor_data": '{"' + LONG[:4000] + '": 1}'}),
    ("flavor_profile", {"provider_name": LONG}), ("local_host", {"user": LONG}), ("local_network", {"cidr": LONG}),
    ("tls_container", {"certificate": LONG * 4}), ("tls_container", {"private_key": "-----BEGIN " + LONG}),
    ("quota", {"project_id": LONG}), ("load_balancer", {"vip_address": LONG, "vip_network_id": LONG}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "values"), BAD, ids=lambda value: value if isinstance(value, str) else ".".join(map(str, value))[:40]
)
def test_no_value_is_said_again_whole(kind: str, values: dict[str, Any]) -> None:
    found = refusals(kind, **values)
    assert found
    error = str(Invalid(found, subject=f"{kind} {LONG}"))
    assert "x" * 201 not in error
    assert "(" * 201 not in error
    assert len(str(Invalid(found))) < 1500


@pytest.mark.parametrize("number", [10**400, -(10**400), 2**63, float("inf"), float("-inf"), float("nan"), 1e308])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(k, n) for k, cls in KINDS.items() for n, a in inputs(cls).items() if a.annotation in (int, float)],
)
def test_numbers_without_measure(kind: str, name: str, number: float) -> None:
    found = refusals(kind, **{name: number})
    assert [v.path for v in found if v.path == (name,)] == [(name,)]
    assert len(found[0].message) < 300


def test_numbers_without_measure_in_flavors() -> None:
    for word in ("NaN", "Infinity", "-Infinity", "1" + "0" * 400, "9" * 3900):
        assert refusals("flavor_profile", flavor_data=f'{{"sriov_vip": {word}}}')
    assert (
        refusals("flavor_profile", flavor_data='{"sriov_vip": NaN}')[0].message
        == "is not JSON: NaN is no number in JSON"
    )


def test_what_cannot_be_given_is_counted() -> None:
    found = refusals("listener", **{f"key{i}": 1 for i in range(300_000)})
    assert len(found) == 21
    assert found[-1].message == "has 299980 more attributes that cannot be given"


@pytest.mark.parametrize(
    "values",
    [{"tags": ["\n"] * 300_000}, {"insert_headers": {str(i): "" for i in range(300_000)}}],
    ids=["list", "map"],
)
def test_a_list_without_measure_is_not_read(values: dict[str, Any]) -> None:
    found = refusals("listener", **values)
    assert [v.message for v in found] == [
        f"must not have more than {ITEMS} {word}, and has 300000"
        for word in ("items" if "tags" in values else "entries",)
    ]


def test_an_error_lists_a_hundred_things_and_says_twenty() -> None:
    error = Invalid([Violation(("members", i), "is wrong") for i in range(5000)])
    assert len(error.violations) == 100
    assert str(error.violations[-1]) == "and 4901 more things are wrong"
    assert str(error).count("is wrong") == 20
    assert str(error).endswith("and 80 more")


def test_what_is_said_of_values() -> None:
    assert echo.quoted("a'b") == repr("a'b")
    assert echo.quoted("a\u202eb") == "'a\\u202eb'"
    assert len(echo.quoted(LONG)) < 110
    assert echo.quoted(10**9999) == "a number of more than 100 digits"
    assert echo.quoted(7) == "7"
    assert INTEGERS == 9223372036854775807


def test_a_blank_is_a_value_where_free_text_is_required__and_none_elsewhere() -> None:
    rule = {
        "type": "HEADER",
        "compare_type": "CONTAINS",
        "key": "X-A",
        "l7policy_id": "00000000-0000-0000-0000-000000000001",
    }
    assert validate(KINDS["l7_rule"], {**rule, "value": " "}).values["value"] == " "
    for none in ("", " "):  # choices are no free text
        complaints = validate(KINDS["l7_rule"], {**rule, "compare_type": none, "value": "a"}).violations
        assert [(v.path, v.message) for v in complaints] == [(("compare_type",), "is required")]
    assert [v.message for v in validate(KINDS["l7_rule"], {**rule, "value": ""}).violations] == ["is required"]
