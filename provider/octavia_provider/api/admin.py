# SPDX-License-Identifier: Apache-2.0
"""The handlers beside the kinds: statuses, statistics, the control plane itself."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from aiohttp import web

from octavia_provider import __version__
from octavia_provider.model.errors import NotFound
from octavia_provider.ports import Record, Transaction

from .authorization import allowed
from .context import CONTEXT, Context
from .errors import answer
from .representation import wants_model
from .requests import flag, path_id
from .status_tree import tree
from .views import View, statistics


async def status_tree(request: web.Request) -> web.Response:
    """GET …/loadbalancers/{id}/status."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> dict[str, Any]:
        view = View(tx, context.status_cache, context.store.control_plane_id, model=wants_model(request))
        return tree(tx, view, _existing(tx, "load_balancer", id_))

    return answer(await context.store.read(work))


async def load_balancer_statistics(request: web.Request) -> web.Response:
    """GET …/loadbalancers/{id}/stats: the sum over its listeners."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> list[str]:
        _existing(tx, "load_balancer", id_)
        return tx.ids("listener", ("loadbalancer_id", id_))

    listeners = await context.store.read(work)
    return answer({"stats": statistics([context.status_cache.statistics(id_, listener) for listener in listeners])})


async def listener_statistics(request: web.Request) -> web.Response:
    """GET …/listeners/{id}/stats."""
    context, id_ = request.app[CONTEXT], path_id(request)
    listener = await context.store.read(lambda tx: _existing(tx, "listener", id_))
    return answer({"stats": statistics([context.status_cache.statistics(listener.scope_id, id_)])})


async def configuration(request: web.Request) -> web.Response:
    """GET /v2/octavia/loadbalancers/{id}/configuration: haproxy's; with ``?rendered=true`` what templates make of it, too."""
    context, id_, rendered = request.app[CONTEXT], path_id(request), flag(request, "rendered")
    await context.store.read(lambda tx: _existing(tx, "load_balancer", id_))
    configurations = context.callbacks.configurations
    found = {"haproxy": await configurations.in_force(id_)}
    if rendered:
        found.update(await configurations.rendered(id_))
    return answer(found)


async def render(request: web.Request) -> web.Response:
    """POST /v2/octavia/loadbalancers/{id}/configuration: render it anew, after a change of templates."""
    context, id_ = request.app[CONTEXT], path_id(request)
    await context.store.read(lambda tx: _existing(tx, "load_balancer", id_))
    await context.callbacks.configurations.render(id_)
    return web.Response(status=202)


async def control_plane(request: web.Request) -> web.Response:
    """GET /v2/octavia/control-plane: who answers; to users its id and version alone."""
    context = request.app[CONTEXT]
    if not allowed(request, "status:get_all", None):
        facts = control_plane_facts(context)
        return answer({"control_plane": {name: facts[name] for name in ("id", "version", "cloud")}})
    objects, processes = await context.store.read(lambda tx: (len(tx.find()), control_planes(tx)))
    facts = {**control_plane_facts(context), "objects": objects, "control_planes": processes}
    return answer({"control_plane": facts})


def control_planes(tx: Transaction) -> list[dict[str, Any]]:
    """All that share the store; none where this one has it to itself."""
    return [asdict(process) for process in tx.control_planes()]


def control_plane_facts(context: Context) -> dict[str, Any]:
    """Who answers: its id, version, process and home."""
    settings = context.settings
    return {
        "id": context.store.control_plane_id,
        "version": __version__,
        "schema": settings.schema,
        "started_at": settings.started_at,
        "pid": os.getpid(),
        "home": settings.home,
        "cloud": settings.cloud,
        "project_id": settings.project_id,
        "certificate_authority": context.callbacks.operations.authority(),
        "heartbeats": context.callbacks.operations.heartbeats(),
    }


async def stop(request: web.Request) -> web.Response:
    """POST /v2/octavia/control-plane/stop: the process ends, the traffic goes on."""
    request.app[CONTEXT].callbacks.stop()
    return web.Response(status=202)


def _existing(tx: Transaction, kind: str, id_: str) -> Record:
    record = tx.get(kind, id_)
    if record is None:
        raise NotFound(f"{kind.replace('_', ' ')} {id_} does not exist in this control plane")
    return record
