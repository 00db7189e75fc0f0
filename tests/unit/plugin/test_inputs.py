# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

import pem
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.plugin.inputs import Failure, Naming, check
from octavia_provider.plugin.values import Asset, Secret

MEMBER = KINDS["member"]
GIVEN = {"poolId": str(uuid.UUID(int=1)), "address": "10.0.0.1", "protocolPort": 80}
SEED = bytes.fromhex("abcdef0123456789")


def checked(given: dict[str, Any], olds: Any = None, **naming: Any) -> Any:
    return check(MEMBER, given, olds or {}, Naming(**{"resource": "web", "seed": SEED, **naming}))


@pytest.mark.parametrize(
    ("naming", "name"),
    [
        ({}, "web-abcdef0"),
        ({"proposed": "dev-web"}, "dev-web"),
        ({"proposed": "dev-web", "mode": "ENFORCE"}, "dev-web"),
        ({"resource": "x" * 300}, "x" * 247 + "-abcdef0"),
    ],
)
def test_auto_names(naming: dict[str, Any], name: str) -> None:
    inputs, failures = checked(GIVEN, **naming)
    assert (inputs["name"], failures) == (name, [])


def test_without_a_seed_the_name_is_random() -> None:
    assert re.fullmatch(r"web-[0-9a-f]{7}", checked(GIVEN, seed=b"")[0]["name"])


def test_automatic_naming_can_be_switched_off() -> None:
    assert [f.path for f in checked(GIVEN, mode="DISABLE")[1]] == ["name"]


@pytest.mark.parametrize("old", ["web-1234567", ""])
def test_an_old_name_is_kept_even_an_empty_one(old: str) -> None:
    assert checked(GIVEN, {"name": old})[0]["name"] == old


def test_a_given_name_wins() -> None:
    assert checked({**GIVEN, "name": "mine"}, {"name": "old"}, proposed="dev")[0]["name"] == "mine"


def test_inputs_are_what_was_given_without_defaults_and_secrets_stay() -> None:
    given = {**GIVEN, "weight": Secret(3), "name": "m", "backup": None}
    assert checked(given) == ({**GIVEN, "weight": Secret(3), "name": "m"}, [])


@pytest.mark.parametrize("none", ["", "  ", "\n", Secret("")])
def test_empty_text_is_no_input(none: Any) -> None:
    assert checked({**GIVEN, "name": "m", "monitorAddress": none}) == ({**GIVEN, "name": "m"}, [])
    assert [f.path for f in checked({**GIVEN, "name": "m", "address": none})[1]] == ["address"]
    assert check(KINDS["pool"], {"name": "", "description": ""}, {}, Naming("p"))[0] == {"name": "", "description": ""}


def test_all_violations_at_once_with_their_paths() -> None:
    _, failures = checked({"address": "127.0.0.1", "protocolPort": 0, "weight": "x", "strange": 1, "protocol_port": 1})
    assert {f.path for f in failures} == {"poolId", "address", "protocolPort", "weight", "strange", "protocol_port"}


def test_what_is_refused_by_its_name_or_as_an_asset_hides_nothing_else() -> None:
    given = {
        **GIVEN,
        "poolId": Asset("an asset"),
        "protocolPort": 0,
        "tags": ["a", Asset("an archive"), 7],
        "strange": 1,
    }
    _, failures = checked(given, mode="DISABLE")
    assert [f.path for f in failures] == ["poolId", "tags[1]", "name", "strange", "protocolPort", "tags[2]"]
    _, failures = check(KINDS["flavor"], {"flavorProfileId": "x"}, {}, Naming("f", mode="DISABLE"))
    assert [f.path for f in failures] == ["name", "flavorProfileId"]


def test_unknown_values_are_let_through() -> None:
    inputs, failures = checked({**GIVEN, "poolId": UNKNOWN, "address": UNKNOWN})
    assert (inputs["poolId"], failures) == (UNKNOWN, [])


def test_a_secret_is_not_shown_in_a_failure() -> None:
    [failure] = checked({**GIVEN, "address": Secret("s3cret")})[1]
    assert failure == Failure("address", "'[secret]' is not an IP address")


def test_assets_are_refused() -> None:
    inputs = {**GIVEN, "tags": ["a", Asset("an asset")]}
    assert checked(inputs)[1] == [Failure("tags[1]", "is an asset, which no property here takes; give the text itself")]


def test_an_environment_is_a_secret_where_it_holds_a_key() -> None:
    host = {"networkId": str(uuid.UUID(int=1)), "command": ["true"], "name": "one"}
    key = pem.make("a.test").key_pem
    inputs, failures = check(KINDS["local_host"], {**host, "environment": {"PAIR": key}}, {}, Naming("one"))
    assert (inputs["environment"], failures) == (Secret({"PAIR": key}), [])
    inputs, failures = check(KINDS["local_host"], {**host, "environment": {"NAME": "one"}}, {}, Naming("one"))
    assert (inputs["environment"], failures) == ({"NAME": "one"}, [])


def test_failures_are_bounded__and_hold_no_long_value() -> None:
    long = "x" * 1_000_000
    failures = checked(
        {**GIVEN, "address": long, "tags": ["\n"] * 5000, **{f"{long[:300]}{i}": 1 for i in range(1000)}}
    )[1]
    assert len(failures) < 130
    assert all("x" * 201 not in failure.reason + failure.path for failure in failures)
