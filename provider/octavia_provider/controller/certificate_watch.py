# SPDX-License-Identifier: Apache-2.0
"""Follows what a certificate manager keeps: reads it again, registers who uses it, lets go of copies that nobody does.

What Barbican has under an id never changes. It is looked at all the same, for it can be deleted, expire, or be withdrawn from us: that is
told in events, and load balancers go on with their copies. All of it is found again after a crash, from the store and the manager.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from random import uniform
from typing import Any

import structlog

from octavia_provider.kit import tasks
from octavia_provider.model import validity
from octavia_provider.model.errors import OctaviaError, Refused, TransientError
from octavia_provider.model.events import Reason
from octavia_provider.model.tls_container import TlsContainer
from octavia_provider.ports import CertificateManager, Consumer, Readable, Record, Store, Transaction, Watch

from . import certificate_copies as copies
from .controller import Controller

log = structlog.get_logger(__name__)
INTERVAL = 600.0
RETRY = 30.0
"""Seconds until it is tried again where the manager did not answer."""
QUIET = 2.0
"""Seconds in which commits are waited for, to be looked at together."""
JITTER = 0.2


class CertificateWatch:
    """Of the copies whose scopes are reconciled here. ``interval``: seconds between two looks at one of them."""

    def __init__(
        self, store: Store, manager: CertificateManager, controller: Controller, *, interval: float = INTERVAL,
        quiet: float = QUIET,
    ) -> None:  # fmt: skip
        self._store, self._manager, self._controller = store, manager, controller
        self._interval, self._quiet = interval, quiet
        self._registered: dict[str, frozenset[Consumer]] = {}
        self._due: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = tasks.run_forever("certificates of a manager", self._run)

    async def stop(self) -> None:
        """End; what is registered stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def reread(self, id_: str) -> bool:
        """Read one now, its content too; whether it was another one. Errors of ``CertificateManager.read``."""
        record = await self._store.read(lambda tx: tx.get(copies.KIND, id_))
        return record is not None and await self._read(record, known=None)

    async def _run(self) -> None:
        async with self._store.watch() as watch:
            while True:
                due = await self.look()
                await self._pause(watch, due - asyncio.get_running_loop().time())

    async def _pause(self, watch: Watch, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await watch.changed()
        await asyncio.sleep(self._quiet)

    async def look(self) -> float:
        """One look at all; when the next one is due by itself."""
        now = asyncio.get_running_loop().time()
        kept = await self._store.read(lambda tx: {one: copies.consumers(tx, one.id) for one in copies.copies(tx)})
        mine = {one: users for one, users in kept.items() if self._controller.reconciler(one.id) is not None}
        for known in (self._registered, self._due):
            for id_ in known.keys() - {one.id for one in mine}:
                del known[id_]
        for copy, users in mine.items():
            self._due.setdefault(copy.id, now + self._interval * uniform(0.5, 1.0))  # noqa: S311 - not all at once
            await self._look_at(copy, users, now)
        return min(self._due.values(), default=now + self._interval)

    async def _look_at(self, copy: copies.Copy, users: frozenset[Consumer], now: float) -> None:
        due, known = self._due[copy.id] <= now, self._registered.get(copy.id)
        if due:
            self._due[copy.id] = now + self._interval * uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        try:
            if due and users:
                await self._read_again(copy)
            elif users and known is None:
                await self._store.write(lambda tx: self._warn(tx, copy.id))
            if due or users != known:
                await self._manager.register(copy.source, users)
                self._registered[copy.id] = users
            if not users:
                await self._store.write(lambda tx: _let_go(tx, copy.id))
        except OctaviaError as error:
            log.warning("certificate manager", source=copy.source, reason=str(error))
            if isinstance(error, TransientError):
                self._due[copy.id] = min(self._due[copy.id], now + RETRY)

    async def _read_again(self, copy: copies.Copy) -> None:
        """What is in the way is told, and changes nothing."""
        record = await self._store.read(lambda tx: tx.get(copies.KIND, copy.id))
        if record is None or record.deleting:
            return
        try:
            await self._read(record, known=record.spec[copies.STATE])
        except OctaviaError as error:
            message = f"Load balancers go on with what was read before: {error}"
            await self._store.write(lambda tx: self._tell(tx, copy.id, Reason.CertificateNotRead, message))
            raise
        finally:
            await self._store.write(lambda tx: self._warn(tx, copy.id))

    async def _read(self, record: Record, known: str | None) -> bool:
        wanted = Readable(id=record.id, collection=record.spec[copies.SOURCE].rstrip("/").split("/")[-2])
        found = await self._manager.read(wanted, known)
        if found.inputs is None:
            facts = {copies.SOURCE: found.source, copies.EXPIRES: found.expires}
            spec: Mapping[str, Any] = {**record.spec, **facts}
        else:
            spec = copies.spec_of(found)
        return await self._store.write(lambda tx: self._write(tx, record.id, spec))

    def _write(self, tx: Transaction, id_: str, spec: Mapping[str, Any]) -> bool:
        record = tx.get(copies.KIND, id_)
        if record is None or record.deleting:
            return False
        before, after = (TlsContainer.trusted(one).sort for one in (record.spec, spec))
        if before != after:
            raise Refused(f"holds {after} now, and {before} before", subject=record.spec[copies.SOURCE])
        if not copies.write(tx, record, spec):
            return False
        self._tell(
            tx, id_, Reason.CertificateChanged, f"{spec[copies.SOURCE]} has another content, which is put in force"
        )
        return True

    def _warn(self, tx: Transaction, id_: str) -> None:
        record = tx.get(copies.KIND, id_)
        if record is None:
            return
        now = datetime.now(UTC)
        source = record.spec[copies.SOURCE]
        for warned in validity.warnings(record.spec, now):
            self._tell(tx, id_, Reason.CertificateExpires, f"{source}: {warned.message}")
        expires = record.spec.get(copies.EXPIRES)
        if expires and datetime.fromisoformat(expires).replace(tzinfo=UTC) - now < validity.SOON:
            message = f"{source}: the certificate manager forgets it at {expires} UTC; store it anew, and refer to that"
            self._tell(tx, id_, Reason.CertificateExpires, message)

    def _tell(self, tx: Transaction, id_: str, reason: Reason, message: str) -> None:
        """An event of each load balancer that uses it."""
        name = self._controller.events.name
        for scope_id in sorted({user.scope_id for user in tx.find(references=(copies.KIND, id_))}):
            about = {"load_balancer_id": scope_id, "object_kind": copies.KIND, "object_id": id_}
            tx.record(reason.event(message, control_plane=name, **about))


def _let_go(tx: Transaction, id_: str) -> None:
    record = tx.get(copies.KIND, id_)
    if record is not None and not record.deleting and not copies.needed(tx, id_):
        tx.mark_deleting([id_])
