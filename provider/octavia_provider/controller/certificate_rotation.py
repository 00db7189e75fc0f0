# SPDX-License-Identifier: Apache-2.0
"""When the agents' certificates are renewed, as Octavia's housekeeping has it (CertRotation); how: ``agent_care``."""

from __future__ import annotations

import asyncio

from octavia_provider.kit import tasks
from octavia_provider.ports import Authority, Store

from .controller import Controller

INTERVAL = 60.0


class CertificateRotation:
    """Wakes the reconcilers of the load balancers that have an amphora whose certificate is due."""

    def __init__(self, store: Store, authority: Authority, controller: Controller) -> None:
        self._store, self._authority, self._controller = store, authority, controller
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first look is at once."""
        self._task = tasks.run_forever("certificate rotation", self._run)

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            for amphora in await self._store.read(lambda tx: tx.amphorae()):
                if self._authority.due(amphora.certificate_expires):
                    self._controller.poke(amphora.load_balancer_id)
            await asyncio.sleep(INTERVAL)
