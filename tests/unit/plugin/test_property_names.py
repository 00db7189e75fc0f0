# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from octavia_provider.model.errors import Path
from octavia_provider.model.kinds import KINDS
from octavia_provider.plugin import property_names


@pytest.mark.parametrize(
    ("kind", "path", "text"),
    [
        ("listener", ("protocol_port",), "protocolPort"),
        ("listener", ("insert_headers", "X-Forwarded-For"), 'insertHeaders["X-Forwarded-For"]'),
        ("pool", ("session_persistence", "cookie_name"), "sessionPersistence.cookieName"),
        ("load_balancer", ("tags", 3), "tags[3]"),
        ("local_host", ("environment", "some_name"), 'environment["some_name"]'),
        ("listener", ("stranger",), "stranger"),
    ],
)
def test_paths(kind: str, path: Path, text: str) -> None:
    assert property_names.pulumi_path(KINDS[kind], path) == text


def test_there_and_back() -> None:
    given = {"lbAlgorithm": "SOURCE_IP", "sessionPersistence": {"type": "APP_COOKIE", "cookieName": "a"}, "tags": ["x"]}
    raw, strangers = property_names.to_model(KINDS["pool"], given)
    assert strangers == []
    assert raw["session_persistence"] == {"type": "APP_COOKIE", "cookie_name": "a"}
    assert property_names.to_pulumi(KINDS["pool"], raw) == given


def test_keys_of_maps_are_the_users() -> None:
    raw, _ = property_names.to_model(KINDS["local_host"], {"environment": {"some_name": "x", "someName": "y"}})
    assert raw == {"environment": {"some_name": "x", "someName": "y"}}


def test_names_of_the_api_are_strangers_to_pulumi() -> None:
    assert property_names.to_model(KINDS["member"], {"protocol_port": 80})[1] == ["protocol_port"]
