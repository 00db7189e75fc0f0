# SPDX-License-Identifier: Apache-2.0
"""Validation within one object: everything at once, unknown values let through, never an exception."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavia_provider.model.errors import Invalid, spell
from octavia_provider.model.kinds import KINDS, HealthMonitor, Listener, LoadBalancer, Member, Pool
from octavia_provider.model.metadata import attributes, inputs
from octavia_provider.model.unknown import UNKNOWN, contains_unknown
from octavia_provider.model.validation import validate, validated

ID = str(uuid.UUID(int=7))
LISTENER = {"loadbalancer_id": ID, "protocol": "HTTP", "protocol_port": 80}


def paths(kind: type, raw: dict[str, Any]) -> set[str]:
    return {spell(v.path) for v in validate(kind, raw).violations}


def test_defaults_are_filled_in() -> None:
    values = validated(Listener, LISTENER)
    assert values["timeout_client_data"] == 50_000
    assert set(values) == set(inputs(Listener))


def test_null_means_the_default() -> None:
    assert validated(Listener, {**LISTENER, "connection_limit": None})["connection_limit"] == -1


@pytest.mark.parametrize(("given", "told"), [(2**31, "2147483648"), (1.5e12, "1500000000000"), (-1.0, "-1")])
def test_numbers_are_told_with_all_their_digits(given: float, told: str) -> None:
    (violation,) = validate(Listener, {**LISTENER, "timeout_client_data": given}).violations
    assert violation.message.endswith(f", not {told}")


def test_null_for_what_is_required_is_refused() -> None:
    assert paths(Listener, {**LISTENER, "protocol": None}) == {"protocol"}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    raw = {
        "protocol": "GOPHER",
        "protocol_port": 0,
        "insert_headers": {"X-Other": "true"},
        "colour": "red",
        "tags": [1],
    }
    assert paths(Listener, raw) == {"loadbalancer_id", "protocol", "protocol_port", "colour", "tags[0]"}


def test_a_rule_is_asked_when_what_it_is_about_is_well() -> None:
    assert paths(Listener, {**LISTENER, "insert_headers": {"X-Other": "true"}}) == {"insert_headers"}


def test_doubles_that_are_whole_become_integers() -> None:
    port = validated(Listener, {**LISTENER, "protocol_port": 80.0})["protocol_port"]
    assert port == 80
    assert isinstance(port, int)


@pytest.mark.parametrize("bad", [80.5, "80", True, [80], {"port": 80}])
def test_what_is_no_whole_number_is_none(bad: Any) -> None:
    assert paths(Listener, {**LISTENER, "protocol_port": bad}) == {"protocol_port"}


def test_strings_become_canonical() -> None:
    member = validated(Member, {"pool_id": ID.upper(), "address": "2001:0DB8::0001", "protocol_port": 1})
    assert (member["pool_id"], member["address"]) == (ID, "2001:db8::1")
    mapped = validated(Member, {"pool_id": ID, "address": "::ffff:10.2.2.2", "protocol_port": 1})
    assert mapped["address"] == "10.2.2.2"  # to a kernel the same server, which stands in a pool once


def test_nested_objects_are_validated_with_their_path() -> None:
    pool = {"loadbalancer_id": ID, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    assert paths(Pool, {**pool, "session_persistence": {"type": "APP_COOKIE"}}) == {"session_persistence.cookie_name"}
    assert paths(Pool, {**pool, "session_persistence": {}}) == {"session_persistence.type"}
    assert paths(Pool, {**pool, "session_persistence": "x"}) == {"session_persistence"}


def test_unknown_values_are_let_through_and_their_rules_left_unasked() -> None:
    monitor = {"pool_id": UNKNOWN, "type": UNKNOWN, "delay": 1, "timeout": UNKNOWN, "max_retries": 1, "url_path": "/"}
    result = validate(HealthMonitor, monitor)
    assert result.violations == []
    assert contains_unknown(result.values)


def test_an_unknown_vip_counts_as_given() -> None:
    assert validate(LoadBalancer, {"vip_network_id": UNKNOWN}).violations == []


def test_known_values_beside_unknown_ones_are_still_refused() -> None:
    assert paths(Listener, {"loadbalancer_id": UNKNOWN, "protocol": "HTTP", "protocol_port": 70_000}) == {
        "protocol_port"
    }


def test_invalid_carries_every_violation_in_one_line() -> None:
    with pytest.raises(Invalid, match="protocol: is required; protocol_port: is required") as caught:
        validated(Listener, {"loadbalancer_id": ID})
    assert len(caught.value.violations) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_no_input_makes_it_raise_and_what_is_accepted_is_stable(kind: str, data: st.DataObject) -> None:
    cls = KINDS[kind]
    raw = {name: data.draw(JSON | st.just(UNKNOWN), label=name) for name in inputs(cls)}
    first = validate(cls, raw)
    if not first.violations:
        again = validate(cls, first.values)
        assert again.violations == []
        assert again.values == first.values


def test_every_attribute_is_documented_and_spelled_once() -> None:
    for cls in KINDS.values():
        names = [a.camel for a in attributes(cls).values()]
        assert len(names) == len(set(names))
        assert all(a.doc.endswith((".", "?")) or a.choices for a in attributes(cls).values()), cls


@pytest.mark.parametrize("kind", KINDS)
def test_what_replaces_says_why(kind: str) -> None:
    silent = [a.name for a in inputs(KINDS[kind]).values() if bool(a.why) != bool(a.replaces or a.replaces_between)]
    assert silent == []
