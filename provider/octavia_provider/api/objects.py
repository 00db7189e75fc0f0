# SPDX-License-Identifier: Apache-2.0
"""The handlers of the kinds: list, show, create, update, delete, each the same for every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from octavia_provider.model import statuses
from octavia_provider.model.errors import VIOLATIONS, Invalid, NotFound, Violation
from octavia_provider.model.kinds import KINDS, PARENTS, reconciled
from octavia_provider.model.validation import validate
from octavia_provider.ports import Record, RemoteAllocation, Transaction

from . import certificates, create_update, deletion, list_query
from .authorization import by_project, project_of, require, require_own_group, require_parents, seen
from .authorization import word as rule_word
from .compat.coercion import understood
from .context import CONTEXT
from .errors import answer
from .faults import Faults
from .graph_create import PROJECT, CreateRequest, create_requests, misnamed
from .lazy_view import LazyView, asked, plain
from .representation import wants_model
from .requests import (
    BODY,
    MANY,
    apart,
    flag,
    path_id,
    read_body,
    read_claim,
    read_object,
    read_owner,
    read_wait,
    strangers,
    word,
    words,
)
from .rules import ROOTS, found, key
from .views import View, shown_names
from .visibility import require_visible, require_visible_change

Shown = dict[str, Any]
NESTING = ("load_balancer", "listener", "pool")
"""What may be given with all its parts."""


class Objects:
    """The handlers of one kind. A member's collection lies under its pool, whose id is in the URL; so does an L7
    rule's under its policy."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.label = KINDS[kind].LABEL
        self.word = word(kind)
        self.words = words(kind)
        self.parent_kind, self.parent_name = PARENTS.get(kind, ("", ""))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def list(self, request: web.Request) -> web.Response:
        """GET of the collection."""
        context = request.app[CONTEXT]
        parent_id, url = self._parent_id(request), seen(request)

        def work(tx: Transaction) -> Shown:
            if parent_id is not None:
                _parent(tx, self.parent_kind, self.parent_name, parent_id)
            view = _view(tx, request)
            view.foresee()
            parent = (self.parent_name, parent_id) if parent_id is not None else None
            read: Callable[[Sequence[LazyView]], None] = lambda _: None  # noqa: E731
            names = list_query.looked_at(url.query)
            if reconciled(self.kind) and names is not None and names <= plain(self.kind).keys() | {"id"}:
                load, few = partial(self._find, tx, parent_id=parent_id), sorted(names - {"id"})
                told = tx.values(self.kind, asked(self.kind, few), parent)
                objects = LazyView.few(view, few, told, load)
                read = lambda shown: tx.look_up(str(one["id"]) for one in shown)  # noqa: E731
            else:
                records = sorted(tx.find(self.kind, parent=parent), key=_place)
                objects = [LazyView.of(view, record) for record in records]
            return list_query.page(objects, self.words, url, shown_names(self.kind), render=LazyView.whole, read=read)

        return answer(await context.store.read(work))

    async def show(self, request: web.Request) -> web.Response:
        """GET of one object; with ``Prefer: wait`` once it is settled."""
        context, wait, owner = request.app[CONTEXT], read_wait(request), read_owner(request)
        own = wait is not None or owner is not None  # a program's resource is the object itself
        record, shown = await self._read(request, own=own)
        if owner is not None and record.owner and record.owner.provider == owner.provider and not record.confirmed:
            await context.store.write(lambda tx: tx.confirm([record.id], owner.provider))
        if wait is not None and _pending(shown):
            look = partial(self._look, request, own=own)
            _, shown = await context.generation_waits.at_rest(record, record.generation, wait, lambda tx, _: look(tx))
        return answer({self.word: list_query.select(shown, request.query)}, headers=_applied(wait))

    async def _read(self, request: web.Request, *, own: bool) -> tuple[Record, Shown]:
        return await request.app[CONTEXT].store.read(partial(self._look, request, own=own))

    def _look(self, request: web.Request, tx: Transaction, *, own: bool) -> tuple[Record, Shown]:
        record = self._find(tx, self._named(request), self._parent_id(request))
        return record, _view(tx, request, own=own).show(record)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def create(self, request: web.Request) -> web.Response:
        """POST: one object, or a load balancer with all that is in it."""
        context, wait = request.app[CONTEXT], read_wait(request)
        body = await read_body(request, MANY if self.kind in NESTING else BODY)
        parent_id, project_id = self._parent_id(request), project_of(request)
        faults = Faults(strangers(body, self.word, "owner"))
        with faults.collected():
            claim = read_claim(body)
        with faults.collected():
            given = self._given(read_object(body, self.kind), parent_id, faults)
            wanted = await apart(request, create_requests, self.kind, given, project_id)
        faults.check()
        nested, rule = len(wanted) > 1 and self.kind == "load_balancer", f"{rule_word(self.kind)}:post"
        if self.kind in ROOTS:
            require(request, rule, wanted[0].project_id)
        await require_visible(request, wanted)
        read = await certificates.read_for(request, wanted)

        def work(tx: Transaction) -> tuple[create_update.Created, Shown]:
            if parent_id is not None:
                _parent(tx, self.parent_kind, self.parent_name, parent_id)
            require_parents(request, tx, rule, self.kind, wanted[0].values)
            begun = create_update.ObjectWriter.begin(tx, context.networks, by_project=by_project(request))
            begun.keep(read, wanted[0].project_id)
            made = begun.create(wanted, claim)
            require(request, rule, made.record.project_id)
            require_own_group(request, tx, made.record)
            return made, _show(_view(tx, request, own=wait is not None), made.record, nested=nested)

        made, shown = await context.store.write(work)
        shown = await self._settled(request, made.record, made.generation, shown, wait, nested=nested)
        headers = {**_applied(wait), **({"X-Octavia-Adopted": "true"} if made.adopted else {})}
        return answer({self.word: shown}, _status(200 if made.adopted else 201, shown, wait), headers)

    async def update(self, request: web.Request) -> web.Response:
        """PUT: the attributes that are given."""
        context, wait, owner = request.app[CONTEXT], read_wait(request), read_owner(request)
        named, parent_id = self._named(request), self._parent_id(request)
        body = await read_body(request)
        given = read_object(body, self.kind)
        wrong = [*strangers(body, self.word), *misnamed(given)]
        given = {n: v for n, v in understood(self.kind, given).items() if n not in PROJECT}

        def work(tx: Transaction) -> tuple[Record, Shown]:
            id_ = self._find(tx, named, parent_id).id
            begun = create_update.ObjectWriter.begin(tx, context.networks, by_project=by_project(request))
            faults = Faults(wrong)
            with faults.collected():
                begun.keep(read, before.project_id)
                record = begun.update(self.kind, id_, given, owner)
                require_own_group(request, tx, record)
            faults.check()
            return record, _view(tx, request, own=wait is not None).show(record)

        try:
            before = await context.store.read(lambda tx: self._find(tx, named, parent_id))
        except NotFound:
            if wrong:
                raise Invalid(wrong, subject=self.label) from None
            raise
        await require_visible_change(request, self.kind, given)
        read = await certificates.read_for_change(request, before, given)
        record, shown = await context.unique_swaps.write(before.id, work, wait or 0)
        shown = await self._settled(request, record, record.generation, shown, wait)
        return answer({self.word: shown}, _status(200, shown, wait), _applied(wait))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE, with ``?cascade=true`` of a load balancer and all that is in it."""
        context, wait, cascade = request.app[CONTEXT], read_wait(request), flag(request, "cascade")
        id_, parent_id = self._named(request), self._parent_id(request)

        def work(tx: Transaction) -> tuple[Record, int]:
            record = self._find(tx, id_, parent_id)
            return record, deletion.remove(tx, record, cascade=cascade)

        record, generation = await context.store.write(work)
        if wait is None:
            return web.Response(status=204)
        gone = await context.generation_waits.settled(record.scope_id, generation, wait)
        return web.Response(status=204 if gone else 202, headers=_applied(wait))

    async def _settled(
        self, request: web.Request, record: Record, generation: int, shown: Shown, wait: float | None,
        *, nested: bool = False,
    ) -> Shown:  # fmt: skip
        """What is shown after the wait; as it was, when the object has gone meanwhile. Nobody has to ask for the wait for the VIP of a new load
        balancer."""
        context = request.app[CONTEXT]
        vips = wait is None and record.kind == "load_balancer" and isinstance(context.networks, RemoteAllocation)
        if not _pending(shown) or not (vips or wait is not None):
            return shown

        def again(tx: Transaction, now: Record | None) -> Shown:
            return _show(_view(tx, request, own=wait is not None), now, nested=nested) if now else shown

        if wait is None:
            return await context.generation_waits.vips_allocated(record, again)
        return await context.generation_waits.at_rest(record, generation, wait, again)

    # ── what a request names ─────────────────────────────────────────────────────────────────────────────────────────
    def _named(self, request: web.Request) -> str:
        """What the URL names it by."""
        return path_id(request) if KINDS[self.kind].KEY == "id" else request.match_info["id"]

    def _parent_id(self, request: web.Request) -> str | None:
        return path_id(request, self.parent_name) if self.parent_name else None

    def _given(self, raw: Mapping[str, Any], parent_id: str | None, faults: Faults) -> Mapping[str, Any]:
        """The body's object; a member's pool is that of the URL."""
        if parent_id is None:
            return raw
        if raw.get(self.parent_name) not in (None, parent_id):
            with faults.collected():
                message = f"is not the {KINDS[self.parent_kind].LABEL} of the URL, {parent_id}"
                raise Invalid([Violation((self.parent_name,), message)], subject=self.label)
        return {**raw, self.parent_name: parent_id}

    def _find(self, tx: Transaction, id_: str, parent_id: str | None) -> Record:
        record = found(tx, self.kind, id_)
        if record is None or (parent_id is not None and record.spec[self.parent_name] != parent_id):
            where = f" in {KINDS[self.parent_kind].LABEL} {parent_id}" if parent_id else ""
            raise NotFound(f"{self.label} {id_} does not exist{where} in this control plane")
        return record


async def update_members(request: web.Request) -> web.Response:
    """PUT of a pool's members: Octavia's batch, all of it or nothing."""
    context, wait, additive = request.app[CONTEXT], read_wait(request), flag(request, "additive_only")
    pool_id, project_id = path_id(request, "pool_id"), project_of(request)
    body = await read_body(request, MANY)
    faults = Faults(strangers(body, "members"))
    with faults.collected():
        wanted = await apart(request, _batch, body.get("members"), pool_id, project_id)
    faults.check()
    await require_visible(request, wanted)

    def work(tx: Transaction) -> tuple[str, int]:
        _parent(tx, "pool", "pool_id", pool_id)
        begun = create_update.ObjectWriter.begin(tx, context.networks)
        pool = begun.batch(pool_id, wanted, additive=additive)
        scope = tx.scope(pool.scope_id)
        return pool.scope_id, scope.generation if scope else 0

    scope_id, generation = await context.store.write(work)
    if wait is None or not await context.generation_waits.settled(scope_id, generation, wait):
        return web.Response(status=202, headers=_applied(wait))

    def members(tx: Transaction) -> list[Shown]:
        view = _view(tx, request)
        return [view.show(record) for record in tx.find("member", parent=("pool_id", pool_id))]

    return answer({"members": await context.store.read(members)}, headers=_applied(wait))


def _batch(given: Any, pool_id: str, project_id: str) -> list[CreateRequest]:
    """Each member as an order with its place in the list, all violations together."""
    if not isinstance(given, list):
        raise Invalid([Violation(("members",), 'the body must be {"members": [{…}, …]}')])
    servers = create_update.Servers()
    wanted: list[CreateRequest] = []
    found: list[Violation] = []
    for i, item in enumerate(given):
        if len(found) >= VIOLATIONS:
            break
        path = ("members", i)
        if not isinstance(item, dict):
            found.append(Violation(path, "must be an object"))
            continue
        if item.get("pool_id") not in (None, pool_id):
            found.append(Violation((*path, "pool_id"), f"is not the pool of the URL, {pool_id}"))
        member = {**item, "pool_id": pool_id}
        try:
            (create_request,) = create_requests("member", member, project_id)
        except Invalid as error:
            found.extend(Violation((*path, *v.path), v.message) for v in error.violations)
            found.extend(servers.add(path, _valid(member)))
            continue
        create_request.path = path
        wanted.append(create_request)
        found.extend(servers.add(path, create_request.values))
    if found:
        raise Invalid(found, subject=f"members of pool {pool_id}")
    return wanted


def _valid(member: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are right, of one that is not."""
    result = validate(KINDS["member"], understood("member", member))
    wrong = {violation.path[0] for violation in result.violations if violation.path}
    return {name: value for name, value in result.values.items() if name not in wrong}


