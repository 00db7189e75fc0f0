# SPDX-License-Identifier: Apache-2.0
"""What a request names of a certificate manager: it is read before anything is written, and kept with what names it.

Whoever writes a reference again has it read again: so do Octavia's users where something has changed behind one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import structlog
from aiohttp import web

from octavia_provider.controller import certificate_copies as copies
from octavia_provider.model import formats
from octavia_provider.model.errors import Conflict, Invalid, Path, PermanentError, TransientError, Violation
from octavia_provider.ports import CertificateManager, Readable, Record

from .authorization import is_user
from .context import CONTEXT
from .errors import answer
from .graph_create import CreateRequest
from .requests import path_id
from .rules import living

log = structlog.get_logger(__name__)
Copies = Mapping[str, Mapping[str, Any]]
"""The specs of TLS containers by their ids."""
COLLECTIONS = ("containers", "secrets")
AT_ONCE = 8
"""References of one request that are read at once."""
SETTLED = 5.0
"""Seconds for which a copy is waited for that is let go of just now."""


async def read_for(request: web.Request, wanted: Iterable[CreateRequest]) -> Copies:
    """What is named by what is to be made. ``Invalid`` with all that cannot be had; ``TransientError`` where there is no answer."""
    manager = request.app[CONTEXT].certificates
    if manager is None:
        return {}
    named = [(one.at((*one.path, *path)), ref) for one in wanted for path, ref in _references(one.kind, one.raw)]
    return await _read(request, manager, named, {})


async def read_for_change(request: web.Request, record: Record, given: Mapping[str, Any]) -> Copies:
    """The same, of a change. What the object has by the same reference already it goes on with, where that cannot be read now."""
    manager = request.app[CONTEXT].certificates
    if manager is None:
        return {}
    had = {formats.container_ref(ref): record for _, ref in _references(record.kind, record.spec)}
    return await _read(request, manager, list(_references(record.kind, given)), had)


def _references(kind: str, given: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """What is written as a reference, with where; what is none the model refuses."""
    for name in copies.NAMED_BY.get(kind, ()):
        value = given.get(name)
        for index, ref in enumerate(value if isinstance(value, list | tuple) else [value]):
            if isinstance(ref, str) and _readable(ref) is not None:
                yield ((name,) if ref is value else (name, index)), ref


def _readable(ref: str, token: str | None = None) -> Readable | None:
    parts = ref.rstrip("/").split("/")
    try:
        id_ = formats.container_ref(ref)
    except ValueError:
        return None
    collection = parts[-2] if len(parts) > 1 and parts[-2] in COLLECTIONS else None
    return Readable(id=id_, collection=collection, token=token)


async def _read(
    request: web.Request, manager: CertificateManager, named: Iterable[tuple[Path, str]], had: Mapping[str, Record]
) -> Copies:
    token = request.headers.get("X-Auth-Token") if is_user(request) else None
    places: dict[Readable, Path] = {}
    for path, ref in named:
        wanted = _readable(ref, token)
        if wanted is not None and wanted not in places and await _elsewhere(request, wanted.id):
            places[wanted] = path
    at_once = asyncio.Semaphore(AT_ONCE)

    async def read(wanted: Readable) -> Mapping[str, Any] | Violation | None:
        try:
            async with at_once:
                return copies.spec_of(await manager.read(wanted))
        except (PermanentError, TransientError) as error:
            if wanted.id in had:
                log.warning("certificate not read again", id=wanted.id, reason=str(error))
                return None
            if isinstance(error, TransientError):
                raise
            return Violation(places[wanted], str(error))

    found = dict(zip(places, await asyncio.gather(*map(read, places)), strict=True))
    if wrong := [one for one in found.values() if isinstance(one, Violation)]:
        raise Invalid(wrong)
    return {wanted.id: spec for wanted, spec in found.items() if isinstance(spec, Mapping)}


async def _elsewhere(request: web.Request, id_: str) -> bool:
    """Whether it is no TLS container of our own; a copy that is let go of is waited for."""
    context = request.app[CONTEXT]
    record = await context.store.read(lambda tx: tx.get(copies.KIND, id_))
    if record is not None and record.deleting and copies.is_copy(record):
        await context.generation_waits.settled(record.scope_id, record.generation, SETTLED)
    return record is None or copies.is_copy(record)


def refuse_copy(record: Record, what: str) -> None:
    """``Conflict`` where a copy is to be changed or deleted: it follows what it is a copy of."""
    if record.kind == copies.KIND and copies.is_copy(record):
        hint = f"octaviactl reread {record.id} reads it again; it goes when nothing refers to it"
        raise Conflict(
            f"cannot be {what}: it is a copy of {record.spec[copies.SOURCE]}",
            subject=f"TLS container {record.id}",
            hint=hint,
        )


async def reread(request: web.Request) -> web.Response:
    """PUT …/tls-containers/{id}/reread: a copy is read again now, and what has changed put in force. ``changed``: whether it was."""
    context, id_ = request.app[CONTEXT], path_id(request)
    record = await context.store.read(lambda tx: living(tx, copies.KIND, id_))
    if not copies.is_copy(record):
        hint = "change it: PUT without /reread, or its program"
        raise Conflict("is no copy of a certificate manager's", subject=f"TLS container {id_}", hint=hint)
    changed = await context.callbacks.operations.reread(id_)
    return answer({"id": id_, "source": record.spec[copies.SOURCE], "changed": changed})
