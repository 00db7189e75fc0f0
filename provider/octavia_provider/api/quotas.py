# SPDX-License-Identifier: Apache-2.0
"""The handlers of quotas. A project without one has the defaults; PUT makes it, DELETE puts the defaults back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiohttp import web

from octavia_provider.model.errors import Invalid, Violation
from octavia_provider.model.quota import Quota
from octavia_provider.model.validation import validate, validated
from octavia_provider.ports import Record, Transaction

from . import create_update, deletion, list_query
from .authorization import seen
from .compat.coercion import understood
from .context import CONTEXT, Context
from .errors import answer
from .graph_create import PROJECT, CreateRequest
from .quota_check import DEFAULTS
from .requests import read_body, read_object, strangers
from .rules import key
from .views import View, shown_names

# Octavia's older spelling of two limits (octavia/api/v2/types/quotas.py), the only one that openstacksdk knows.
OLDER = {"load_balancer": "loadbalancer", "health_monitor": "healthmonitor"}


async def quotas(request: web.Request) -> web.Response:
    """GET /v2/lbaas/quotas: of the projects that have one."""
    context = request.app[CONTEXT]
    found = await context.store.read(lambda tx: [_show(tx, context, r) for r in sorted(tx.find(Quota.KIND), key=key)])
    return answer(list_query.page(found, "quotas", seen(request), _spelled(shown_names(Quota.KIND))))


async def defaults(_request: web.Request) -> web.Response:
    """GET …/quotas/defaults: what holds for a project that has none."""
    return answer({"quota": _spelled(DEFAULTS)})


async def show(request: web.Request) -> web.Response:
    """GET …/quotas/{project_id}: its own, or the defaults."""
    context, project_id = request.app[CONTEXT], request.match_info["project_id"]

    def work(tx: Transaction) -> dict[str, Any]:
        record = tx.holding(Quota.KIND, project_id)
        return _show(tx, context, record) if record else _spelled(_default(project_id, context))

    return answer({"quota": await context.store.read(work)})


async def update(request: web.Request) -> web.Response:
    """PUT …/quotas/{project_id}: the limits that are given; null puts one back to its default."""
    context, project_id = request.app[CONTEXT], request.match_info["project_id"]
    body = await read_body(request)
    given = read_object(body, Quota.KIND)
    given = {name: value for name, value in given.items() if name not in PROJECT}
    older = {old: new for old, new in OLDER.items() if old in given and new not in given}
    wrong = [*strangers(body, "quota"), *_contradictions(given)]
    given = {older.get(name, name): value for name, value in given.items() if name in older or name not in OLDER}
    given = understood(Quota.KIND, given)
    if wrong:
        others = validate(Quota, {**given, Quota.KEY: project_id}).violations
        raise Invalid([*wrong, *_as_said(others, older)], subject=f"quota of project {project_id}")

    def work(tx: Transaction) -> dict[str, Any]:
        begun = create_update.ObjectWriter.begin(tx, context.networks)
        return _show(tx, context, _put(tx, begun, project_id, given))

    try:
        return answer({"quota": await context.store.write(work)})
    except Invalid as error:
        raise Invalid(_as_said(error.violations, older), subject=error.subject) from None


def _contradictions(given: Mapping[str, Any]) -> Iterator[Violation]:
    """What is wrong with limits that are given in both spellings: each must be valid, and both the same."""
    for old, new in OLDER.items():
        if old not in given or new not in given:
            continue
        one, other = (understood(Quota.KIND, {new: given[name]}) for name in (old, new))
        if faults := validate(Quota, {**one, Quota.KEY: "any"}).violations:
            yield from _as_said(faults, {old: new})
        elif one != other:
            yield Violation((old,), f"is the older spelling of {new}, and its value is not the same")


def _as_said(violations: Iterable[Violation], older: Mapping[str, str]) -> list[Violation]:
    """In the spelling of the request."""
    said = {new: old for old, new in older.items()}
    return [Violation(tuple(said.get(str(part), part) for part in v.path), v.message) for v in violations]


async def delete(request: web.Request) -> web.Response:
    """DELETE …/quotas/{project_id}: back to the defaults."""
    context, project_id = request.app[CONTEXT], request.match_info["project_id"]

    def work(tx: Transaction) -> None:
        record = tx.holding(Quota.KIND, project_id)
        if record is not None:
            deletion.remove(tx, record)

    await context.store.write(work)
    return web.Response(status=204)


def _put(tx: Transaction, begun: create_update.ObjectWriter, project_id: str, given: dict[str, Any]) -> Record:
    record = tx.holding(Quota.KIND, project_id)
    if record is not None:
        return begun.update(Quota.KIND, record.id, given, None)
    create_request = CreateRequest(Quota.KIND, {**given, Quota.KEY: project_id}, project_id)
    create_request.values = validated(Quota, create_request.raw, subject=f"quota of project {project_id}")
    return begun.create([create_request], None).record


def _default(project_id: str, context: Context) -> dict[str, Any]:
    """What is shown of a project without a quota of its own: ``created_at`` tells."""
    shown = dict.fromkeys(("created_at", "updated_at", "provisioning_error"))
    ids = {"id": project_id, "project_id": project_id, "tenant_id": project_id}
    return {**ids, **DEFAULTS, **shown, "provisioning_status": "ACTIVE",
            "control_plane_id": context.store.control_plane_id}  # fmt: skip


def _show(tx: Transaction, context: Context, record: Record) -> dict[str, Any]:
    return _spelled(View(tx, context.status_cache, context.store.control_plane_id).show(record))


def _spelled(shown: Mapping[str, Any]) -> dict[str, Any]:
    """In both spellings."""
    return {**shown, **{old: shown[new] for old, new in OLDER.items()}}
