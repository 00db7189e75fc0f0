# SPDX-License-Identifier: Apache-2.0
"""A small control plane over real HTTP, for tests of those who call one: it keeps objects in memory and speaks
docs/reference/api.md, validating by the model. Tests hold its answers back, or make objects end in ERROR."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from local_http import LocalHttp
from octavia_provider.client import collections
from octavia_provider.model import tls_container
from octavia_provider.model.kinds import KINDS, PARENTS
from octavia_provider.model.metadata import attributes, inputs
from octavia_provider.model.validation import validate


class Fault(Exception):
    def __init__(self, status: int, message: str, violations: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.violations = status, message, violations or []


class ControlPlane(LocalHttp):
    """``with ControlPlane() as plane: Client(plane.url)``."""

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.home = ""
        self.version = "0.1.0"
        self.objects: dict[str, dict[str, Any]] = {}
        self.owners: dict[str, tuple[str, str]] = {}
        self.confirmed: set[str] = set()
        self.requests: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        self.failing: dict[str, str] = {}
        """kind → why writes of it end in ERROR"""
        self.held: set[str] = set()
        """kinds whose writes stay pending"""
        self.dropped_posts = 0
        """so many POSTs are carried out and then answered by closing the connection"""
        self.answering = threading.Event()
        """cleared: confirmations are not answered"""
        self.answering.set()
        self.changed = threading.Condition()

    def release(self, kind: str) -> None:
        """Let the held writes of a kind settle."""
        with self.changed:
            self.held.discard(kind)
            for obj in list(self.objects.values()):
                if obj["_kind"] == kind:
                    self._settle(obj)
            self.changed.notify_all()

    def has(self, id_: str) -> bool:
        return id_ in self.objects

    def writes(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [(method, path, body) for method, path, body, _ in self.requests if method != "GET"]

    # ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def handle(self, handler: Any) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else {}
        url = urlsplit(handler.path)
        self.requests.append((handler.command, url.path, body, dict(handler.headers)))
        headers: dict[str, str] = {}
        try:
            status, answer = self._route(handler, url.path, dict(parse_qsl(url.query)), body, headers)
        except Fault as fault:
            status = fault.status
            answer = {"faultcode": "Client", "faultstring": fault.message, "violations": fault.violations}
        if handler.command == "POST" and self.dropped_posts:
            self.dropped_posts -= 1
            handler.close_connection = True
            return
        data = b"" if answer is None else json.dumps(answer).encode()
        handler.send_response(status)
        for name, value in {**headers, "X-Octavia-Control-Plane": self.id}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _route(self, handler: Any, path: str, query: dict[str, str], body: Any, headers: dict[str, str]) -> Any:
        if path.startswith("/v2/octavia/c"):
            return self._own(path, body)
        kind, parent, id_ = self._resolve(path)
        preferred = handler.headers.get("Prefer", "")
        wait = float(preferred.removeprefix("wait=")) if preferred.startswith("wait=") else 0.0
        word = collections.object_key(kind)
        with self.changed:
            if handler.command == "GET" and id_ is None:
                return 200, {collections.list_key(kind): [self._view(o) for o in self._list(kind, parent, query)]}
            if handler.command == "POST":
                self.changed.notify_all()
                obj, adopted = self._create(kind, parent, body[word], body.get("owner"))
                headers.update({"X-Octavia-Adopted": "true"} if adopted else {})
                return self._await(obj, wait, 200 if adopted else 201, 202)
            if kind == "quota" and handler.command == "PUT":  # there is one for every project
                self.objects.setdefault(str(id_), self._new(kind, str(id_), {"project_id": id_}))
            obj = self._get(kind, parent, unquote(str(id_)))
            self._confirm(obj, handler.headers.get("X-Octavia-Owner"))
            if handler.command == "PUT":
                self._update(obj, body[word])
                return self._await(obj, wait, 200, 202)
            if handler.command == "DELETE":
                return self._delete(obj, wait)
            return self._await(obj, wait, 200, 200)

    def _own(self, path: str, body: Any) -> Any:
        if path == "/v2/octavia/control-plane":
            return 200, {"control_plane": {"id": self.id, "version": self.version, "pid": 0, "project_id": "demo"}}
        self.answering.wait(10)
        self.confirmed.update(i for i in body["ids"] if self.owners.get(i, ("",))[0] == body["provider"])
        return 204, None

    def _await(self, obj: dict[str, Any], wait: float, settled: int, pending: int) -> Any:
        end = time.monotonic() + wait
        while self._pending(obj) and (left := end - time.monotonic()) > 0:
            self.changed.wait(left)
        if obj["id"] not in self.objects:
            raise Fault(404, f"{obj['id']} does not exist")
        word = collections.object_key(obj["_kind"])
        return (pending if self._pending(obj) else settled), {word: self._view(obj)}

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _resolve(self, path: str) -> tuple[str, str | None, str | None]:
        parts = path.strip("/").split("/")
        for kind in PARENTS:
            if len(parts) >= 5 and collections.collection(kind, parts[3]).strip("/") == "/".join(parts[:5]):
                return kind, parts[3], (parts[5] if len(parts) > 5 else None)
        for kind in KINDS:
            if kind not in PARENTS and collections.collection(kind).strip("/") == "/".join(parts[:3]):
                return kind, None, (parts[3] if len(parts) > 3 else None)
        raise Fault(404, f"no such path: {path}")

    def _list(self, kind: str, parent: str | None, query: dict[str, str]) -> list[dict[str, Any]]:
        mine = [
            o for o in self.objects.values() if o["_kind"] == kind and (not parent or o[PARENTS[kind][1]] == parent)
        ]
        return [o for o in mine if all(str(o.get(name)) == value for name, value in query.items())]

    def _get(self, kind: str, parent: str | None, id_: str) -> dict[str, Any]:
        obj = self.objects.get(id_)
        if obj is None or obj["_kind"] != kind or (parent and obj[PARENTS[kind][1]] != parent):
            raise Fault(404, f"{kind} {id_} does not exist")
        return obj

    def _checked(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        result = validate(KINDS[kind], values)
        if result.violations:
            found = [{"path": list(v.path), "message": v.message} for v in result.violations]
            raise Fault(400, "invalid", found)
        return result.values

    def _create(self, kind: str, parent: str | None, values: dict[str, Any], owner: Any) -> tuple[dict[str, Any], bool]:
        spec = self._checked(kind, {**values, **({PARENTS[kind][1]: parent} if parent else {})})
        for known in (owner or {}).get("known", ()):
            self.confirmed.add(known)
        if owner:
            who = (owner["provider"], owner["urn"])
            for obj in self.objects.values():
                if self.owners.get(obj["id"]) == who and obj["id"] not in self.confirmed and obj["_kind"] == kind:
                    self._write(obj, spec)
                    return obj, True
        self._unique(kind, spec, None)
        key = KINDS[kind].KEY
        obj = self._new(kind, str(uuid.uuid4()) if key == "id" else spec[key])
        self.objects[obj["id"]] = obj
        if owner:
            self.owners[obj["id"]] = who
        self._write(obj, spec)
        return obj, False

    @staticmethod
    def _new(kind: str, id_: str, spec: Any = None) -> dict[str, Any]:
        return {"id": id_, "_kind": kind, "created_at": "2026-01-01T00:00:00", "project_id": "demo", **(spec or {})}

    def _unique(self, kind: str, spec: dict[str, Any], own: str | None) -> None:
        unique = KINDS[kind].UNIQUE
        for other in self.objects.values():
            if unique and other["_kind"] == kind and other["id"] != own and unique.key(other) == unique.key(spec):
                message = unique.message(spec, other["name"])
                raise Fault(409, message, [{"path": [unique.at], "message": message}])

    def _update(self, obj: dict[str, Any], values: dict[str, Any]) -> None:
        known = inputs(KINDS[obj["_kind"]])
        immutable = [n for n in values if n not in known or known[n].replaces]
        if immutable:
            raise Fault(400, "immutable", [{"path": [n], "message": "cannot be changed"} for n in immutable])
        spec = self._checked(obj["_kind"], {**{n: obj.get(n) for n in known}, **values})
        self._unique(obj["_kind"], spec, obj["id"])
        self._write(obj, spec)

    def _write(self, obj: dict[str, Any], spec: dict[str, Any]) -> None:
        kind = obj["_kind"]
        chosen = {"vip_address": "10.9.0.5", "vip_subnet_id": spec.get("vip_network_id"), "cidr": "10.9.0.0/24",
                  "address": "10.9.0.20", "position": 1}  # fmt: skip
        known = inputs(KINDS[kind])
        for name, value in chosen.items():
            if name in spec and spec[name] is None and known[name].filled:
                spec = {**spec, name: obj.get(name) or value}
        if kind == "pool" and spec["listener_id"] in self.objects:
            listener = self.objects[spec["listener_id"]]
            spec["loadbalancer_id"] = listener["loadbalancer_id"]
            listener["default_pool_id"] = obj["id"]
        new = "provisioning_status" not in obj
        obj.update(spec)
        obj["provisioning_status"] = "PENDING_CREATE" if new else "PENDING_UPDATE"
        obj["operating_status"] = "ONLINE"
        obj["control_plane_id"] = self.id
        match kind:
            case "listener":
                obj["url"] = f"http://127.0.0.1:{obj['protocol_port']}/"
            case "local_network":
                obj["subnet_id"] = obj["id"]
            case "local_host":
                obj["running"] = True
            case "tls_container":
                obj.update(tls_container.facts(obj))
        if kind not in self.held:
            self._settle(obj)

    def _settle(self, obj: dict[str, Any]) -> None:
        reason = self.failing.get(obj["_kind"])
        if obj["provisioning_status"] == "PENDING_DELETE":
            self.objects.pop(obj["id"], None)
        obj["provisioning_status"] = "ERROR" if reason else "ACTIVE"
        obj["provisioning_error"] = reason

    def _delete(self, obj: dict[str, Any], wait: float) -> Any:
        children = [o for o in self.objects.values() if o.get("loadbalancer_id") == obj["id"]]
        if children:
            raise Fault(409, f"load balancer {obj['name']} has {len(children)} children")
        obj["provisioning_status"] = "PENDING_DELETE"
        if obj["_kind"] not in self.held:
            self._settle(obj)
        end = time.monotonic() + wait
        while obj["id"] in self.objects and (left := end - time.monotonic()) > 0:
            self.changed.wait(left)
        return (202 if obj["id"] in self.objects else 204), None

    @staticmethod
    def _pending(obj: dict[str, Any]) -> bool:
        return str(obj["provisioning_status"]).startswith("PENDING")

    @staticmethod
    def _view(obj: dict[str, Any]) -> dict[str, Any]:
        known = attributes(KINDS[obj["_kind"]])
        return {"id": obj["id"], **{name: obj.get(name) for name in known}}

    def _confirm(self, obj: dict[str, Any], header: str | None) -> None:
        if header:
            provider, _, urn = header.partition(" ")
            if self.owners.get(obj["id"]) == (provider, unquote(urn)):
                self.confirmed.add(obj["id"])