def _parent(tx: Transaction, kind: str, name: str, id_: str) -> Record:
    """The parent of a URL."""
    record = tx.get(kind, id_)
    if record is None:
        raise NotFound(f"{KINDS[kind].LABEL} {id_} does not exist in this control plane", path=(name,))
    return record


def _view(tx: Transaction, request: web.Request, *, own: bool = False) -> View:
    context, model = request.app[CONTEXT], wants_model(request)
    return View(tx, context.status_cache, context.store.control_plane_id, own=own, model=model)


def _place(record: Record) -> str:
    """Octavia lists what has no time of creation there by its id, and zones by their names; all else in the order of creation."""
    return "" if reconciled(record.kind) else key(record)


def _show(view: View, record: Record, *, nested: bool) -> Shown:
    return view.show_nested(record) if nested else view.show(record)


def _pending(shown: Shown) -> bool:
    return shown["provisioning_status"] in statuses.PENDING


def _applied(wait: float | None) -> dict[str, str]:
    return {} if wait is None else {"Preference-Applied": f"wait={wait:g}"}


def _status(settled: int, shown: Shown, wait: float | None) -> int:
    """Without ``Prefer``, Octavia's own; with it, 202 tells that the wait ran out."""
    return 202 if wait is not None and _pending(shown) else settled
