# SPDX-License-Identifier: Apache-2.0
"""The handlers beside the kinds: versions, statuses, statistics, amphorae, the control plane itself."""

from __future__ import annotations

import os
from typing import Any

from aiohttp import web

from octavia_provider import __version__
from octavia_provider.model.errors import NotFound
from octavia_provider.ports import Record, Transaction

from . import listing
from .context import CONTEXT, Context
from .errors import answer
from .requests import path_id
from .tree import tree
from .views import View, amphora, statistics


async def versions(request: web.Request) -> web.Response:
    """GET / and /v2: the versions there are, as keystoneauth's discovery reads them."""
    href = str(request.url.with_path("/v2").with_query(None))
    found = {
        "id": "v2.0",
        "status": "CURRENT",
        "updated": "2026-01-01T00:00:00Z",
        "links": [{"rel": "self", "href": href}],
    }
    return answer({"versions": [found]})


async def status_tree(request: web.Request) -> web.Response:
    """GET …/loadbalancers/{id}/status."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> dict[str, Any]:
        view = View(tx, context.board, context.store.control_plane_id)
        return tree(tx, view, _existing(tx, "load_balancer", id_))

    return answer(await context.store.read(work))


async def load_balancer_statistics(request: web.Request) -> web.Response:
    """GET …/loadbalancers/{id}/stats: the sum over its listeners."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> list[str]:
        _existing(tx, "load_balancer", id_)
        return tx.ids("listener", ("loadbalancer_id", id_))

    listeners = await context.store.read(work)
    return answer({"stats": statistics([context.board.statistics(id_, listener) for listener in listeners])})


async def listener_statistics(request: web.Request) -> web.Response:
    """GET …/listeners/{id}/stats."""
    context, id_ = request.app[CONTEXT], path_id(request)
    listener = await context.store.read(lambda tx: _existing(tx, "listener", id_))
    return answer({"stats": statistics([context.board.statistics(listener.scope_id, id_)])})


async def amphorae(request: web.Request) -> web.Response:
    """GET /v2/octavia/amphorae."""
    found = await request.app[CONTEXT].store.read(lambda tx: tx.amphorae())
    return answer(listing.page([amphora(a) for a in found], "amphorae", request.url))


async def one_amphora(request: web.Request) -> web.Response:
    """GET /v2/octavia/amphorae/{id}."""
    id_ = path_id(request)
    found = await request.app[CONTEXT].store.read(lambda tx: [a for a in tx.amphorae() if a.id == id_])
    if not found:
        raise NotFound(f"amphora {id_} does not exist in this control plane")
    return answer({"amphora": amphora(found[0])})


async def configuration(request: web.Request) -> web.Response:
    """GET /v2/octavia/loadbalancers/{id}/configuration: haproxy's."""
    context, id_ = request.app[CONTEXT], path_id(request)
    await context.store.read(lambda tx: _existing(tx, "load_balancer", id_))
    return answer({"haproxy": await context.callbacks.configuration(id_)})


async def control_plane(request: web.Request) -> web.Response:
    """GET /v2/octavia/control-plane: who answers."""
    context: Context = request.app[CONTEXT]
    settings = context.settings
    facts = {
        "id": context.store.control_plane_id,
        "version": __version__,
        "schema": settings.schema,
        "started_at": settings.started_at,
        "pid": os.getpid(),
        "home": settings.home,
        "objects": await context.store.read(lambda tx: len(tx.find())),
        "cloud": settings.cloud,
        "project_id": settings.project_id,
    }
    return answer({"control_plane": facts})


async def stop(request: web.Request) -> web.Response:
    """POST /v2/octavia/control-plane/stop: the process ends, the traffic goes on."""
    request.app[CONTEXT].callbacks.stop()
    return web.Response(status=202)


def _existing(tx: Transaction, kind: str, id_: str) -> Record:
    record = tx.get(kind, id_)
    if record is None:
        raise NotFound(f"{kind.replace('_', ' ')} {id_} does not exist in this control plane")
    return record
