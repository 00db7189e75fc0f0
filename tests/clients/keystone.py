# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Keystone: users of two projects, and a catalogue. Clients log on to it by passwords and application credentials, and
keystonemiddleware has it validate their tokens. Not shown so: expiry, revocation, scopes other than a project. It is a stand-in for
Neutron too, of which clients ask the security groups of a VIP's port alone: there are none."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

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
class Keystone:
    """``with Keystone() as keystone``: then ``keystone.load_balancer`` is the endpoint that its catalogue names. ``issued``: tokens, by
    whom they are; ``refused``: what was asked of it in vain."""

    load_balancer: str = ""
    issued: dict[str, User] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"keystone": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v3"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keystone: Keystone

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].rstrip("/")
        if path == "":
            self.answer(300, {"versions": {"values": [self.keystone._version()]}})
        elif path == "/v3":
            self.answer(200, {"version": self.keystone._version()})
        elif path == "/v3/auth/tokens":
            user = self.keystone.issued.get(self.headers.get("X-Subject-Token", ""))
            self.answer(200, self.keystone._token(user)) if user else self.refuse(404)
        elif path.startswith("/network/v2.0/ports/"):
            self.answer(200, {"port": {"id": path.rpartition("/")[2], "security_groups": []}})
        else:
            self.refuse(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        user = self.keystone._authenticated(body["auth"]["identity"])
        if self.path != "/v3/auth/tokens" or user is None:
            self.refuse(401)
            return
        token = uuid.uuid4().hex
        self.keystone.issued[token] = user
        self.answer(201, self.keystone._token(user), {"X-Subject-Token": token})

    def refuse(self, status: int) -> None:
        self.keystone.refused.append(f"{self.command} {self.path} {status}")
        self.answer(status, {"error": {"code": status, "message": f"{self.command} {self.path}: no", "title": ""}})

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass
