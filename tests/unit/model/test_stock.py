# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from octavia_provider.model import stock
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import attributes, inputs
from octavia_provider.model.unknown import UNKNOWN

ID = "8d6d3a2e-6f0c-4a8f-9df4-0f6f5a3a7b11"


@pytest.mark.parametrize(
    ("kind", "given", "paths"),
    [
        ("load_balancer", {"name": "a", "vip_network_id": ID}, []),
        ("load_balancer", {"max_header_size": 15360}, []),
        ("load_balancer", {"max_header_size": 4096, "amphora_group_id": UNKNOWN}, ["amphora_group_id", "max_header_size"]),
        ("pool", {"session_persistence": {"type": "HTTP_COOKIE", "cookie_secure": True}}, ["session_persistence.cookie_secure"]),
        ("pool", {"session_persistence": {"type": "HTTP_COOKIE", "cookie_secure": None}}, []),
        ("pool", {"session_persistence": UNKNOWN}, []),
        ("health_monitor", {"type": "GRPC"}, ["type"]),
        ("health_monitor", {"type": UNKNOWN}, []),
        ("l7_rule", {"type": "METHOD", "name": "n" * 241}, ["type", "name"]),
        ("flavor_profile", {"flavor_data": '{"vrrp_advertisement_interval": 1}'}, ["flavor_data"]),
        ("flavor_profile", {"flavor_data": "{"}, []),
        ("listener", {"default_tls_container_ref": ID, "sni_container_refs": [f"https://b/{ID}", ID]},
         ["default_tls_container_ref", "sni_container_refs.1"]),
        ("listener", {"default_tls_container_ref": f"https://barbican/v1/secrets/{ID}", "sni_container_refs": UNKNOWN}, []),
        ("tls_container", {"certificate": "x"}, [""]),
        ("local_host", {}, [""]),
    ],
)  # fmt: skip
def test_what_octavia_lacks_is_refused_by_its_path(kind: str, given: dict[str, Any], paths: list[str]) -> None:
    found = list(stock.refusals(kind, given))
    assert [".".join(map(str, one.path)) for one in found] == paths
    assert all(
        "driver octavia" in one.message or "driver: octavia" in one.message or "Barbican" in one.message
        for one in found
    )


def test_the_version_of_the_service_is_asked_for_where_it_matters() -> None:
    """A default is in every service: without the attribute nothing else happens."""
    newer = {"hsts_max_age": 5, "alpn_protocols": None, "allowed_cidrs": ()}
    assert stock.asks_version("listener", newer)
    assert not stock.asks_version("listener", {"protocol": "HTTP", "hsts_preload": False})
    assert stock.asks_version("pool", {"lb_algorithm": "SOURCE_IP_PORT"})
    assert [one.path for one in stock.refusals("listener", newer, 26)] == [("hsts_max_age",)]
    assert [*stock.refusals("listener", newer, 27)] == []
    (found,) = stock.refusals("pool", {"lb_algorithm": "SOURCE_IP_PORT"}, 12)
    assert found.message == "SOURCE_IP_PORT needs version 2.13 of Octavia's API, and the service has 2.12"


def test_the_table_names_what_the_model_has() -> None:
    for table in (stock.LACKING, stock.CHOICES, stock.SINCE, stock.CHOICES_SINCE, stock.FIXED):
        for kind, names in table.items():
            known = inputs(KINDS[kind])
            for path in names:
                name, _, rest = path.partition(".")
                holder = known[name].nested or known[name].json
                assert not rest or (holder is not None and rest in attributes(holder)), (kind, path)
    for table in (stock.CHOICES, stock.CHOICES_SINCE):
        for kind, by_name in table.items():
            for name, choices in by_name.items():
                assert {*choices} <= {choice.value for choice in inputs(KINDS[kind])[name].choices}  # type: ignore[attr-defined]
    assert not any(inputs(KINDS[kind])[name].replaces for kind, names in stock.FIXED.items() for name in names)


@pytest.mark.parametrize(
    ("asked", "position", "behind", "stands"),
    [
        (2, 2, [None], True),
        (10, 2, [], True),
        (10, 1, [20, 10], True),
        (10, 1, [20, 9], False),
        (10, 1, [None], False),
        (1, 2, [], False),
    ],
)
def test_an_l7_policy_may_stand_in_front_of_those_alone_that_were_to_be_behind_it(
    asked: int, position: int, behind: list[int | None], stands: bool
) -> None:
    assert stock.stands_as_asked(asked, position, behind) is stands
