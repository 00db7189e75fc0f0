# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.plugin import values
from octavia_provider.plugin.values import OUTPUT, RESOURCE, SECRET, SIGNATURE, Asset, Secret


def decoded(value: Any) -> Any:
    struct = Struct()
    struct.update({"it": value})
    return values.decode(struct)["it"]


leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.just(UNKNOWN)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5).filter(lambda k: k != SIGNATURE), inner, max_size=3)
        | inner.map(Secret)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5).filter(lambda k: k != SIGNATURE), trees, max_size=4))
def test_what_is_encoded_is_decoded(properties: dict[str, Any]) -> None:
    assert values.decode(values.encode(properties)) == properties


@pytest.mark.parametrize("sentinel", sorted(values.UNKNOWNS))
def test_every_sentinel_is_unknown(sentinel: str) -> None:
    assert decoded(sentinel) is UNKNOWN


def test_whole_numbers_are_whole() -> None:
    assert (decoded(80.0), type(decoded(80.0)), decoded(0.5)) == (80, int, 0.5)


def test_output_values() -> None:
    assert decoded({SIGNATURE: OUTPUT}) is UNKNOWN
    assert decoded({SIGNATURE: OUTPUT, "value": 1, "dependencies": ["urn"]}) == 1
    assert decoded({SIGNATURE: OUTPUT, "value": "s", "secret": True}) == Secret("s")


def test_a_resource_means_its_id() -> None:
    assert decoded({SIGNATURE: RESOURCE, "urn": "u", "id": "42"}) == "42"
    assert decoded({SIGNATURE: RESOURCE, "urn": "u", "id": ""}) is UNKNOWN


def test_secrets_are_not_shown() -> None:
    secret = decoded({SIGNATURE: SECRET, "value": {"a": ["s3cret"]}})
    assert "s3cret" not in repr(secret)
    assert values.plain([secret]) == [{"a": ["s3cret"]}]
    assert values.is_secret({"x": [secret]})
    assert not values.is_secret({"x": ["y"]})


def test_assets_are_told_apart() -> None:
    assert decoded({SIGNATURE: values.ASSET, "text": "x"}) == Asset("an asset")
    assert isinstance(decoded({SIGNATURE: "something new"}), Asset)
