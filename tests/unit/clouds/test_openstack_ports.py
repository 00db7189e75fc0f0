# SPDX-License-Identifier: Apache-2.0
"""How few calls of Neutron an amphora's ports and security group take. Without OpenStack; the real one: tests/openstack."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from octavia_provider.clouds.openstack.amphora_ports import AmphoraPorts
from octavia_provider.clouds.openstack.neutron import Neutron
from octavia_provider.model.errors import Conflict, Refused
from octavia_provider.ports import Vip

EXISTS = "Neutron says (409): Security group rule already exists. Rule id is 7."
FULL = "Neutron says (409): Quota exceeded for resources: ['security_group_rule']."


class Session:
    """Neutron with a network n and its subnet s. ``rules``: of its one security group, by protocol; ``changes``: what was asked to change."""

    def __init__(self, rules: tuple[str, ...] = (), room: int = 99) -> None:
        self.rules, self.room = list(rules), room
        self.changes: list[tuple[str, Any]] = []
        self.ports: list[dict[str, Any]] = []

    async def listed(self, service: str, path: str, key: str, **params: Any) -> Any:
        if key == "subnets":
            return [{"id": "s", "cidr": "10.0.0.0/24", "network_id": "n", "gateway_ip": None}]
        return [port for port in self.ports if key == "ports" and port["name"] == params.get("name")]

    async def make(self, service: str, path: str, body: Any, *, subject: str = "") -> Any:
        self.changes.append((path, body))
        if path == "/security-group-rules":
            wanted = [rule["protocol"] for rule in body["security_group_rules"]]
            if {*wanted} & {*self.rules}:
                raise Conflict(EXISTS, subject=subject)
            if len(self.rules) + len(wanted) > self.room:
                raise Refused(FULL, subject=subject)
            self.rules += wanted
            return {}
        if path == "/security-groups":
            return {"security_group": {"id": "g", "tags": [], "security_group_rules": []}}
        made = {
            "allowed_address_pairs": [], **body["port"], "id": "p", "tags": [], "mac_address": "fa:16:3e:00:00:01",
            "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.9"}],
        }  # fmt: skip
        self.ports.append(made)
        return {"port": made}

    async def put(self, service: str, path: str, body: Any) -> Any:
        self.changes.append((path, body))
        return body if "tags" in body else {"port": {**self.ports[0], **body["port"]}}


def rule(protocol: str) -> dict[str, Any]:
    return {"protocol": protocol, "remote_group_id": "g"}


async def test_rules_are_added_in_one_call() -> None:
    session = Session()
    await Neutron(cast("Any", session), "cp").add_rules("g", [rule("tcp"), rule("udp")], subject="it")
    ((path, body),) = session.changes
    assert path == "/security-group-rules"
    assert body["security_group_rules"] == [
        {"security_group_id": "g", "direction": "ingress", "protocol": protocol, "remote_group_id": "g"}
        for protocol in ("tcp", "udp")
    ]


@pytest.mark.parametrize("there", [("tcp",), ("udp",), ("tcp", "udp")])
async def test_rules_that_are_there_keep_no_other_one_away(there: tuple[str, ...]) -> None:
    session = Session(rules=there)
    await Neutron(cast("Any", session), "cp").add_rules("g", [rule("tcp"), rule("udp")], subject="it")
    assert sorted(session.rules) == ["tcp", "udp"]


async def test_a_full_quota_is_told_and_what_it_has_room_for_is_added() -> None:
    session = Session(room=1)
    with pytest.raises(Refused, match="Quota exceeded"):
        await Neutron(cast("Any", session), "cp").add_rules("g", [rule("tcp"), rule("udp")], subject="it")
    assert session.rules == ["tcp"]


@pytest.mark.parametrize("shared", [False, True])
async def test_a_port_is_made_with_what_its_amphora_carries(shared: bool) -> None:
    session = Session()
    ports = AmphoraPorts(Neutron(cast("Any", session), "cp"), cast("Any", None))
    vips = [
        Vip(address="10.0.0.5", network_id="n", prefix=24, shared=shared),
        Vip(address="10.0.0.8", network_id="n", prefix=24, served=False),  # its own, of a port that is gone
        Vip(address="10.1.0.5", network_id="other", prefix=24),
    ]
    port = await ports.ensure("lb", "a", "n", ["s"], vips=vips, host_id="h")
    assert port["allowed_address_pairs"] == [{"ip_address": "10.0.0.5"}]
    assert {"octavia-host=h", "octavia-amphora=a", f"{'shared' if shared else 'vip'}=10.0.0.5"} < set(port["tags"])
    made, before = len(session.changes), copy.deepcopy(port)
    assert await ports.carry(port, vips[:1], keep=False) == before
    assert len(session.changes) == made  # nothing is left to do
    more = await ports.carry(port, vips, keep=False)
    assert more["allowed_address_pairs"] == [{"ip_address": "10.0.0.5"}, {"ip_address": "10.0.0.8"}]


async def test_a_port_that_carries_nothing_names_no_pairs() -> None:
    """Neutron lets only the owner of a network name them, even none: members may be in networks of others."""
    session = Session()
    ports = AmphoraPorts(Neutron(cast("Any", session), "cp"), cast("Any", None))
    await ports.ensure("lb", "a", "n", ["s"])
    (body,) = [body["port"] for path, body in session.changes if path == "/ports"]
    assert "allowed_address_pairs" not in body
