# SPDX-License-Identifier: Apache-2.0
"""Certificates from Barbican: ``ports.CertificateManager`` over its API (v1; consumers of secrets from 1.1 on).

References are read at Barbican's endpoint in the catalogue, whatever host stands in them: a user's URL is nowhere followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import structlog

from octavia_provider.model.errors import (
    Forbidden,
    NotFound,
    OctaviaError,
    PermanentError,
    Refused,
    TransientError,
    Unreachable,
)
from octavia_provider.ports import Consumer, Readable, StoredCertificate

from . import secret_content
from .session import OTHERS_TOKEN, Json, Session

log = structlog.get_logger(__name__)
SERVICE = "barbican"
CONTAINERS, SECRETS = "containers", "secrets"
LABELS: Mapping[str, str] = {CONTAINERS: "container", SECRETS: "secret"}
NAME = "octavia"
PAUSES = (0.2, 0.8)
"""Seconds before a read is tried again: of one with status 500, which Barbican has under load."""
TEXT, BYTES = "text/plain", "application/octet-stream"
USERS = "read"


class Barbican:
    """Barbican for one control plane, whose id tells its consumers from others'."""

    def __init__(self, session: Session, control_plane_id: str, *, pauses: Collection[float] = PAUSES) -> None:
        self._session, self._pauses = session, tuple(pauses)
        self._service = f"{NAME}/{control_plane_id}"
        self._base = f"{NAME}://{control_plane_id}/"

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def read(self, wanted: Readable, known: str | None = None) -> StoredCertificate:
        """As ``ports.CertificateManager``. A bare id is that of a container, else of a secret."""
        collections = [wanted.collection] if wanted.collection else [CONTAINERS, SECRETS]
        for collection in collections:
            try:
                return await self._read(collection, wanted, known)
            except NotFound:
                if collection != collections[-1]:
                    continue
                raise
        raise AssertionError(collections)

    async def _read(self, collection: str, wanted: Readable, known: str | None) -> StoredCertificate:
        path, subject = f"/{collection}/{wanted.id}", _subject(collection, wanted.id)
        if wanted.token:
            await self._require_seen(path, wanted.token, subject)
        metadata = await self._metadata(path, subject, wanted.token)
        alone = {"": metadata}
        parts = alone if collection == SECRETS else await self._parts(metadata, subject, wanted.token)
        state = " ".join(sorted(f"{name}={_id(one['secret_ref'])}@{one['created']}" for name, one in parts.items()))
        found = StoredCertificate(
            id=wanted.id, source=metadata[f"{LABELS[collection]}_ref"], state=state,
            expires=min((one["expiration"] for one in parts.values() if one.get("expiration")), default=None),
        )  # fmt: skip
        if state == known:
            return found
        contents = await _together(
            {name: self._content(one, _part(subject, name, one), wanted.token) for name, one in parts.items()}
        )
        try:
            inputs = secret_content.of_secret(contents[""]) if "" in contents else secret_content.of_container(contents)
        except ValueError as error:
            raise Refused(str(error), subject=subject) from None
        name = metadata.get("name") or ""
        return StoredCertificate(
            id=found.id, source=found.source, state=state, expires=found.expires, inputs={"name": name, **inputs}
        )

    async def _parts(self, container: Json, subject: str, token: str | None) -> dict[str, Json]:
        """The secrets of a container, by their names there."""
        if container["type"] != "certificate":
            hint = "openstack secret container create --type certificate, with secrets certificate and private_key"
            raise Refused(f"is of the type {container['type']}, not certificate", subject=subject, hint=hint)
        refs = {one["name"]: _id(one["secret_ref"]) for one in container["secret_refs"]}
        refs = {name: id_ for name, id_ in refs.items() if name in secret_content.PARTS}
        return await _together(
            {
                name: self._metadata(f"/{SECRETS}/{id_}", _part(subject, name, {"secret_ref": id_}), token)
                for name, id_ in refs.items()
            }
        )

    async def _metadata(self, path: str, subject: str, token: str | None) -> Json:
        return await self._readable(path, path, subject, token)

    async def _content(self, secret: Json, subject: str, token: str | None) -> bytes:
        kind = (secret.get("content_types") or {}).get("default")
        if kind is None:
            raise Refused("has no payload yet", subject=subject, hint="put one into it, or refer to another one")
        path = f"/{SECRETS}/{_id(secret['secret_ref'])}"
        accept = TEXT if kind.startswith("text/") else BYTES
        answer = await self._readable(f"{path}/payload", path, subject, token, accept)
        content: bytes = answer["content"]
        return content

    async def _readable(self, path: str, of: str, subject: str, token: str | None, accept: str | None = None) -> Json:
        """What is there, by ourselves; where we may not, after the user has let us who may read the object ``of``."""
        try:
            return await self._get(path, subject, accept=accept)
        except Forbidden as error:
            if token is None or not await self._allowed(of, token):
                raise await self._refused(of, error) from None
        try:
            return await self._get(path, subject, accept=accept)
        except Forbidden as error:
            raise await self._refused(of, error) from None

    async def _get(self, path: str, subject: str, *, accept: str | None = None, token: str | None = None) -> Json:
        """What is there, asked for again where Barbican fails. ``token``: of the user who asks in our place."""
        headers = {"Accept": accept or "application/json", **({OTHERS_TOKEN: token} if token else {})}
        for pause in (*self._pauses, None):
            try:
                return await self._session.call(
                    SERVICE, "GET", path, subject=subject, text=accept is not None, headers=headers
                )
            except TransientError as error:
                if pause is None or isinstance(error, Unreachable):
                    raise _later(error) from None
                await asyncio.sleep(pause)
            except NotFound as error:
                hint = "it was deleted, has expired, or is in another Barbican: refer to another one"
                raise NotFound(error.message, subject=subject, hint=hint) from None
        raise AssertionError(path)

    # ── who may read it ──────────────────────────────────────────────────────────────────────────────────────────────
    async def _refused(self, path: str, error: Forbidden) -> Forbidden:
        """What to do so that we may."""
        user = await self._session.user_id()
        hint = f"openstack acl user add --user {user} --operation-type read HREF, of the {_what(path)} {path[1:]}"
        return Forbidden(f"the control plane may not read it. {error.message}", subject=error.subject, hint=hint)

    async def _require_seen(self, path: str, token: str, subject: str) -> None:
        """The control plane may read what is others': whoever names it must be able to see it too."""
        try:
            await self._get(path, subject, token=token)
        except NotFound:
            raise
        except PermanentError as error:
            hint = "somebody who may see it has to refer to it, or to let you: openstack acl user add"
            raise Forbidden(f"you may not see it. {error.message}", subject=subject, hint=hint) from None

    async def _allowed(self, path: str, token: str) -> bool:
        """Let us read it, by the token of a user who may change who does: as Octavia (its ``barbican_acl_auth``)."""
        headers, user = {OTHERS_TOKEN: token}, await self._session.user_id()
        try:
            acl = await self._get(f"{path}/acl", path, token=token)
            users = [*acl.get(USERS, {}).get("users", ()), user]
            await self._session.call(SERVICE, "PATCH", f"{path}/acl", body={USERS: {"users": users}}, headers=headers)
        except OctaviaError:
            return False
        return True

    # ── consumers ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def register(self, source: str, consumers: Collection[Consumer]) -> None:
        """As ``ports.CertificateManager``: what is there is looked at first, so it comes right after any crash."""
        collection, id_ = source.rstrip("/").split("/")[-2:]
        path, subject = f"/{collection}/{id_}", _subject(collection, id_)
        try:
            found = await self._get(path, subject)
        except (NotFound, Forbidden):
            return
        if "consumers" not in found:
            return  # older than consumers of secrets
        mine = [one for one in found["consumers"] if self._is_ours(collection, one)]
        wanted = [self._entry(collection, one) for one in sorted(consumers)]
        for method, entries in (
            ("POST", [one for one in wanted if one not in mine]),
            ("DELETE", [one for one in mine if one not in wanted]),
        ):
            for entry in entries:
                await self._change(method, f"{path}/consumers", entry, subject)

    async def _change(self, method: str, path: str, entry: Json, subject: str) -> None:
        try:
            await self._session.call(SERVICE, method, path, body=entry, subject=subject)
        except (
            PermanentError
        ) as error:  # a quota of consumers, or an operator's policy: certificates are used all the same
            log.warning("consumer of a certificate", reason=str(error), method=method)

    def _is_ours(self, collection: str, consumer: Json) -> bool:
        if collection == CONTAINERS:
            return str(consumer.get("URL", "")).startswith(self._base)
        return bool(consumer.get("service") == self._service)

    def _entry(self, collection: str, consumer: Consumer) -> Json:
        if collection == CONTAINERS:
            return {"name": NAME, "URL": f"{self._base}{consumer.kind}/{consumer.id}"}
        return {"service": self._service, "resource_type": consumer.kind, "resource_id": consumer.id}


async def _together(work: Mapping[str, Any]) -> dict[str, Any]:
    """All at once; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(one) for name, one in work.items()}
    except ExceptionGroup as errors:  # no `except*`: before Python 3.11.4 what is raised in it becomes a group again
        refused, others = errors.split(OctaviaError)
        if refused is None or others is not None:
            raise
        raise _first(refused.exceptions) from None
    return {name: task.result() for name, task in tasks.items()}


def _first(errors: Iterable[BaseException]) -> BaseException:
    return next(iter(errors))


def _later(error: TransientError) -> TransientError:
    return type(error)(error.message, subject=error.subject, hint="try again later", retry_after=5.0)


def _id(ref: str) -> str:
    return ref.rstrip("/").rpartition("/")[2]


def _what(path: str) -> str:
    return LABELS[path.split("/")[1]]


def _part(subject: str, name: str, secret: Json) -> str:
    """How messages call a secret of a container; one by itself has no name there."""
    return f"{subject}, its {name} (secret {_id(secret['secret_ref'])})" if name else subject


def _subject(collection: str, id_: str) -> str:
    return f"Barbican's {LABELS[collection]} {id_}"
