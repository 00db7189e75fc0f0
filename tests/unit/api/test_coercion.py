# SPDX-License-Identifier: Apache-2.0
"""Numbers as OpenStack's command line sends them: read where Octavia reads them, refused everywhere else."""

from __future__ import annotations

from typing import Any

import pytest

from octavia_provider.api.compat.coercion import understood
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validation import validate
from unit.api.settling import Plane

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MONITOR = {"type": "HTTP", "delay": "5", "timeout": "3", "max_retries": "2", "http_version": 1.1}


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        ("listener", {"connection_limit": "7"}, {"connection_limit": 7}),
        ("listener", {"connection_limit": "-1"}, {"connection_limit": -1}),
        ("listener", {"rate_limit": {"requests": "5"}}, {"rate_limit": {"requests": 5}}),
        ("health_monitor", {"http_version": 1.0}, {"http_version": "1.0"}),
        ("health_monitor", {"http_version": 1}, {"http_version": "1.0"}),
        ("pool", {"session_persistence": {"persistence_timeout": "9"}}, {"session_persistence": {"persistence_timeout": 9}}),
        ("l7_policy", {"redirect_http_code": "301"}, {"redirect_http_code": 301}),
    ],
)  # fmt: skip
def test_what_is_read(kind: str, given: dict[str, Any], read: dict[str, Any]) -> None:
    assert understood(kind, given) == read
    assert {v.path[0] for v in validate(KINDS[kind], given).violations} >= {*given}, "a program's author is told"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        *(("listener", {"connection_limit": text}) for text in ("", "7.0", " 7", "+7", "0x7", "--7", "7e3", "٧", "9" * 19)),
        ("listener", {"name": 7}), ("listener", {"tags": [7]}), ("listener", {"admin_state_up": "1"}),
        ("listener", {"connection_limit": ["7"]}), ("health_monitor", {"http_version": True}),
        ("health_monitor", {"http_version": 2}), ("health_monitor", {"http_version": 10**400}), ("health_monitor", {"http_version": [1.1]}),
        ("listener", {"unknown": "7"}),
    ],
)  # fmt: skip
def test_all_else_is_left_for_the_model_to_refuse(kind: str, given: dict[str, Any]) -> None:
    assert understood(kind, given) == given


async def test_numbers_are_read_in_posts_puts_and_batches_however_deep(plane: Plane) -> None:
    lb = (await plane.balancer())["id"]
    pool = {**POOL, "members": [{"address": "10.1.0.9", "protocol_port": "80"}], "healthmonitor": MONITOR}
    listener = await plane.make("listener", loadbalancer_id=lb, protocol="HTTP", protocol_port="80", default_pool=pool)
    (monitor,) = (await plane.call("GET", "/lbaas/healthmonitors")).body["healthmonitors"]
    assert (listener["protocol_port"], monitor["delay"], monitor["http_version"]) == (80, 5, 1.1)
    put = await plane.call(
        "PUT", f"/lbaas/listeners/{listener['id']}", {"listener": {"connection_limit": "7"}}, wait=10
    )
    assert put.body["listener"]["connection_limit"] == 7
    members = [{"address": "10.1.0.9", "protocol_port": "80", "weight": "3"}]
    batch = await plane.call(
        "PUT", f"/lbaas/pools/{listener['default_pool_id']}/members", {"members": members}, wait=10
    )
    assert [(m["protocol_port"], m["weight"]) for m in batch.body["members"]] == [(80, 3)]
    quota = await plane.call("PUT", "/lbaas/quotas/demo", {"quota": {"load_balancer": "7"}})
    assert quota.body["quota"]["loadbalancer"] == 7
    twice = [*members, {**members[0], "protocol_port": 80}]
    refused = await plane.call(
        "PUT", f"/lbaas/pools/{listener['default_pool_id']}/members", {"members": twice}, wait=10
    )
    assert refused.status == 400
