# SPDX-License-Identifier: Apache-2.0
"""The manners of a stock Octavia over real HTTP, for tests of ``driver: octavia``: PENDING_* first, 409 to a second write of a load
balancer, tags, batches of members. What it takes and refuses of attributes is shown against Octavia itself (tests/openstack)."""

from __future__ import annotations

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from local_http import LocalHttp

KEYS = {"loadbalancers": "loadbalancer", "listeners": "listener", "pools": "pool", "members": "member", "l7policies": "l7policy",
        "rules": "rule", "healthmonitors": "healthmonitor", "flavors": "flavor"}  # fmt: skip


class Fault(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class StockOctavia(LocalHttp):
    """``looks``: how often a load balancer is asked for until a write is in force; ``dropped``: so many POSTs are carried out and
    answered by closing the connection; ``minor``: of its API's version; ``token``: what requests must carry; ``faults``: statuses that
    the next requests are answered with."""

    def __init__(self, *, looks: int = 1, minor: int = 30) -> None:
        self.looks, self.minor = looks, minor
        self.dropped = 0
        self.token = ""
        self.faults: list[int] = []
        self.said = b'{"faultstring": "no"}'
        self.ends: dict[str, str] = {}
        """collection → the status that writes of it end in"""
        self.objects: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in KEYS}
        self.pending: dict[str, int] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self._lock = threading.RLock()

    def writes(self, method: str) -> list[tuple[str, Any]]:
        return [(path, body) for name, path, body in self.requests if name == method]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        parts = urlsplit(handler.path)
        with self._lock:
            self.requests.append((handler.command, parts.path, body))
            try:
                if self.faults:
                    status, answer = self.faults.pop(0), self.said
                else:
                    self._authenticate(handler.headers.get("X-Auth-Token"))
                    status, found = self._answer(handler.command, parts.path, parse_qs(parts.query), body)
                    answer = json.dumps(found).encode()
            except Fault as fault:
                status, answer = fault.status, json.dumps({"faultcode": "Client", "faultstring": str(fault)}).encode()
            if handler.command == "POST" and status == 201 and self.dropped:
                self.dropped -= 1
                handler.close_connection = True
                return
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def _answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if path == "/":
            return 200, {"versions": [{"id": f"v2.{n}"} for n in range(self.minor + 1)]}
        steps = path.removeprefix("/v2/lbaas/").split("/")
        parent = steps[1] if len(steps) > 2 else ""
        name, id_ = steps[-2:] if len(steps) % 2 == 0 else (steps[-1], "")
        if parent and parent not in self.objects[steps[0]]:
            raise Fault(404, f"{steps[0]} {parent} not found.")
        if id_ and id_ not in self.objects[name]:
            raise Fault(404, f"{name} {id_} not found.")
        if method == "GET":
            if id_:
                return 200, {KEYS[name]: self._look(name, id_)}
            return 200, {name: [o for o in self.objects[name].values() if self._fits(o, parent, query)]}
        return self._write(method, name, id_, parent, body)

    def _write(self, method: str, name: str, id_: str, parent: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            return 201, {KEYS[name]: self._make(name, body[KEYS[name]], parent)}
        if not id_:
            return self._batch(body["members"], parent)
        self._begin(self._balancer(name, self.objects[name][id_]))
        if method == "DELETE":
            gone = self.objects[name].pop(id_)
            if name == "l7policies":
                self._count(self._policies(gone["listener_id"]))
            return 204, None
        self.objects[name][id_].update(body[KEYS[name]])
        if name == "l7policies":
            self._place(self.objects[name][id_], body[KEYS[name]].get("position"))
        return 200, {KEYS[name]: self.objects[name][id_]}

    def _authenticate(self, token: str | None) -> None:
        if self.token and token != self.token:
            raise Fault(401, "The request you have made requires authentication.")

    def _batch(self, members: list[dict[str, Any]], pool: str) -> tuple[int, Any]:
        if any(member.get("weight") == 99 for member in members):
            raise Fault(400, "Invalid input for field/attribute weight. Value: '99'.")
        self._begin(self._balancer("members", {"_parent": pool}))
        for member in members:
            place = (member["address"], member["protocol_port"])
            same = [o for o in self.objects["members"].values() if (o["address"], o["protocol_port"]) == place]
            if same:
                same[0].update({"weight": 1, **member})
            else:
                self._store("members", member, pool)
        return 202, None

    def _make(self, name: str, values: dict[str, Any], parent: str) -> dict[str, Any]:
        if values.get("weight") == 99:
            raise Fault(400, "Invalid input for field/attribute weight. Value: '99'.")
        if name != "loadbalancers":
            self._begin(self._balancer(name, {**values, "_parent": parent}))
        made = self._store(name, values, parent)
        if name == "loadbalancers":
            self.pending[made["id"]] = self.looks
        return {**made, "provisioning_status": "PENDING_CREATE"}

    def _store(self, name: str, values: dict[str, Any], parent: str) -> dict[str, Any]:
        shown = {"tags": [], "project_id": "p", "created_at": "2026-01-01T00:00:00", "operating_status": "ONLINE"}
        ended = {"provisioning_status": self.ends.get(name, "ACTIVE"), "_parent": parent}
        made = {"id": str(uuid.uuid4()), **shown, **ended, **values}
        if name == "loadbalancers":
            made |= {"vip_address": "192.0.2.1", "vip_subnet_id": str(uuid.UUID(int=1))}
        if name == "listeners":
            made["loadbalancers"] = [{"id": values["loadbalancer_id"]}]
        if name == "pools":
            made["loadbalancers"] = [{"id": self._balancer(name, made)}]
            made["listeners"] = [{"id": values["listener_id"]}] if values.get("listener_id") else []
            made.pop("listener_id", None)
        if name == "l7policies":
            made["position"] = 0
            self.objects[name][made["id"]] = made
            self._place(made, values.get("position") or 2**31 - 1)
        self.objects[name][made["id"]] = made
        return made

    def _policies(self, listener: str) -> list[dict[str, Any]]:
        there = (one for one in self.objects["l7policies"].values() if one["listener_id"] == listener)
        return sorted(there, key=lambda one: one["position"])

    def _place(self, policy: dict[str, Any], position: int | None) -> None:
        """Octavia keeps a list: it inserts at the position, which is the end where there are fewer, and counts anew."""
        if position is not None:
            others = [one for one in self._policies(policy["listener_id"]) if one is not policy]
            others.insert(position - 1, policy)
            self._count(others)

    def _count(self, policies: list[dict[str, Any]]) -> None:
        for place, policy in enumerate(policies):
            policy["position"] = place + 1

    def _balancer(self, name: str, obj: dict[str, Any]) -> str:
        if name == "loadbalancers":
            return str(obj["id"])
        if obj.get("loadbalancers"):
            return str(obj["loadbalancers"][0]["id"])
        if obj.get("loadbalancer_id"):
            return str(obj["loadbalancer_id"])
        pool, listener, policy = obj.get("pool_id") or obj["_parent"], obj.get("listener_id"), obj["_parent"]
        above = {"members": ("pools", pool), "healthmonitors": ("pools", pool), "rules": ("l7policies", policy)}
        kind, id_ = above.get(name, ("listeners", listener))
        return self._balancer(kind, self.objects[kind][str(id_)])

    def _begin(self, balancer: str) -> None:
        if self.pending.get(balancer, 0):
            raise Fault(409, f"Load Balancer {balancer} is immutable and cannot be updated.")
        self.pending[balancer] = self.looks

    def _look(self, name: str, id_: str) -> dict[str, Any]:
        if name == "loadbalancers" and self.pending.get(id_, 0):
            self.pending[id_] -= 1
            return {**self.objects[name][id_], "provisioning_status": "PENDING_UPDATE"}
        return self.objects[name][id_]

    def _fits(self, obj: dict[str, Any], parent: str, query: dict[str, list[str]]) -> bool:
        tags, names = query.get("tags", []), query.get("name")
        return (
            obj["_parent"] == parent and set(tags) <= set(obj["tags"]) and (names is None or obj.get("name") in names)
        )
