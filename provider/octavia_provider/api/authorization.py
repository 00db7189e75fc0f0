# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what: each route says by which rule of the policy it is judged, and whose object it is about.

A caller on the Unix socket is the user that runs the control plane, and may do everything; so may all callers where no users
are kept (the embedded cloud). Rules bear Octavia's names (octavia/policies).
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from octavia_provider.model.errors import Forbidden, Invalid, Unauthenticated, Violation
from octavia_provider.model.kinds import BALANCER_KINDS, KINDS, PARENTS, SHARED_KINDS
from octavia_provider.ports import Caller, Record, Transaction

from .context import CONTEXT, Users
from .requests import flag, path_id
from .rules import ROOTS, found

PREFIX = "os_load-balancer_api:"
REFUSED = "Policy does not allow this request to be performed"  # Octavia's words (octavia/common/exceptions.py)
ALL_PROJECTS = "all_projects"
RULES = "rules"
"""Where a handler tells by which rules it is judged: no route is without (tests/unit/api/test_authorization.py)."""
GLOBAL = "get_all-global"
_CALLER = web.RequestKey("caller", Caller)
_NARROWED = web.RequestKey("narrowed", str)
_OF_PROJECTS = frozenset({*BALANCER_KINDS, *SHARED_KINDS})
"""Kinds whose objects are some project's; flavors, zones and networks are there for all."""
_PROJECT_NAMES = ("project_id", "tenant_id")
_NAMED_BY: Mapping[str, str] = {
    "loadbalancer_id": "load_balancer", "listener_id": "listener", "pool_id": "pool", "l7policy_id": "l7_policy",
}  # fmt: skip
"""By what an object names those that it belongs to."""
_OPEN = frozenset(
    f"{prefix}{path}" for prefix in ("", "/load-balancer") for path in ("", "/healthcheck", "/v2", "/v2.0")
)


def word(kind: str) -> str:
    """A kind in the names of rules: ``health_monitor`` → ``healthmonitor``, ``flavor_profile`` → ``flavor-profile``."""
    return kind.replace("_", "" if kind in BALANCER_KINDS else "-")


# ── who asks ─────────────────────────────────────────────────────────────────────────────────────────────────────────
async def authenticate(request: web.Request, users: Users) -> None:
    """Find out who asks. ``Unauthenticated`` where that cannot be known, and what is asked for is not open to everybody."""
    if on_unix_socket(request) or request.path.rstrip("/") in _OPEN:
        return
    try:
        request[_CALLER] = await users.identity.caller(request.method, request.path, request.headers)
    except Unauthenticated as error:
        error.challenge = users.identity.challenge
        raise


def on_unix_socket(request: web.Request) -> bool:
    """Whether the caller is a process of this machine, which the socket has admitted."""
    connection = request.transport.get_extra_info("socket") if request.transport else None
    return bool(connection is not None and connection.family == socket.AF_UNIX)


def caller_of(request: web.Request) -> Caller | None:
    """The user who asks; None where nobody has to say who they are. Nobody comes past this by mistake: ``Unauthenticated``."""
    caller: Caller | None = request.get(_CALLER)
    if caller is None and request.app[CONTEXT].users is not None and not on_unix_socket(request):
        raise Unauthenticated("nobody knows who asks")
    return caller


def project_of(request: web.Request) -> str:
    """Whose an object is that is made without saying so."""
    caller = caller_of(request)
    if caller is None:
        return request.app[CONTEXT].settings.project_id
    if caller.project_id is None:
        raise Forbidden("the token is of no project", hint="get one for the project that is to own it")
    return caller.project_id


def is_user(request: web.Request) -> bool:
    """Whether the caller is somebody whom Keystone knows, and not the user of the Unix socket."""
    return caller_of(request) is not None


def by_project(request: web.Request) -> bool:
    """Whether objects of one project are none of another one's business."""
    return request.app[CONTEXT].users is not None


# ── may they ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def allowed(request: web.Request, rule: str, project_id: str | None) -> bool:
    """Whether the caller may do this to what a project owns; ``rule`` without the prefix."""
    users, caller = request.app[CONTEXT].users, caller_of(request)
    return caller is None or users is None or users.policy.allows(PREFIX + rule, caller, project_id)


def require(request: web.Request, rule: str, project_id: str | None) -> None:
    """``Forbidden`` where they may not."""
    if not allowed(request, rule, project_id):
        raise Forbidden(
            f"{REFUSED}: {PREFIX}{rule} in project {project_id or '(none)'}",
            hint="ask for a role that the policy asks for (docs/reference/policies.md)",
        )


def require_parents(request: web.Request, tx: Transaction, rule: str, kind: str, values: Mapping[str, Any]) -> None:
    """``Forbidden`` where an object is to be put into one that is not the caller's; one that does not exist is told elsewhere."""
    if kind in ROOTS or caller_of(request) is None:
        return
    for name, parent_kind in _NAMED_BY.items():
        parent = tx.get(parent_kind, values[name]) if values.get(name) else None
        if parent is not None:
            require(request, rule, parent.project_id)


