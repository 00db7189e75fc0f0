# SPDX-License-Identifier: Apache-2.0
"""The application: routes, and what happens around every request."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler

from octavia_provider.model.kinds import BALANCER_KINDS, KINDS, OPERATOR_KINDS, PARENTS, SHARED_KINDS
from octavia_provider.ports import NetworkDirectory, Networks, StatusCache, Store

from . import admin, amphorae, events, leftovers, operations, overview, quotas
from .compat import neutron, providers, versions
from .context import CONTEXT, CONTROL_PLANE_HEADER, Callbacks, Context, Settings
from .errors import explain
from .event_feed import EventFeed
from .objects import Objects, update_members
from .pause import Pauses, TimelyStore
from .prefer_wait import GenerationWaits
from .requests import MANY
from .unique_swap import UniqueSwaps

_PREFIXES = ("", "/load-balancer")  # the second: behind a web server, as DevStack puts Octavia
_VERSIONS = ("/v2", "/v2.0")


def create_app(
    store: Store, status_cache: StatusCache, networks: Networks, *, settings: Settings, callbacks: Callbacks,
    local_kinds: Collection[str] = (), directory: NetworkDirectory | None = None,
) -> web.Application:  # fmt: skip
    """The API over a store. Ends its waits when the application shuts down; the store stays open.

    ``local_kinds``: the kinds of objects that exist in this cloud alone. ``directory``: the networks to choose from, where
    clients cannot ask Neutron.
    """
    app = web.Application(middlewares=[_around], client_max_size=MANY)
    pauses = Pauses() if settings.shared else None
    if pauses is not None:
        store = TimelyStore(store, pauses)
        app.cleanup_ctx.append(pauses.watch)
    generation_waits = GenerationWaits(store)
    event_feed = EventFeed(store)
    app[CONTEXT] = Context(
        store=store,
        status_cache=status_cache,
        networks=networks,
        settings=settings,
        callbacks=callbacks,
        generation_waits=generation_waits,
        unique_swaps=UniqueSwaps(store),
        event_feed=event_feed,
        pauses=pauses,
    )

    async def end_waits(_app: web.Application) -> None:
        generation_waits.close()
        event_feed.close()

    app.on_shutdown.append(end_waits)
    for prefix in _PREFIXES:
        app.router.add_get(prefix or "/", versions.versions)
        neutron.projects(app.router, prefix)
        for version in _VERSIONS:
            _routes(app.router, prefix + version)
            for kind in local_kinds:
                _kind(app.router, f"{prefix}{version}/local", kind)
            if directory is not None:
                neutron.routes(app.router, prefix + version, directory)
    return app


def _routes(router: web.UrlDispatcher, base: str) -> None:
    router.add_get(base, versions.versions)
    for word in ("lbaas", "octavia"):
        router.add_get(f"{base}/{word}", versions.name)
    for under in (f"{base}/lbaas", base):  # the second: as Octavia, which serves its collections without the word too
        _balancers(router, under)
    for kind in SHARED_KINDS:
        _kind(router, f"{base}/octavia", kind)
    router.add_get(f"{base}/octavia/amphorae", amphorae.amphorae)
    router.add_get(f"{base}/octavia/amphorae/{{id}}", amphorae.show)
    router.add_get(f"{base}/octavia/amphorae/{{id}}/stats", amphorae.statistics)
    router.add_delete(f"{base}/octavia/amphorae/{{id}}", operations.delete)
    router.add_put(f"{base}/octavia/amphorae/{{id}}/config", operations.configure)
    router.add_put(f"{base}/octavia/amphorae/{{id}}/certificate", operations.rotate)
    router.add_put(f"{base}/octavia/amphorae/{{id}}/agent", operations.restart)
    router.add_post(f"{base}/octavia/certificate-authority/rotation", operations.rotate_authority)
    router.add_put(f"{base}/octavia/amphorae/{{id}}/failover", operations.fail_over)
    router.add_put(f"{base}/octavia/amphorae/{{id}}/drain", operations.drain)
    router.add_delete(f"{base}/octavia/amphorae/{{id}}/drain", operations.undo_drain)
    router.add_get(f"{base}/octavia/loadbalancers/{{id}}/configuration", admin.configuration)
    router.add_post(f"{base}/octavia/loadbalancers/{{id}}/configuration", admin.render)
    router.add_get(f"{base}/octavia/control-plane", admin.control_plane)
    router.add_post(f"{base}/octavia/control-plane/stop", admin.stop)
    router.add_get(f"{base}/octavia/status", overview.status)
    router.add_get(f"{base}/octavia/events", events.events)
    router.add_get(f"{base}/octavia/leftovers", leftovers.leftovers)
    router.add_post(f"{base}/octavia/confirm", leftovers.confirmed)


def _balancers(router: web.UrlDispatcher, base: str) -> None:
    """The collections of load balancers, their parts, and what operators set up for them."""
    for kind in BALANCER_KINDS:
        _kind(router, f"{base}{_under(kind)}", kind)
    for kind in OPERATOR_KINDS:
        if kind != "quota":
            _kind(router, base, kind)
    _operators(router, base)
    balancer = f"{base}/loadbalancers/{{id}}"
    router.add_put(f"{base}/pools/{{pool_id}}/members", update_members)
    router.add_get(f"{balancer}/events", events.of_load_balancer)
    router.add_get(f"{balancer}/status", admin.status_tree)
    router.add_get(f"{balancer}/statuses", admin.status_tree)
    router.add_get(f"{balancer}/stats", admin.load_balancer_statistics)
    router.add_get(f"{base}/listeners/{{id}}/stats", admin.listener_statistics)
    router.add_put(f"{balancer}/failover", operations.fail_over_balancer)


def _operators(router: web.UrlDispatcher, base: str) -> None:
    router.add_get(f"{base}/quotas", quotas.quotas)
    router.add_get(f"{base}/quotas/defaults", quotas.defaults)
    router.add_get(f"{base}/quotas/{{project_id}}", quotas.show)
    router.add_get(f"{base}/quotas/{{project_id}}/default", quotas.defaults)
    router.add_put(f"{base}/quotas/{{project_id}}", quotas.update)
    router.add_delete(f"{base}/quotas/{{project_id}}", quotas.delete)
    router.add_get(f"{base}/providers", providers.providers)
    router.add_get(f"{base}/providers/{{provider}}/flavor_capabilities", providers.flavor_capabilities)
    router.add_get(
        f"{base}/providers/{{provider}}/availability_zone_capabilities", providers.availability_zone_capabilities
    )


def _under(kind: str) -> str:
    """The part of the path that names the parent, where a collection lies under one."""
    if kind not in PARENTS:
        return ""
    parent, attribute = PARENTS[kind]
    return f"/{KINDS[parent].COLLECTION}/{{{attribute}}}"


def _kind(router: web.UrlDispatcher, base: str, kind: str) -> None:
    objects = Objects(kind)
    collection = f"{base}/{KINDS[kind].COLLECTION.replace('_', '-')}"
    router.add_get(collection, objects.list)
    router.add_post(collection, objects.create)
    router.add_get(f"{collection}/{{id}}", objects.show)
    router.add_put(f"{collection}/{{id}}", objects.update)
    router.add_delete(f"{collection}/{{id}}", objects.delete)


async def _handled(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Collections and objects are found with a slash at the end too, as in Octavia."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        path = request.rel_url.raw_path
        if not path.endswith("/"):
            raise
        shorter = request.clone(rel_url=request.rel_url.with_path(path[:-1] or "/", encoded=True, keep_query=True))
        found = await request.app.router.resolve(shorter)
        if found.http_exception is not None:
            raise found.http_exception from None
        found.add_app(request.app)
        found.current_app = request.app
        shorter._match_info = found  # noqa: SLF001 - handlers read the parts of the path from it
        return await found.handler(shorter)


@web.middleware
async def _around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer says who answers; every error is one that a client can read."""
    context = request.app[CONTEXT]
    context.callbacks.activity(1)
    try:
        try:
            if context.pauses is not None:
                context.pauses.admit(request)
            response = await _handled(request, handler)
        except Exception as error:  # noqa: BLE001 - no traceback reaches a user; the log has it
            response = explain(error, request)
        if not response.prepared:
            response.headers[CONTROL_PLANE_HEADER] = context.store.control_plane_id
        return response
    finally:
        context.callbacks.activity(-1)
