# SPDX-License-Identifier: Apache-2.0
"""What is chosen inside of a list of objects: unknown in a preview, and no input when it is read."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from octavia_provider.model.kinds import KINDS, LoadBalancer
from octavia_provider.model.metadata import attributes
from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.plugin import outputs
from octavia_provider.plugin.resources import HANDLERS_BY_TYPE
from octavia_provider.plugin.values import Secret

NETWORK, SUBNET = (str(uuid.UUID(int=n)) for n in (1, 2))
GIVEN = {"name": "lb", "vipNetworkId": NETWORK, "additionalVips": [{"subnetId": SUBNET}]}
SHOWN = {"subnetId": SUBNET, "ipAddress": "fd00::5", "portId": None}
HOOK = HANDLERS_BY_TYPE["octavia:index:LoadBalancer"]


def test_preview_of_a_create__the_address_is_unknown() -> None:
    unknown = {"subnetId": SUBNET, "ipAddress": UNKNOWN, "portId": UNKNOWN}
    assert HOOK.preview_create(GIVEN)["additionalVips"] == [unknown]


def test_preview_of_an_update__the_address_stays_unless_the_vips_change() -> None:
    olds = {**GIVEN, "additionalVips": [SHOWN], "vipAddress": "10.0.0.2"}
    assert HOOK.preview_update(GIVEN, olds, {**GIVEN, "description": "x"})["additionalVips"] == [SHOWN]
    changed = {**GIVEN, "additionalVips": [{"subnetId": NETWORK}]}
    assert HOOK.preview_update(GIVEN, olds, changed)["additionalVips"][0]["ipAddress"] is UNKNOWN


def test_read__what_was_chosen_is_no_input() -> None:
    seen = {"name": "lb", "vip_network_id": NETWORK}
    seen |= {"additional_vips": [{"subnet_id": SUBNET, "ip_address": "fd00::5", "port_id": None}]}
    assert outputs.to_inputs(LoadBalancer, seen, GIVEN) == GIVEN
    explicit = {**GIVEN, "additionalVips": [{"subnetId": SUBNET, "ipAddress": "fd00::6"}]}
    assert outputs.to_inputs(LoadBalancer, seen, explicit)["additionalVips"][0]["ipAddress"] == "fd00::5"
    assert outputs.to_inputs(LoadBalancer, {**seen, "additional_vips": []}, {**GIVEN})["additionalVips"] == []


def test_update__out_of_service_is_taken_back_by_true_since_octavia_takes_null_for_false() -> None:
    given = {"name": "lb", "vipNetworkId": NETWORK}
    off = {**given, "adminStateUp": False, "description": "x"}
    assert HOOK._update_body(off, off, given, ()) == {"admin_state_up": True, "description": None}


HOST = {"networkId": str(uuid.UUID(int=1)), "command": ["true"], "name": "one"}


@pytest.mark.parametrize("environment", [{"A": "b"}, {"A": Secret("b")}, Secret({"A": "b"})])
def test_an_environment_is_what_was_given(environment: Any) -> None:
    """No control plane shows it; it is as secret as the program says."""
    kind = KINDS["local_host"]
    given = {**HOST, "environment": environment}
    seen = {"id": "x", "name": "one", "network_id": HOST["networkId"], "command": ["true"]}
    wanted = Secret({"A": "b"}) if environment != {"A": "b"} else {"A": "b"}
    assert outputs.from_object(kind, seen, given)["environment"] == wanted
    assert outputs.to_inputs(kind, seen, given)["environment"] == wanted
    assert "environment" not in outputs.to_inputs(kind, seen, {})
    assert outputs.from_object(kind, seen, {})["environment"] == {}


def test_what_is_only_read_keeps_what_moves_by_itself_until_something_else_is_new() -> None:
    before = {"name": "lb", "operatingStatus": "OFFLINE", "updatedAt": "1", "vipAddress": "10.0.0.2"}
    moved = {**before, "operatingStatus": "ONLINE", "updatedAt": "2"}
    assert outputs.keep_unless_changed(LoadBalancer, moved, before) == before
    changed = {**moved, "vipAddress": "10.0.0.3"}
    assert outputs.keep_unless_changed(LoadBalancer, changed, before) == changed


def test_what_moves_by_itself_is_declared() -> None:
    volatile = {(kind, a.name) for kind in KINDS for a in attributes(KINDS[kind]).values() if a.volatile}
    for kind in KINDS:
        for name in ("updated_at", "provisioning_status"):
            assert (kind, name) in volatile
        assert "operating_status" not in attributes(KINDS[kind]) or (kind, "operating_status") in volatile
    assert ("local_host", "running") in volatile
