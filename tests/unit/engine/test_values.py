# SPDX-License-Identifier: Apache-2.0
"""Values: the wire's form, secrets, what a checkpoint holds."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from octavia_engine import goals, propertypath, urns, values
from octavia_engine.secrets import Secrets
from octavia_provider.model.errors import Forbidden, Invalid

LEAVES = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e6, 1e6) | st.text(max_size=8)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3) | inner.map(values.secret)
    ),
    max_leaves=12,
)
PROPS = st.dictionaries(st.text(max_size=5), TREES, max_size=4)


@given(PROPS)
def test_the_wire_gives_back_what_it_was_given(props: dict[str, Any]) -> None:
    struct = struct_pb2.Struct()
    values.fill_struct(struct, props)
    assert values.from_struct(struct) == props


@given(PROPS)
def test_encryption_is_undone_by_decryption_and_leaves_nothing_in_the_clear(props: dict[str, Any]) -> None:
    sealed = values.encrypt(props, lambda text: text[::-1])
    assert values.decrypt(sealed, lambda text: text[::-1]) == props
    assert not values._any(sealed, lambda item: values.is_secret(item) and "value" in item)


def test_a_secret_hides_itself_and_plain_reveals_it() -> None:
    props = {"a": values.secret("x"), "b": [values.secret({"c": 1})]}
    assert values.redacted(props) == {"a": "[secret]", "b": ["[secret]"]}
    assert values.plain(props) == {"a": "x", "b": [{"c": 1}]}


def test_a_peer_without_secrets_has_them_marked_again() -> None:
    asked = {"key": values.secret("x"), "deep": {"in": values.secret(1)}, "list": ["a", values.secret("b")]}
    answer = values.annotate_secrets({"key": "x", "deep": {"in": 1}, "list": ["a", "b", "c"], "new": 1}, asked)
    assert answer == asked | {"list": ["a", values.secret("b"), "c"], "new": 1}


def test_references_and_output_values_for_peers_that_know_none() -> None:
    ref = {values.SIGNATURE: values.RESOURCE, "urn": "u", "id": "i"}
    out = {values.SIGNATURE: values.OUTPUT, "value": 1, "secret": True}
    assert values.without_references({"r": [ref]}) == {"r": ["i"]}
    assert values.without_outputs({"o": out}) == {"o": values.secret(1)}
    assert values.without_outputs({values.SIGNATURE: values.OUTPUT}) == values.UNKNOWN


def test_the_passphrase_opens_what_it_closed_and_another_does_not() -> None:
    made = Secrets.new("right")
    sealed = made.encrypt("hush")
    assert Secrets.open(made.salt, "right", "dev").decrypt(sealed) == "hush"
    with pytest.raises(Forbidden, match="passphrase is not the one"):
        Secrets.open(made.salt, "wrong", "dev")


def test_a_salt_that_pulumi_wrote() -> None:
    salt = "v1:OrubFWtR5Lw=:v1:gpfNuURnBw7eJrIF:d4RsAZ9VvKXg07YYEnHxu/+scBkw7w=="
    assert Secrets.open(salt, "x", "dev").provider() == {"type": "passphrase", "state": {"salt": salt}}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("weight", ("weight",)),
        ("members[0].weight", ("members", 0, "weight")),
        ('tags["a b"].x', ("tags", "a b", "x")),
        ("members[*].weight", ("members", "*", "weight")),
    ],
)
def test_property_paths(text: str, path: tuple[Any, ...]) -> None:
    assert propertypath.parse(text) == path


@pytest.mark.parametrize("text", ["a..b", "a[x]", 'a["b', "a[1"])
def test_what_is_no_property_path(text: str) -> None:
    with pytest.raises(Invalid, match="is not a property path"):
        propertypath.parse(text)


def test_ignored_changes_keep_the_old_value_or_its_absence() -> None:
    olds = {"a": 1, "list": [{"w": 1}, {"w": 2}]}
    news = {"a": 2, "b": 3, "list": [{"w": 5}, {"w": 6}]}
    assert propertypath.keep_old(news, olds, ["a", "b", "list[*].w"]) == {"a": 1, "list": [{"w": 1}, {"w": 2}]}
    assert propertypath.keep_old(news, olds, ["*"]) == olds
    assert propertypath.keep_old(news, olds, []) is news


def test_urns() -> None:
    root = urns.root_urn("dev", "prog")
    site = urns.urn("dev", "prog", root, "probe:site:Site", "eu")
    child = urns.urn("dev", "prog", site, "probe:index:Member", "a::b")
    assert root == "urn:pulumi:dev::prog::pulumi:pulumi:Stack::prog-dev"
    assert child == "urn:pulumi:dev::prog::probe:site:Site$probe:index:Member::a::b"
    assert urns.type_of(child) == "probe:index:Member"
    assert urns.name_of(child) == "a::b"
    assert urns.split_reference(urns.reference(child, "id")) == (child, "id")


@pytest.mark.parametrize(("text", "found"), [("5m", 300), ("1h30m", 5400), ("90s", 90), ("1.5s", 1.5), ("250ms", 0.25)])
def test_durations(text: str, found: float) -> None:
    assert goals.parse_duration(text) == found


def test_what_is_no_duration() -> None:
    with pytest.raises(Invalid, match="is not a duration such as 5m"):
        goals.parse_duration("5 minutes")
