# SPDX-License-Identifier: Apache-2.0
"""The application: routes, and what happens around every request."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler

from octavia_provider.model.kinds import BALANCER_KINDS, KINDS, OPERATOR_KINDS, PARENTS, SHARED_KINDS
from octavia_provider.ports import CertificateManager, NetworkDirectory, Networks, StatusCache, Store

from . import admin, amphorae, certificates, events, health, leftovers, operations, overview, quotas
from .authorization import authenticate, listed, marked, narrowing, of_object, of_project, one, own, word
from .compat import neutron, providers, versions
from .context import CONTEXT, CONTROL_PLANE_HEADER, Callbacks, Context, Settings, Users
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
    local_kinds: Collection[str] = (), directory: NetworkDirectory | None = None, users: Users | None = None,
    certificate_manager: CertificateManager | None = None,
) -> web.Application:  # fmt: skip
    """The API over a store. Ends its waits when the application shuts down; the store stays open.

    ``local_kinds``: the kinds of objects that exist in this cloud alone. ``directory``: the networks to choose from, where
    clients cannot ask Neutron. ``users``: whose requests are answered, where not everybody may do everything. ``certificate_manager``:
    what TLS containers may be besides our own.
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
        users=users,
        certificates=certificate_manager,
    )

    async def end_waits(_app: web.Application) -> None:
        generation_waits.close()
        event_feed.close()

    app.on_shutdown.append(end_waits)
    if users is not None:
        app.on_cleanup.append(lambda _: users.close())
    for prefix in _PREFIXES:
        app.router.add_get(prefix or "/", versions.versions)
        app.router.add_get(f"{prefix}/healthcheck", health.healthcheck)
        if users is None:
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
    for name in ("lbaas", "octavia"):
        router.add_get(f"{base}/{name}", own(versions.name))
    for under in (f"{base}/lbaas", base):  # the second: as Octavia, which serves its collections without the word too
        _balancers(router, under)
    for kind in SHARED_KINDS:
        _kind(router, f"{base}/octavia", kind)
    reread = of_object(certificates.reread, "tls_container", "tls-container:put_reread")
    router.add_put(f"{base}/octavia/tls-containers/{{id}}/reread", reread)
    _amphorae(router, f"{base}/octavia/amphorae")
    balancer = f"{base}/octavia/loadbalancers/{{id}}"
    router.add_get(f"{balancer}/configuration", own(admin.configuration, "loadbalancer:get_configuration"))
    router.add_post(f"{balancer}/configuration", own(admin.render, "loadbalancer:post_configuration"))
    router.add_get(f"{base}/octavia/control-plane", own(admin.control_plane, "control-plane:get_one"))
    router.add_post(f"{base}/octavia/control-plane/stop", own(admin.stop, "control-plane:post_stop"))
    rotation = own(operations.rotate_authority, "certificate-authority:post_rotation")
    router.add_post(f"{base}/octavia/certificate-authority/rotation", rotation)
    router.add_get(f"{base}/octavia/status", own(overview.status, "status:get_all"))
    router.add_get(f"{base}/octavia/events", narrowing(events.events, "event"))
    router.add_get(f"{base}/octavia/leftovers", own(leftovers.leftovers, "leftover:get_all"))
    router.add_post(f"{base}/octavia/confirm", own(leftovers.confirmed, "leftover:post_confirm"))


def _amphorae(router: web.UrlDispatcher, base: str) -> None:
    """Amphorae are operators' alone: no user knows of them."""
    amphora = f"{base}/{{id}}"
    router.add_get(base, own(amphorae.amphorae, "amphora:get_all"))
    router.add_get(amphora, own(amphorae.show, "amphora:get_one"))
    router.add_get(f"{amphora}/stats", own(amphorae.statistics, "amphora:get_stats"))
    router.add_delete(amphora, own(operations.delete, "amphora:delete"))
    router.add_put(f"{amphora}/config", own(operations.configure, "amphora:put_config"))
    router.add_put(f"{amphora}/certificate", own(operations.rotate, "amphora:put_certificate"))
    router.add_put(f"{amphora}/agent", own(operations.restart, "amphora:put_agent"))
    router.add_put(f"{amphora}/failover", own(operations.fail_over, "amphora:put_failover"))
    router.add_put(f"{amphora}/drain", own(operations.drain, "amphora:put_drain"))
    router.add_delete(f"{amphora}/drain", own(operations.undo_drain, "amphora:delete_drain"))


