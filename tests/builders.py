# SPDX-License-Identifier: Apache-2.0
"""Short ways to say "a load balancer with a listener and two members"."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from octavia_provider.model.graph import Graph, build
from octavia_provider.ports import Record, Scope

MINIMAL: Mapping[str, Mapping[str, Any]] = {
    "load_balancer": {"vip_network_id": str(uuid.UUID(int=1)), "vip_address": "10.0.0.9"},
    "listener": {"loadbalancer_id": "lb", "protocol": "HTTP", "protocol_port": 80},
    "pool": {"listener_id": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"},
    "member": {"pool_id": "pool", "address": "10.0.0.11", "protocol_port": 8080},
    "l7_policy": {"listener_id": "web", "action": "REJECT", "position": 1},
    "l7_rule": {"l7policy_id": "policy", "type": "PATH", "compare_type": "STARTS_WITH", "value": "/admin"},
    "health_monitor": {"pool_id": "pool", "type": "HTTP", "delay": 5, "timeout": 2, "max_retries": 2},
}


def resource(kind: str, id_: str, **values: Any) -> Any:
    """An object of a kind with the least that it needs."""
    return build(kind, {**MINIMAL[kind], **values}, id=id_)


def graph(*resources: Any, **load_balancer: Any) -> Graph:
    """A load balancer ``lb`` with these objects."""
    result = Graph(resource("load_balancer", "lb", **load_balancer))
    for item in resources:
        result.add(item)
    return result


def web(members: int = 2, **pool: Any) -> Graph:
    """One HTTP listener ``web``, one ``pool``, members ``m1``, ``m2``, …"""
    servers = (resource("member", f"m{i}", address=f"10.0.0.{10 + i}") for i in range(1, members + 1))
    return graph(resource("listener", "web"), resource("pool", "pool", **pool), *servers)


def record(kind: str, id_: str, *, generation: int = 1, scope_id: str = "lb", **values: Any) -> Record:
    """A record of the store with the least that its spec needs; ``accepted``, ``error``, ``deleting`` as given."""
    fields = {name: values.pop(name) for name in ("accepted", "error", "deleting") if name in values}
    spec = {**MINIMAL[kind], **values}
    return Record(id=id_, kind=kind, scope_id=scope_id, project_id="p", spec=spec, generation=generation, **fields)


def scope(generation: int = 1, applied: int = 0) -> Scope:
    """The scope of load balancer ``lb``."""
    return Scope(id="lb", kind="load_balancer", generation=generation, applied=applied)
