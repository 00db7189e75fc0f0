# SPDX-License-Identifier: Apache-2.0
"""Barbican as its clients see it (v1.1), answers and words as those of Barbican 23; in memory, at the requests of the adapter."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from octavia_provider.clouds.openstack.barbican import Barbican
from octavia_provider.clouds.openstack.session import Session

HREF = "http://barbican.test:9311/v1"
SERVICE_USER = "5" * 32


@dataclass
class Answer:
    status_code: int
    body: Any = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": "application/octet-stream" if isinstance(self.body, bytes) else "application/json"}

    def json(self) -> Any:
        return self.body


def refused(status: int, title: str, words: str) -> Answer:
    return Answer(status, {"code": status, "title": title, "description": words})


@dataclass
class FakeBarbican:
    """``failing``: statuses of the next answers, in place of them. ``down``: nothing answers. ``asked``: method and path of each call.
    ``open_metadata``: all see what there is, as administrators do, but for its content.

    Objects belong to a project; a token is the name of a user's project, the control plane's own user reads what it was let.
    """

    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: list[int] = field(default_factory=list)
    down: bool = False
    open_metadata: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    def manager(self, control_plane_id: str = "cp", *, pauses: tuple[float, ...] = (0.0, 0.0)) -> Barbican:
        """The adapter under test, before this Barbican."""
        settings: Any = SimpleNamespace(workers=4, timeout=5.0, cloud=None, region=None)
        session = Session(settings)
        session._connection = SimpleNamespace(key_manager=self, current_user_id=SERVICE_USER, close=lambda: None)
        return Barbican(session, control_plane_id, pauses=pauses)

    # ── what users make ──────────────────────────────────────────────────────────────────────────────────────────────
    def secret(self, payload: str | bytes | None, *, project: str = "ann", readable: bool = True, **more: Any) -> str:
        """Its href. ``readable``: by the control plane."""
        id_ = str(uuid.uuid4())
        kind = "text/plain" if isinstance(payload, str) else "application/octet-stream"
        self.secrets[id_] = {
            "payload": payload.encode() if isinstance(payload, str) else payload, "project": project,
            "users": [SERVICE_USER] if readable else [], "consumers": [],
            "shown": {
                "name": None, "created": "2026-11-01T00:00:00", "expiration": None, "secret_ref": f"{HREF}/secrets/{id_}",
                **({"content_types": {"default": kind}} if payload is not None else {}), **more,
            },
        }  # fmt: skip
        return f"{HREF}/secrets/{id_}"

    def container(
        self, *, type_: str = "certificate", project: str = "ann", readable: bool = True, **parts: Any
    ) -> str:
        """Of parts that are payloads, or hrefs of secrets; its href."""
        id_ = str(uuid.uuid4())
        refs = {
            name: part if str(part).startswith(HREF) else self.secret(part, project=project, readable=readable)
            for name, part in parts.items()
        }
        self.containers[id_] = {
            "project": project, "users": [SERVICE_USER] if readable else [], "consumers": [],
            "shown": {
                "name": "from Barbican", "type": type_, "created": "2026-11-01T00:00:00",
                "container_ref": f"{HREF}/containers/{id_}",
                "secret_refs": [{"name": name, "secret_ref": ref} for name, ref in refs.items()],
            },
        }  # fmt: skip
        return f"{HREF}/containers/{id_}"

    def of(self, href: str) -> dict[str, Any]:
        """What is kept under it."""
        collection, id_ = href.split("/")[-2:]
        found: dict[str, Any] = getattr(self, collection)[id_]
        return found

    def forget(self, href: str) -> None:
        collection, id_ = href.split("/")[-2:]
        del getattr(self, collection)[id_]

    # ── as the adapter of openstacksdk ───────────────────────────────────────────────────────────────────────────────
    def request(
        self, path: str, method: str, *, headers: dict[str, str], authenticated: bool, json: Any = None, **_: Any
    ) -> Answer:
        import keystoneauth1.exceptions as keystone

        self.asked.append((method, path))
        if self.down:
            raise keystone.ConnectFailure("Unable to establish connection to http://barbican.test")
        if self.failing:
            return refused(
                self.failing.pop(0),
                "Internal Server Error",
                "Secret retrieval failure seen - please contact site administrator.",
            )
        who = None if authenticated else headers["X-Auth-Token"]
        collection, id_, *more = path.removeprefix("/").split("/")
        found = getattr(self, collection).get(id_)
        if found is None:
            words = "Secrets container not found." if collection == "containers" else "Secret not found."
            return refused(404, "Not Found", words)
        reading = more[:1] != ["acl"]
        seen = self.open_metadata and not more
        if not seen and who != found["project"] and not (who is None and reading and SERVICE_USER in found["users"]):
            return refused(
                403,
                "Forbidden",
                f"{collection[:-1].capitalize()} retrieval attempt not allowed - please review your user/project privileges",
            )
        return self._answer(method, found, more, headers, json)

    def _answer(
        self, method: str, found: dict[str, Any], more: list[str], headers: dict[str, str], body: Any
    ) -> Answer:
        path = "/".join(more)
        if path == "acl":
            if method == "PATCH":
                found["users"] = body["read"]["users"]
            return Answer(200, {"read": {"users": list(found["users"]), "project-access": True}})
        if path == "payload":
            if headers["Accept"] != found["shown"]["content_types"]["default"]:
                return refused(406, "Not Acceptable", "Secret payload retrieval issue seen - accept of wrong type")
            return Answer(200, found["payload"])
        if path == "consumers":
            if method == "DELETE" and body not in found["consumers"]:
                return refused(404, "Not Found", "Consumer not found.")
            found["consumers"] = [one for one in found["consumers"] if one != body]
            found["consumers"] += [body] if method == "POST" else []
        return Answer(200, {**found["shown"], "consumers": list(found["consumers"])})
