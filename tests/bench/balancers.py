# SPDX-License-Identifier: Apache-2.0
"""The three balancers that are rendered by us and by Octavia's own templater: told once, as plain data.

Both sides get the same ids, addresses, weights, monitors and rules. Of what only one of them has, neither gets any: no
log, no persistence, no peers.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from octavia_provider.model.graph import Graph, build
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validation import validated

from .render import address

VIP = "127.0.0.9"
Plain = dict[str, Any]
TYPES = ("HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE")
COMPARISONS = ("STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO", "REGEX")
ACTIONS = ("REJECT", "REDIRECT_TO_URL", "REDIRECT_PREFIX", "REDIRECT_TO_POOL")


class _Ids:
    """Ids that are the same in every run: lengths and orders are, too."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def __call__(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def _pool(new: _Ids, members: int, first: int = 0) -> Plain:
    monitor = {"id": new(), "delay": 30, "timeout": 10, "rise": 2, "fall": 3, "path": "/health", "codes": "200"}
    servers = [
        {"id": new(), "address": address(first + i), "port": 80, "weight": i % 16 + 1} for i in range(members)
    ]  # fmt: skip
    return {"id": new(), "monitor": monitor, "members": servers}


def _rule(new: _Ids, number: int) -> Plain:
    kind = TYPES[number % len(TYPES)]
    return {
        "id": new(),
        "type": kind,
        # FILE_TYPE takes two comparisons, in Octavia and here
        "compare": "EQUAL_TO" if kind == "FILE_TYPE" else COMPARISONS[number // len(TYPES) % len(COMPARISONS)],
        "key": f"x-name-{number}" if kind in ("HEADER", "COOKIE") else None,
        "value": {"PATH": f"/path-{number}", "FILE_TYPE": f"f{number}"}.get(kind, f"value-{number}.example"),
        "invert": number % 7 == 0,
    }


def _policy(new: _Ids, number: int, rules: int) -> Plain:
    return {
        "id": new(),
        "position": number + 1,
        "action": ACTIONS[number % len(ACTIONS)],
        "target": f"https://www{number}.example.com",
        "rules": [_rule(new, i) for i in range(rules)],
    }


def members(count: int) -> Plain:
    """One listener whose pool has so many members."""
    new = _Ids(f"members {count}")
    listener = {"id": new(), "port": 8000, "pools": [_pool(new, count)], "policies": []}
    return {"id": new(), "vip": VIP, "listeners": [listener]}


def listeners(count: int, each: int) -> Plain:
    """So many listeners, each with a pool of its own."""
    new = _Ids(f"listeners {count} {each}")
    found = [
        {"id": new(), "port": 8000 + i, "pools": [_pool(new, each, first=i * each)], "policies": []}
        for i in range(count)
    ]
    return {"id": new(), "vip": VIP, "listeners": found}


def policies(count: int, rules: int) -> Plain:
    """One listener with so many policies, and two pools: the default one, and the one that policies redirect to."""
    new = _Ids(f"policies {count} {rules}")
    pools = [_pool(new, 3), _pool(new, 3, first=3)]
    found = [_policy(new, i, rules) for i in range(count)]
    return {"id": new(), "vip": VIP, "listeners": [{"id": new(), "port": 8000, "pools": pools, "policies": found}]}


CASES: dict[str, Callable[[], Plain]] = {
    "1000_members": lambda: members(1000),
    "100_listeners_100_members": lambda: listeners(100, 100),
    "50_policies_50_rules": lambda: policies(50, 50),
}


def graph(plain: Plain) -> Graph:
    """The model's objects of a balancer, as the control plane has them before it renders."""
    values = {"name": "lb", "vip_network_id": str(uuid.UUID(int=1)), "vip_address": plain["vip"]}
    found = Graph(_build("load_balancer", plain["id"], values))
    for kind, id_, values in _objects(plain):
        found.add(_build(kind, id_, values))
    return found


def _build(kind: str, id_: str, values: Plain) -> Any:
    return build(kind, validated(KINDS[kind], values), id=id_)


def _objects(plain: Plain) -> Iterator[tuple[str, str, Plain]]:
    for listener in plain["listeners"]:
        default = listener["pools"][0]["id"]
        web = {"protocol": "HTTP", "protocol_port": listener["port"], "default_pool_id": default}
        web["connection_limit"] = listener.get("limit", -1)
        yield "listener", listener["id"], {"loadbalancer_id": plain["id"], **web}
        for pool in listener["pools"]:
            kind = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
            yield "pool", pool["id"], {"loadbalancer_id": plain["id"], **kind}
            yield from _of_pool(pool)
        for policy in listener["policies"]:
            yield from _of_policy(policy, listener)


def _of_pool(pool: Plain) -> Iterator[tuple[str, str, Plain]]:
    monitor = pool["monitor"]
    yield "health_monitor", monitor["id"], {
        "pool_id": pool["id"], "type": "HTTP", "delay": monitor["delay"], "timeout": monitor["timeout"],
        "max_retries": monitor["rise"], "max_retries_down": monitor["fall"], "url_path": monitor["path"],
        "expected_codes": monitor["codes"],
    }  # fmt: skip
    for one in pool["members"]:
        place = {"address": one["address"], "protocol_port": one["port"], "weight": one["weight"]}
        yield "member", one["id"], {"pool_id": pool["id"], **place}


def _of_policy(policy: Plain, listener: Plain) -> Iterator[tuple[str, str, Plain]]:
    targets = {"REDIRECT_TO_URL": "redirect_url", "REDIRECT_PREFIX": "redirect_prefix"}
    values: Plain = {"listener_id": listener["id"], "position": policy["position"], "action": policy["action"]}
    if policy["action"] in targets:
        values[targets[policy["action"]]] = policy["target"]
    if policy["action"] == "REDIRECT_TO_POOL":
        values["redirect_pool_id"] = listener["pools"][1]["id"]
    yield "l7_policy", policy["id"], values
    for rule in policy["rules"]:
        yield "l7_rule", rule["id"], {
            "l7policy_id": policy["id"], "type": rule["type"], "compare_type": rule["compare"], "key": rule["key"],
            "value": rule["value"], "invert": rule["invert"],
        }  # fmt: skip