def _balancers(router: web.UrlDispatcher, base: str) -> None:
    """The collections of load balancers, their parts, and what operators set up for them."""
    for kind in BALANCER_KINDS:
        _kind(router, f"{base}{_under(kind)}", kind)
    for kind in OPERATOR_KINDS:
        if kind != "quota":
            _kind(router, base, kind)
    _operators(router, base)
    balancer, lb = f"{base}/loadbalancers/{{id}}", "load_balancer"
    batch = of_object(update_members, "pool", "member:post", "member:put", "member:delete", name="pool_id")
    router.add_put(f"{base}/pools/{{pool_id}}/members", batch)
    router.add_get(f"{balancer}/events", narrowing(events.of_load_balancer, "event"))
    for name in ("status", "statuses"):
        router.add_get(f"{balancer}/{name}", of_object(admin.status_tree, lb, "loadbalancer:get_status"))
    router.add_get(f"{balancer}/stats", of_object(admin.load_balancer_statistics, lb, "loadbalancer:get_stats"))
    listener = of_object(admin.listener_statistics, "listener", "listener:get_stats")
    router.add_get(f"{base}/listeners/{{id}}/stats", listener)
    router.add_put(f"{balancer}/failover", of_object(operations.fail_over_balancer, lb, "loadbalancer:put_failover"))


def _operators(router: web.UrlDispatcher, base: str) -> None:
    quota = f"{base}/quotas/{{project_id}}"
    router.add_get(f"{base}/quotas", narrowing(quotas.quotas, "quota"))
    router.add_get(f"{base}/quotas/defaults", own(quotas.defaults, "quota:get_defaults"))
    router.add_get(quota, of_project(quotas.show, "quota:get_one"))
    router.add_get(f"{quota}/default", of_project(quotas.defaults, "quota:get_defaults"))
    router.add_put(quota, of_project(quotas.update, "quota:put"))
    router.add_delete(quota, of_project(quotas.delete, "quota:delete"))
    provider = f"{base}/providers/{{provider}}"
    router.add_get(f"{base}/providers", own(providers.providers, "provider:get_all"))
    flavors = own(providers.flavor_capabilities, "provider-flavor:get_all")
    router.add_get(f"{provider}/flavor_capabilities", flavors)
    zones = own(providers.availability_zone_capabilities, "provider-availability-zone:get_all")
    router.add_get(f"{provider}/availability_zone_capabilities", zones)


def _under(kind: str) -> str:
    """The part of the path that names the parent, where a collection lies under one."""
    if kind not in PARENTS:
        return ""
    parent, attribute = PARENTS[kind]
    return f"/{KINDS[parent].COLLECTION}/{{{attribute}}}"


def _kind(router: web.UrlDispatcher, base: str, kind: str) -> None:
    objects = Objects(kind)
    collection = f"{base}/{KINDS[kind].COLLECTION.replace('_', '-')}"
    router.add_get(collection, listed(objects.list, kind))
    router.add_post(collection, marked(objects.create, f"{word(kind)}:post"))  # whose it is stands in the body
    router.add_get(f"{collection}/{{id}}", one(objects.show, kind, "get_one"))
    router.add_put(f"{collection}/{{id}}", one(objects.update, kind, "put"))
    router.add_delete(f"{collection}/{{id}}", one(objects.delete, kind, "delete"))


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
            if context.users is not None:
                await authenticate(request, context.users)
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
