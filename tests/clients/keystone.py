# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Keystone: users of two projects, and a catalogue. Clients log on to it by passwords and application credentials, and
keystonemiddleware has it validate their tokens. Not shown so: expiry, revocation, scopes other than a project. It is a stand-in for
Neutron too, of which clients ask the security groups of a VIP's port alone: there are none."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from local_http import LocalHttp

PASSWORD = "secret"
REGION = "RegionOne"
DOMAIN = {"id": "default", "name": "Default"}
PROJECT, OTHER = "1" * 32, "2" * 32
EXPIRES, ISSUED = "2099-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z"


@dataclass(frozen=True)
class User:
    """``credential``: the id of an application credential of theirs, whose secret is the password."""

    name: str
    roles: tuple[str, ...]
    project_id: str = PROJECT

    @property
    def id(self) -> str:
        return uuid.uuid5(uuid.NAMESPACE_DNS, self.name).hex

    @property
    def credential(self) -> str:
        return uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}/credential").hex


USERS = (
    User("ann", ("member", "reader")),
    User("bob", ("member", "reader"), OTHER),
    User("root", ("admin", "member", "reader")),
    User("octavia", ("admin", "service")),
)


@dataclass
class Keystone(LocalHttp):
    """``with Keystone() as keystone``: then ``keystone.load_balancer`` is the endpoint that its catalogue names. ``issued``: tokens, by
    whom they are; ``refused``: what was asked of it in vain."""

    load_balancer: str = ""
    issued: dict[str, User] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        super().__enter__()
        self.url += "/v3"
        return self

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "POST":
            self._log_in(handler)
        else:
            self._show(handler)

    def environment(self, name: str, project_id: str = PROJECT) -> dict[str, str]:
        """How a user logs on: what ``openrc`` files set."""
        return {
            "OS_AUTH_URL": self.url, "OS_USERNAME": name, "OS_PASSWORD": PASSWORD, "OS_PROJECT_ID": project_id,
            "OS_USER_DOMAIN_NAME": "Default", "OS_REGION_NAME": REGION, "OS_IDENTITY_API_VERSION": "3",
        }  # fmt: skip

    def _version(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self.url + "/"}]
        return {"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z", "links": links, "media-types": []}

    @staticmethod
    def _authenticated(identity: dict[str, Any]) -> User | None:
        if credential := identity.get("application_credential"):
            good = credential["secret"] == PASSWORD
            return next((user for user in USERS if good and user.credential == credential["id"]), None)
        given = identity["password"]["user"]
        good = given["password"] == PASSWORD
        return next(
            (user for user in USERS if good and given.get("name", given.get("id")) in (user.name, user.id)), None
        )

    def _token(self, user: User) -> dict[str, Any]:
        endpoints = {
            "identity": ("keystone", self.url), "load-balancer": ("octavia", self.load_balancer),
            "network": ("neutron", self.url.removesuffix("/v3") + "/network"),
        }  # fmt: skip
        catalog = [
            {"type": type_, "name": name, "id": uuid.uuid5(uuid.NAMESPACE_DNS, name).hex, "endpoints": [
                {"id": uuid.uuid5(uuid.NAMESPACE_DNS, name + side).hex, "interface": side, "region": REGION, "region_id": REGION, "url": url}
                for side in ("public", "internal", "admin")
            ]}
            for type_, (name, url) in endpoints.items()
        ]  # fmt: skip
        return {"token": {
            "methods": ["password"], "audit_ids": ["x"], "expires_at": EXPIRES, "issued_at": ISSUED, "is_domain": False,
            "user": {"id": user.id, "name": user.name, "domain": DOMAIN, "password_expires_at": None},
            "project": {"id": user.project_id, "name": f"project of {user.name}", "domain": DOMAIN},
            "roles": [{"id": uuid.uuid5(uuid.NAMESPACE_DNS, role).hex, "name": role} for role in user.roles],
            "catalog": catalog,
        }}  # fmt: skip

    def _show(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0].rstrip("/")
        if path == "":
            _answer(handler, 300, {"versions": {"values": [self._version()]}})
        elif path == "/v3":
            _answer(handler, 200, {"version": self._version()})
        elif path == "/v3/auth/tokens":
            user = self.issued.get(handler.headers.get("X-Subject-Token", ""))
            _answer(handler, 200, self._token(user)) if user else self._refuse(handler, 404)
        elif path.startswith("/network/v2.0/ports/"):
            _answer(handler, 200, {"port": {"id": path.rpartition("/")[2], "security_groups": []}})
        else:
            self._refuse(handler, 404)

    def _log_in(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        user = self._authenticated(body["auth"]["identity"])
        if handler.path != "/v3/auth/tokens" or user is None:
            self._refuse(handler, 401)
            return
        token = uuid.uuid4().hex
        self.issued[token] = user
        _answer(handler, 201, self._token(user), {"X-Subject-Token": token})

    def _refuse(self, handler: BaseHTTPRequestHandler, status: int) -> None:
        asked = f"{handler.command} {handler.path}"
        self.refused.append(f"{asked} {status}")
        _answer(handler, status, {"error": {"code": status, "message": f"{asked}: no", "title": ""}})


def _answer(handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    data = json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
