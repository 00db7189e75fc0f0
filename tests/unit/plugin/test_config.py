# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.plugin import config


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OCTAVIA_ENDPOINT", raising=False)
    monkeypatch.setenv("OCTAVIA_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("news", "paths"),
    [
        ({}, []),
        ({"endpoint": "https://octavia.example.org", "version": "0.1.0", "__internal": {}}, []),
        ({"endpoint": UNKNOWN}, []),
        ({"endpoint": "http://one:9876, http://two:9876,"}, []),
        ({"endpoint": "http://one:9876,two"}, ["endpoint"]),
        ({"endpoint": ","}, ["endpoint"]),
        ({"endpoint": "octavia.example.org"}, ["endpoint"]),
        ({"home": 3, "regoin": "x", "insecure": "true"}, ["home", "regoin"]),
    ],
)
def test_check(news: dict[str, Any], paths: list[str]) -> None:
    assert [failure.path for failure in config.check(news)] == paths


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({}, {}, []),
        ({"endpoint": "http://a"}, {"endpoint": "http://A:80/"}, [("endpoint", False)]),
        ({"endpoint": "http://a"}, {"endpoint": "http://b"}, [("endpoint", True)]),
        ({"endpoint": "http://a"}, {"endpoint": "http://b,http://A:80/"}, [("endpoint", False)]),
        ({"endpoint": "http://a,http://b"}, {"endpoint": "http://c"}, [("endpoint", True)]),
        ({"endpoint": "http://a", "home": "/x"}, {"endpoint": "http://a", "home": "/y"}, [("home", False)]),
        ({"home": "/x"}, {"home": "/y"}, [("home", True)]),
        ({}, {"endpoint": UNKNOWN}, [("endpoint", True)]),
    ],
)
def test_only_another_control_plane_replaces(old: Any, new: Any, changed: Any) -> None:
    assert config.diff(old, new) == changed


def test_saying_the_default_home_replaces_nothing(tmp_path: Path) -> None:
    assert config.diff({}, {"home": str(tmp_path)}) == [("home", False)]


@pytest.mark.parametrize(
    ("options", "environment", "signs_in"),
    [
        ({"cloud": "here"}, {}, True),
        ({"authUrl": "http://keystone/v3"}, {}, True),
        ({"cloud": "here", "endpoint": "http://lb:9876"}, {}, True),
        ({}, {"OS_CLOUD": "here"}, False),
        ({"region": "one"}, {"OS_CLOUD": "here"}, False),
        ({"cloud": "here", "home": "/x"}, {}, False),
    ],
)
def test_a_control_plane_of_a_cloud_is_meant_where_the_options_name_one(
    options: Any, environment: Any, signs_in: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert config.signs_in(options) == signs_in


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({}, {"cloud": "here"}, [("cloud", True)]),
        ({"cloud": "here"}, {"cloud": "there"}, [("cloud", False)]),
        ({"authUrl": "http://a/v3"}, {"authUrl": "http://b/v3"}, [("authUrl", True)]),
        ({"cloud": "here", "region": "one"}, {"cloud": "here", "region": "two"}, [("region", True)]),
        ({"cloud": "c", "password": "one"}, {"cloud": "c", "password": "two"}, [("password", False)]),
    ],
)
def test_another_keystone_or_region_is_another_control_plane(old: Any, new: Any, changed: Any) -> None:
    assert config.diff(old, new) == changed
