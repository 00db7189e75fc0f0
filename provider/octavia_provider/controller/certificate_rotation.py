# SPDX-License-Identifier: Apache-2.0
"""When the agents' certificates are renewed, as Octavia's housekeeping has it (CertRotation); how: ``agent_care``.

The authority itself is rotated in phases (``pki.state``), which are kept in the store: every control plane follows them there, and
whoever finds a phase done everywhere begins the next one. So a rotation goes on after any restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from octavia_provider.kit import tasks
from octavia_provider.model.errors import NotFound
from octavia_provider.model.events import Reason
from octavia_provider.ports import Amphora, Authority, Store, Transaction

from . import agent_care
from .controller import Controller

log = structlog.get_logger(__name__)
INTERVAL = 10.0
GRACE = 2 * INTERVAL
"""Seconds after which every control plane that is not paused has seen a phase."""
_WORDS = {
    "trust": "Agents learn to trust the new certificate authority beside the old one",
    "issue": "Certificates are those of the new certificate authority; the old one is still trusted",
    "": "The new certificate authority is the only one",
}


class CertificateRotation:
    """Wakes the reconcilers of the load balancers that have an amphora whose certificate is due, and rotates the authority."""

    def __init__(self, store: Store, authority: Authority, controller: Controller) -> None:
        self._store, self._authority, self._controller = store, authority, controller
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._waiting: tuple[str, ...] = ()

    def start(self) -> None:
        """Begin; the first look is at once."""
        self._task = tasks.run_forever("certificate rotation", self._run)

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def rotate_authority(self) -> None:
        """Begin a rotation of the authority; one that is under way goes on."""
        kept = await self._store.read(self._kept)
        self._authority.follow(kept)
        await self._keep(kept, self._authority.begun())

    def facts(self) -> Mapping[str, Any]:
        """For operators. ``waiting``: the amphorae for which the phase waits."""
        authority = self._authority
        return {
            "expires": authority.expires, "issuer": authority.issuer, "trusted": authority.trusted.split(","),
            "phase": authority.phase or None, "waiting": list(self._waiting),
        }  # fmt: skip

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            kept, amphorae = await self._store.read(lambda tx: (self._kept(tx), tx.amphorae()))
            self._authority.follow(kept)
            for amphora in amphorae:
                if (
                    amphora.status == "ALLOCATED"
                    and amphora.host_id is None
                    and agent_care.due(self._authority, amphora)
                ):
                    self._controller.poke(amphora.load_balancer_id)
            self._waiting = tuple(a.id for a in amphorae if not self._has_it(a) or self._trusts_more(a))
            if self._authority.ending:
                await self._keep(kept, self._authority.begun())
            elif self._authority.phase and not self._waiting and self._authority.phase_age >= GRACE:
                await self._keep(kept, self._authority.advanced())
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(INTERVAL):
                await self._wake.wait()
        except TimeoutError:
            return

    def _kept(self, tx: Transaction) -> bytes:
        return tx.secret(self._authority.SECRET, _never)

    def _has_it(self, amphora: Amphora) -> bool:
        """Whether it has what the phase is for. One that is not booted yet is given what there is then; a seat has its host's agent."""
        if not self._authority.phase or amphora.status != "ALLOCATED" or amphora.host_id is not None:
            return True
        trusts = amphora.trusted == self._authority.trusted
        return trusts and (self._authority.phase == "trust" or amphora.issuer == self._authority.issuer)

    def _trusts_more(self, amphora: Amphora) -> bool:
        """After a rotation: the former authority too."""
        return not self._authority.phase and amphora.trusted not in (None, self._authority.trusted)

    async def _keep(self, before: bytes, after: bytes) -> None:
        """Begin a phase, unless another control plane was faster, or has booted an amphora that does not have what the last one
        was for."""

        def work(tx: Transaction) -> bool:
            if self._kept(tx) != before or not all(map(self._has_it, tx.amphorae())):
                return False
            tx.replace_secret(self._authority.SECRET, after)
            return True

        if before != after and await self._store.write(work):
            self._authority.follow(after)
            phase = self._authority.phase
            log.warning("certificate authority", phase=phase or "done", expires=self._authority.expires)
            await self._controller.events.record(Reason.AuthorityRotated, _WORDS[phase], phase=phase or "done")
            self._wake.set()


def _never() -> bytes:
    raise NotFound("has not been made yet", subject="certificate authority", hint="start a control plane")