def require_own_group(request: web.Request, tx: Transaction, record: Record) -> None:
    """``Invalid`` where a load balancer is to be on amphorae of another project's group: there is none, as far as it knows."""
    group_id = record.spec.get("amphora_group_id") if record.kind == "load_balancer" else None
    group = tx.get("amphora_group", group_id) if group_id and by_project(request) else None
    if group is not None and group.project_id != record.project_id:
        raise Invalid([Violation(("amphora_group_id",), f"{KINDS[group.kind].LABEL} {group.id} does not exist")])


# ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
Target = Callable[[web.Request], Awaitable[str | None]]


def guarded(handler: Handler, *rules: str, of: Target) -> Handler:
    """The handler, for those who may: ``of`` says whose what is asked for is."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if caller_of(request) is not None:
            project_id = await of(request)
            for rule in rules:
                require(request, rule, project_id)
        return await handler(request)

    return marked(answer, *rules)


def marked(handler: Handler, *rules: str) -> Handler:
    """A handler that judges by itself, in its own transaction."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    setattr(answer, RULES, rules)
    return answer


def own(handler: Handler, *rules: str) -> Handler:
    """For what belongs to no project: judged by the caller's own."""

    async def of(request: web.Request) -> str | None:
        return request[_CALLER].project_id

    return guarded(handler, *rules, of=of)


def of_project(handler: Handler, *rules: str) -> Handler:
    """For what is a project's by the URL."""

    async def of(request: web.Request) -> str | None:
        return request.match_info["project_id"]

    return guarded(handler, *rules, of=of)


def of_object(handler: Handler, kind: str, *rules: str, name: str = "id") -> Handler:
    """For what the URL names, or what belongs to it; one that does not exist is the handler's to tell."""

    async def of(request: web.Request) -> str | None:
        record = await request.app[CONTEXT].store.read(lambda tx: _named(tx, request, kind, name))
        return record.project_id if record else request[_CALLER].project_id

    return guarded(handler, *rules, of=of)


def _named(tx: Transaction, request: web.Request, kind: str, name: str) -> Record | None:
    return found(tx, kind, path_id(request, name) if KINDS[kind].KEY == "id" else request.match_info[name])


def listed(handler: Handler, kind: str) -> Handler:
    """For a collection: all of it to who may see all projects, else one project's; what lies under a parent, to who may see that."""
    if kind in PARENTS:
        parent_kind, name = PARENTS[kind]
        return of_object(handler, parent_kind, f"{word(kind)}:get_all", name=name)
    return narrowing(handler, word(kind)) if kind in _OF_PROJECTS else own(handler, f"{word(kind)}:get_all")


def one(handler: Handler, kind: str, action: str) -> Handler:
    """For one object of a collection."""
    rule = f"{word(kind)}:{action}"
    return of_object(handler, kind, rule) if kind in _OF_PROJECTS else own(handler, rule)


def narrowing(handler: Handler, what: str) -> Handler:
    """As Octavia: who may see all projects sees them, or the one they ask for; others see their own."""

    async def answer(request: web.Request) -> web.StreamResponse:
        caller = caller_of(request)
        if caller is not None:
            request[_NARROWED] = _project_seen(request, caller, what)
        return await handler(request)

    return marked(answer, f"{what}:get_all", f"{what}:{GLOBAL}")


def _project_seen(request: web.Request, caller: Caller, what: str) -> str:
    """The project that the list is narrowed to; empty where it is not."""
    asked = {value for name in _PROJECT_NAMES for value in request.query.getall(name, [])}
    every = flag(request, ALL_PROJECTS) if ALL_PROJECTS in request.query else None
    if every is not False and allowed(request, f"{what}:{GLOBAL}", None):
        return ""
    if every:
        require(request, f"{what}:{GLOBAL}", None)
    for project_id in asked or (caller.project_id,):
        require(request, f"{what}:get_all", project_id)
    if asked:
        return ""  # the list is filtered by what was asked for
    if caller.project_id is None:
        raise Forbidden("the token is of no project", hint="name one (project_id=…), or get a token for it")
    return caller.project_id


def narrowed_to(request: web.Request) -> str | None:
    """The project of which alone something is shown; None where all are."""
    return request.get(_NARROWED) or None


def seen(request: web.Request) -> URL:
    """The request's URL as clients reach it, and with what it asks for narrowed to what the caller may see."""
    project_id, url = narrowed_to(request), request.url
    public = request.app[CONTEXT].settings.public_url
    if public and not on_unix_socket(request):
        base = URL(public)
        path = base.raw_path.rstrip("/") + url.raw_path
        url = base.with_path(path, encoded=True).with_query(url.query)
    return url.update_query(project_id=project_id) if project_id else url
