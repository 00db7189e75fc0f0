# SPDX-License-Identifier: Apache-2.0
"""A process with a controller over a store that others share; its reconcilers settle everything and bring nothing about.

``python control_plane_process.py URL KEY HOLDER``. It prints ``["settled", scope, revision, fence]`` for each settlement that was
committed. Told ``pause`` on its standard input, it stops itself (SIGSTOP) inside the next reconciliation, as late as can be.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from pathlib import Path

import structlog

from octavia_provider.controller.controller import Controller
from octavia_provider.ports import Scope, Settlement, Transaction, fenced
from octavia_provider.store import SqlStore, open_store

LEASE_SECONDS = 6.0


class Reconciler:
    """Of one scope, whose lease is ours."""

    pause = False

    def __init__(self, store: SqlStore, leased: Scope, holder: str) -> None:
        self.store, self.leased, self.holder = store, leased, holder

    def forget(self) -> None:
        """Nothing is remembered."""

    async def reconcile(self) -> bool:
        scope = await self.store.read(lambda tx: tx.scope(self.leased.id))
        assert scope is not None
        if scope.generation == scope.applied:
            return True
        paused, Reconciler.pause = Reconciler.pause, False
        if paused:
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # os.kill may return before we stop
        errors = {scope.id: f"{self.holder} was paused"} if paused else {}

        def settle(tx: Transaction) -> int:
            tx.settle(Settlement(scope_id=scope.id, generation=scope.generation, errors=errors))
            return tx.next_revision(scope.id, self.leased.fence).revision

        revision = await self.store.write(fenced(self.leased, settle))
        print(json.dumps(["settled", scope.id, revision, self.leased.fence]), flush=True)
        return True

    async def fail(self, reason: str) -> bool:
        raise AssertionError(reason)


async def main(url: str, key: str, holder: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    store = open_store(url, Path(key))
    makers = {"load_balancer": lambda leased: Reconciler(store, leased, holder)}
    controller = Controller(store, makers, holder=holder, lease_seconds=LEASE_SECONDS)
    await controller.start()
    print(json.dumps(["started"]), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        Reconciler.pause = line.strip() == "pause"
        print(json.dumps(["heard"]), flush=True)
    await controller.stop()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
