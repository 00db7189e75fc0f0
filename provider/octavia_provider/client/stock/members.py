# SPDX-License-Identifier: Apache-2.0
"""Members of one pool that are made or changed at once, in one call: ``PUT /pools/{id}/members?additive_only=true``.

The engine makes a call for each member, many at once. Those that come while another change of the load balancer is under way
gather, and go together when it is in force: a group commit. Deletions go one by one: the batch that deletes names all members
that stay, and would take away what somebody else adds meanwhile.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from octavia_provider.client import collections
from octavia_provider.client.client import ApiObject, Ownership
from octavia_provider.client.deadline import Deadline
from octavia_provider.model import stock
from octavia_provider.model.errors import Conflict, NotFound, OctaviaError, PermanentError, TransientError

from . import forms
from .targets import Target
from .turns import SLICE

if TYPE_CHECKING:
    from .service import StockClient

GATHER = 0.03
"""Seconds that the first of several calls waits for the others, which the engine makes one after the other."""
SHARE, LONGEST = 0.4, 2.0
"""Of the time that the last write took: how long the next one waits for as many as that one answered; and the longest such wait, in
seconds. The engine has so many calls in flight, and makes new ones when it has the answers."""
MOST = 200
"""Members of one call."""
_KEPT = (
    "name",
    "admin_state_up",
    "address",
    "protocol_port",
    "weight",
    "backup",
    "monitor_address",
    "monitor_port",
    "tags",
)
"""What a batch says of a member that is there: what it leaves out goes back to its default."""
Shown = Mapping[str, Any]


@dataclass(slots=True, kw_only=True, eq=False)
class Change:
    """One member that is made (no ``id``) or changed, and what came of it."""

    values: Mapping[str, Any]
    deadline: Deadline
    subject: str
    id: str = ""
    key: str = ""
    known: Collection[str] = ()
    answer: ApiObject | None = None
    error: Exception | None = None
    woken: threading.Event = field(default_factory=threading.Event)
    """It has an outcome, or its call is to write the next batch."""
    leads: bool = False

    @property
    def done(self) -> bool:
        """Whether it has an outcome."""
        return self.answer is not None or self.error is not None

    def outcome(self) -> ApiObject:
        """The member; its error is raised."""
        if self.error is not None:
            raise self.error
        if self.answer is None:
            raise self.deadline.interrupted(self.subject, "waiting for the other members of the call")
        return self.answer


class MemberBatches:
    """What waits to be written, by pool."""

    def __init__(self, service: StockClient) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Change]] = {}
        self._led: set[str] = set()
        """Pools of which a call writes batches: the first that came; when it has its own outcome, one of those that wait."""
        self._last: dict[str, tuple[int, float]] = {}
        """By pool: how many members the last write was about, and the seconds it took."""

    def create(
        self, values: Mapping[str, Any], *, deadline: Deadline, pool: str, owner: Ownership | None, subject: str
    ) -> ApiObject:
        """Make one; returns when it is in force."""
        key = forms.key("member", {**values, "pool_id": pool}, owner) if owner else ""
        known = owner.known if owner else ()
        return self._submit(pool, Change(values=values, deadline=deadline, subject=subject, key=key, known=known))

    def update(
        self, id: str, values: Mapping[str, Any], *, deadline: Deadline, pool: str, subject: str  # noqa: A002
    ) -> ApiObject:  # fmt: skip
        """Change one; returns when it is in force."""
        return self._submit(pool, Change(values=values, deadline=deadline, subject=subject, id=id))

    def _submit(self, pool: str, change: Change) -> ApiObject:
        balancer = self._service.pool_balancer(pool, change.deadline)
        with self._lock:
            self._waiting.setdefault(pool, []).append(change)
            change.leads = pool not in self._led
            self._led.add(pool)
        if change.leads:
            change.deadline.sleep(GATHER)
        while not (change.leads or change.done or change.deadline.passed()):
            change.woken.wait(max(0.01, min(SLICE, change.deadline.remaining())))
        try:
            if change.leads and not change.done:
                self._lead(pool, balancer, change)
        finally:
            self._leave(pool, change)
        return change.outcome()

    def _lead(self, pool: str, balancer: str | None, change: Change) -> None:
        with self._service.turns.turn(balancer or pool, change.deadline, change.subject):
            self._gather(pool, change.deadline)
            while not change.done:
                self._write_next(pool, balancer)

    def _leave(self, pool: str, change: Change) -> None:
        with self._lock:
            waiting = self._waiting[pool]
            if change in waiting:
                waiting.remove(change)
            if not change.leads:
                return
            if waiting:
                waiting[0].leads = True
                waiting[0].woken.set()
            else:
                self._led.discard(pool)

    def _gather(self, pool: str, deadline: Deadline) -> None:
        """Wait for those who will come: as many as were just answered, and no longer than is worth it."""
        expected, seconds = self._last.pop(pool, (0, 0.0))
        until = Deadline(min(seconds * SHARE, LONGEST), deadline.cancelled)
        while len(self._waiting.get(pool, ())) < expected and until.sleep(GATHER):
            pass

    def _write_next(self, pool: str, balancer: str | None) -> None:
        with self._lock:
            waiting = self._waiting.get(pool, [])
            batch, self._waiting[pool] = waiting[:MOST], waiting[MOST:]
        began = time.monotonic()
        try:
            _Write(self._service, pool, balancer, batch).carry_out()
        except Exception as error:  # noqa: BLE001 - each of them tells it to its caller
            for change in batch:
                if not change.done:
                    change.error = error
        self._last[pool] = len(batch), time.monotonic() - began
        for change in batch:
            change.woken.set()


class _Write:
    """One batch. ``balancer`` is not written to by another call of this process meanwhile."""

    def __init__(self, service: StockClient, pool: str, balancer: str | None, batch: Sequence[Change]) -> None:
        self._service, self._pool, self._balancer, self._batch = service, pool, balancer, batch
        self._deadline = max((change.deadline for change in batch), key=Deadline.remaining)

    def carry_out(self) -> None:
        bodies = self._bodies(self._list())
        if len(bodies) > 1 and self._service.version(self._deadline) >= stock.ADDITIVE:
            try:
                self._together([body for _, body in bodies])
            except PermanentError:  # nothing of it was done: alone, each error reaches whom it is about
                self._one_by_one()
        else:
            self._one_by_one()
        self._finish()

    def _bodies(self, members: Sequence[Shown]) -> list[tuple[Change, dict[str, Any]]]:
        """What is to be written; what cannot be gets its error."""
        at, ids = {_place(one): one for one in members}, {one["id"]: one for one in members}
        found: list[tuple[Change, dict[str, Any]]] = []
        for change in self._batch:
            there = ids.get(change.id) if change.id else at.get(_place(change.values))
            if change.id and there is None:
                change.error = NotFound(f"Member {change.id} not found.", subject=change.subject)
            elif not change.id and there is not None and not _is_made_by(change, there):
                change.error = _taken(change, there)
            else:
                found.append((change, self._body(change, there)))
                if not change.id:
                    at[_place(change.values)] = {"id": "another of this update", **change.values}
        return found

    def _together(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        path = collections.collection("member", self._pool)
        at = self._target(self._deadline, f"members of pool {self._pool}")
        more: dict[str, Any] = {"json": {"members": list(bodies)}, "params": {"additive_only": "true"}}
        self._service.write(
            at, lambda: self._service.request("PUT", path, deadline=at.deadline, subject=at.subject, **more)
        )

    def _one_by_one(self) -> None:
        for change in self._batch:
            if change.done:
                continue
            try:
                self._alone(change)
            except OctaviaError as error:
                change.error = error

    def _alone(self, change: Change) -> None:
        at = self._target(change.deadline, change.subject)
        if change.id:
            self._service.put(at, change.id, change.values)
        elif (there := self._find(change)) is None:
            self._service.post(at, self._body(change, None), lambda: self._find(change))
        elif there.get("name") != change.values.get("name"):
            self._service.put(at, there["id"], {"name": change.values.get("name")})

    def _target(self, deadline: Deadline, subject: str) -> Target:
        return Target(kind="member", deadline=deadline, parent=self._pool, subject=subject, balancer=self._balancer)

    def _find(self, change: Change) -> dict[str, Any] | None:
        return next((one for one in self._list() if _is_made_by(change, one)), None)

    def _finish(self) -> None:
        """Wait until all are in force, and give each its answer."""
        if self._balancer:
            self._service.wait_for(self._balancer, self._deadline)
        members = self._list()
        at, ids = {_place(one): one for one in members}, {one["id"]: one for one in members}
        for change in self._batch:
            if change.done:
                continue
            made = ids.get(change.id) if change.id else at.get(_place(change.values))
            if made is None:
                change.error = TransientError("Octavia took it, and does not have it", subject=change.subject)
            else:
                self._service.turns.learn(made["id"], self._balancer or "")
                change.answer = self._service.api_object("member", made)

    def _body(self, change: Change, there: Shown | None) -> dict[str, Any]:
        version = self._service.version(self._deadline)
        if there is None:
            return forms.body("member", change.values, version, [change.key] if change.key else (), whole=True)
        whole = {name: there.get(name) for name in _KEPT}
        changed = forms.body("member", change.values, version, forms.tags_of_ours(there))
        if "tags" not in change.values:
            changed.pop("tags", None)
        place = {
            "address": there["address"],
            "protocol_port": there["protocol_port"],
        }  # as Octavia spells it: it compares text
        return {n: v for n, v in {**whole, **changed, **place}.items() if v is not None}  # without a value: the default

    def _list(self) -> list[dict[str, Any]]:
        return list(self._service.listed("member", deadline=self._deadline, parent=self._pool))


def _is_made_by(change: Change, there: Shown) -> bool:
    """Whether a call made it whose answer was lost."""
    return bool(change.key) and change.key in (there.get("tags") or ()) and there["id"] not in change.known


def _taken(change: Change, there: Shown) -> Conflict:
    place = f"{change.values['address']}:{change.values['protocol_port']}"
    return Conflict(
        f"{place} is in this pool already, as member {there['id']}", subject=change.subject, path=("address",)
    )


def _place(values: Shown) -> tuple[str, int]:
    address = str(values["address"])
    with contextlib.suppress(ValueError):
        address = str(ipaddress.ip_address(address))
    return address, int(values["protocol_port"])
