# SPDX-License-Identifier: Apache-2.0
"""Addresses that a cloud chooses while a load balancer goes on being changed."""

from __future__ import annotations

from octavia_provider.model import allocated

V4, V6 = {"subnet_id": "v4", "ip_address": "10.0.0.9"}, {"subnet_id": "v6", "ip_address": "fd00::9", "port_id": "p6"}


def test_addresses() -> None:
    assert allocated.addresses({"vip_address": None, "additional_vips": [V6, {"subnet_id": "x"}]}) == [
        None,
        "fd00::9",
        None,
    ]
    assert allocated.addresses({"vip_address": "10.0.0.1"}) == ["10.0.0.1"]


def test_a_subnet_that_is_named_again_keeps_its_address() -> None:
    before = {"additional_vips": [V4, V6]}
    asked = {
        "additional_vips": [{"subnet_id": "v6"}, {"subnet_id": "v4", "ip_address": "10.0.0.7"}, {"subnet_id": "new"}]
    }
    assert allocated.kept(before, asked)["additional_vips"] == [
        V6, {"subnet_id": "v4", "ip_address": "10.0.0.7"}, {"subnet_id": "new"},
    ]  # fmt: skip


def test_what_was_asked_for_meanwhile_stays_as_it_is_asked_for() -> None:
    chosen = {"vip_address": "10.0.0.1", "additional_vips": [V4, V6]}
    now = {"name": "other", "vip_address": None, "additional_vips": [{"subnet_id": "v6"}, {"subnet_id": "new"}]}
    assert allocated.filled(now, chosen) == {
        "name": "other", "vip_address": "10.0.0.1", "additional_vips": [V6, {"subnet_id": "new"}],
    }  # fmt: skip
