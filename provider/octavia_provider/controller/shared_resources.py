# SPDX-License-Identifier: Apache-2.0
"""The reconciler of what load balancers share: a TLS container is settled when all that use it have it in force."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from octavia_provider.ports import Inventory, Record, Scope, Settlement, Store, Transaction, fenced

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class SharedResourceReconciler:
    """One object that is a scope of its own and has nothing but users.

    The write that changed it has raised the generation of every load balancer that uses it; ``_awaited`` are those.
    """

    store: Store
    lease: Scope
    _generation: int = 0
    _awaited: dict[str, int] = field(default_factory=dict)

    def forget(self) -> None:
        """What it waits for is in the store."""

    def retry_errors(self) -> bool:
        """Only what uses it can fail."""
        return False

    def missing(self, inventory: Inventory) -> bool:  # noqa: ARG002
        """It is nothing in a cloud."""
        return False

    async def reconcile(self) -> bool:
        """Wait for its users, then settle it; False when it is gone."""
        async with self.store.watch() as watch:
            while True:
                scope, record = await self.store.read(self._look)
                if scope is None or record is None:
                    return False
                if record.deleting or not self._awaited:
                    return await self._settle(scope, record)
                await watch.changed()

    async def fail(self, reason: str) -> bool:
        """Settle it as refused; False when it is being deleted, which is tried again."""
        scope, record = await self.store.read(self._look)
        if scope is None or record is None or record.deleting:
            return False
        settlement = Settlement(scope_id=scope.id, generation=scope.generation, errors={record.id: reason})
        await self._write(settlement)
        return True

    async def _write(self, settlement: Settlement) -> None:
        await self.store.write(fenced(self.lease, lambda tx: tx.settle(settlement)))

    def _look(self, tx: Transaction) -> tuple[Scope | None, Record | None]:
        scope = tx.scope(self.lease.id)
        record = next(iter(tx.find(scope_id=self.lease.id)), None)
        if scope is None or record is None:
            return None, None
        if scope.generation != self._generation:
            users = {user.scope_id for user in tx.find(references=(record.kind, record.id))}
            found = [one for user in users if (one := tx.scope(user)) is not None]
            self._generation, self._awaited = scope.generation, {one.id: one.generation for one in found}
        self._awaited = {i: g for i, g in self._awaited.items() if (one := tx.scope(i)) and one.applied < g}
        return scope, record

    async def _settle(self, scope: Scope, record: Record) -> bool:
        if scope.applied < scope.generation:
            accepted = {} if record.deleting else {record.id: record.spec}
            settlement = Settlement(scope_id=scope.id, generation=scope.generation, accepted=accepted)
            await self._write(settlement)
            log.info("applied", kind=record.kind, id=record.id, generation=scope.generation)
        return not record.deleting
