# SPDX-License-Identifier: Apache-2.0
"""Leftovers: what a plugin made and no engine is known to keep. See "A create is made once" in docs/reference/api.md."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from octavia_provider.model.errors import Invalid, Violation
from octavia_provider.model.kinds import KINDS, PARENTS
from octavia_provider.ports import Record, Transaction

from .context import CONTEXT
from .errors import answer
from .requests import CONFIRMED, only, read_body

_NAMED = tuple(kind for kind in KINDS if KINDS[kind].KEY != "id")  # the engine knows them by a name


def confirm(tx: Transaction, provider: str, named: Iterable[str], kind: str = "") -> None:
    """An engine keeps what is named. ``kind`` is that of the object that is about to be made, where one is."""
    ids = list(named)
    wanted = set(ids)
    if not kind or kind in _NAMED or not all(map(_is_id, ids)):
        for other in _NAMED:
            ids += [record.id for record in tx.find(other) if record.spec.get(KINDS[other].KEY) in wanted]
    tx.confirm(ids, provider)


async def confirmed(request: web.Request) -> web.Response:
    """POST /v2/octavia/confirm: a run has ended in order, so its engine keeps what it was told of."""
    body = await read_body(request)
    provider, ids = body.get("provider"), body.get("ids")
    if not isinstance(provider, str) or not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise Invalid([Violation((), 'the body must be {"provider": "<uuid>", "ids": ["<id>", …]}')])
    only(body, "provider", "ids")
    if len(ids) > CONFIRMED:
        raise Invalid([Violation(("ids",), f"must not have more than {CONFIRMED} items, and has {len(ids)}")])
    await request.app[CONTEXT].store.write(lambda tx: confirm(tx, provider, ids))
    return web.Response(status=204)


async def leftovers(request: web.Request) -> web.Response:
    """GET /v2/octavia/leftovers, the newest first: in this order they can be deleted."""

    def work(tx: Transaction) -> list[dict[str, Any]]:
        return [_shown(r) for r in reversed(tx.find()) if r.owner and not r.confirmed and not r.deleting]

    return answer({"leftovers": await request.app[CONTEXT].store.read(work)})


def _shown(record: Record) -> dict[str, Any]:
    parent = PARENTS.get(record.kind)
    return {
        "kind": record.kind,
        "id": record.id if KINDS[record.kind].KEY == "id" else record.spec[KINDS[record.kind].KEY],
        "parent_id": record.spec[parent[1]] if parent else None,
        "name": record.spec.get("name") or "",
        "owner": {"provider": record.owner.provider, "urn": record.owner.urn} if record.owner else None,
        "created_at": record.created_at,
    }


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
