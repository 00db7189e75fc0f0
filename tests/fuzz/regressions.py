# SPDX-License-Identifier: Apache-2.0
"""Balancers that failed once, shrunk."""

from __future__ import annotations

from typing import Any

NETWORK = "00000000-0000-0000-0000-000000000001"


def _with_member(**member: Any) -> dict[str, Any]:
    monitor = {"type": "TCP", "delay": 5, "timeout": 1, "max_retries": 1}
    pool = {
        "name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "healthmonitor": monitor,
        "members": [{"address": "10.0.0.1", "protocol_port": 1, **member}],
    }  # fmt: skip
    listener = {"protocol": "TCP", "protocol_port": 1, "default_pool": pool}
    return {"vip_network_id": NETWORK, "listeners": [listener]}


FOUND: tuple[dict[str, Any], ...] = (
    # 'addr': invalid character 'a' in port number 'ab' in 'fd00::ab'; fd00::1:2 was port 2 of fd00::1, silently
    _with_member(monitor_address="fd00::ab"),
    _with_member(monitor_address="fd00::1:2"),
)
