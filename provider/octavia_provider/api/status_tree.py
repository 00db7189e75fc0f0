# SPDX-License-Identifier: Apache-2.0
"""The status tree of a load balancer (octavia/api/v2/types/load_balancer.py, ``StatusResponse``).

To whoever asks for the model's form it holds more: L7 policies, and the pools that no listener sends to.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from octavia_provider.ports import Record, Transaction

from .views import WARNINGS, View

_BELOW = (
    ("member", "pool_id"), ("health_monitor", "pool_id"), ("l7_policy", "listener_id"), ("l7_rule", "l7policy_id"),
)  # fmt: skip


def tree(tx: Transaction, view: View, load_balancer: Record) -> dict[str, Any]:
    """The load balancer, its listeners, their pools, members and monitors."""
    parts: dict[str, list[Record]] = defaultdict(list)
    for record in tx.find(scope_id=load_balancer.scope_id):
        parts[record.kind].append(record)
    below: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for kind, parent in _BELOW:
        for record in parts[kind]:
            below[kind, record.spec[parent]].append(record)
    pools = {pool.id: _pool(view, pool, below) for pool in parts["pool"]}
    listeners = []
    attached = set()
    for listener in parts["listener"]:
        policies = sorted(below["l7_policy", listener.id], key=lambda policy: int(policy.spec["position"]))
        targets = [view.default_pool_id(listener), *(policy.spec["redirect_pool_id"] for policy in policies)]
        mine = [pool_id for pool_id in dict.fromkeys(targets) if pool_id in pools]
        attached.update(mine)
        node = {**_node(view, listener), "pools": [pools[pool_id] for pool_id in mine]}
        if view.model:
            node[WARNINGS] = view.warnings(listener)
            node["l7policies"] = [_l7_policy(view, policy, below) for policy in policies]
        listeners.append(node)
    root = {**_node(view, load_balancer), "listeners": listeners}
    if view.model:
        root["pools"] = [pool for pool_id, pool in pools.items() if pool_id not in attached]
    return {"statuses": {"loadbalancer": root}}


def _l7_policy(view: View, policy: Record, below: dict[tuple[str, str], list[Record]]) -> dict[str, Any]:
    rules = [{**_node(view, rule), "type": rule.spec["type"]} for rule in below["l7_rule", policy.id]]
    return {**_node(view, policy), "action": policy.spec["action"], "rules": rules}


def _pool(view: View, pool: Record, below: dict[tuple[str, str], list[Record]]) -> dict[str, Any]:
    monitors = below["health_monitor", pool.id]
    watched = {**_node(view, monitors[0]), "type": monitors[0].spec["type"]} if monitors else None
    members = [
        {**_node(view, m), "address": view.address(m), "protocol_port": m.spec["protocol_port"]}
        for m in below["member", pool.id]
    ]
    if view.model:
        beside = {"healthmonitor": watched or {}, WARNINGS: view.warnings(pool)}
    else:
        beside = {"health_monitor": watched} if watched else {}
    return {**_node(view, pool), **beside, "members": members}


def _node(view: View, record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.spec.get("name", ""),
        "provisioning_status": view.provisioning(record),
        "operating_status": view.operating(record),
    }
