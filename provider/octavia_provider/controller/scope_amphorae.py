# SPDX-License-Identifier: Apache-2.0
"""The amphorae of one scope (a load balancer, an amphora group), and what is done to one of them whatever it carries."""

from __future__ import annotations

import asyncio
import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import structlog

from octavia_provider.model import flavor
from octavia_provider.model.errors import LeaseLost, OctaviaError, Unreachable
from octavia_provider.model.events import Reason
from octavia_provider.ports import (
    AGENT,
    CERTIFICATE,
    Amphora,
    AmphoraSpec,
    CertificateExpired,
    Instance,
    Scope,
    Transaction,
    Vip,
    fenced,
)

from . import agent_care, amphorae
from .context import Ports
from .event_recorder import EventRecorder

T = TypeVar("T")
log = structlog.get_logger(__name__)
JUST_NOW = 2.0
"""Seconds: an agent that did not answer so long ago is not asked again."""


@dataclass(slots=True)
class ScopeAmphorae(ABC):
    """``amphorae``: the store's; ``instances``: the cloud's (None: to be asked for). ``flavor``: what it says amphorae are like; ``zone``:
    where they are to be.

    ``suspects``: those whose agents are silent; ``confirmed``: when they did not answer, and why; ``unrecoverable``: those that did not answer after a restart either; ``failing``: those
    left aside in this pass, since something of them failed; ``renewed``: those whose certificate it has tried to renew.
    """

    ports: Ports
    flavor: Mapping[str, Any] = field(default_factory=flavor.defaults, kw_only=True)
    zone: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    amphorae: tuple[Amphora, ...] = field(default=(), kw_only=True)
    instances: dict[str, Instance] | None = field(default=None, kw_only=True)
    suspects: set[str] = field(default_factory=set, kw_only=True)
    confirmed: dict[str, tuple[float, str]] = field(default_factory=dict, kw_only=True)
    unrecoverable: set[str] = field(default_factory=set, kw_only=True)
    failing: dict[str, OctaviaError | OSError] = field(default_factory=dict, kw_only=True)
    renewed: set[str] = field(default_factory=set, kw_only=True)
    events: EventRecorder = field(init=False)

    @property
    @abstractmethod
    def lease(self) -> Scope:
        """The scope, with the fence of our lease."""

    @abstractmethod
    def bearing(self, amphora: Amphora) -> tuple[Vip, ...]:
        """What an amphora is to carry now."""

    @abstractmethod
    def apart_from(self, amphora_id: str) -> tuple[str, ...]:
        """Those that should not share a fate with it."""

    @property
    def seats(self) -> int:
        """How many load balancers that have no instance of their own may be on one."""
        return 0

    def amphora(self, amphora_id: str) -> Amphora:
        """The amphora of this id."""
        return next(amphora for amphora in self.amphorae if amphora.id == amphora_id)

    def due(self, amphora: Amphora) -> bool:
        """Its certificate has to be renewed; that is tried once in a pass, for the present one is good meanwhile."""
        known = amphora.status == "ALLOCATED" and amphora.id not in self.renewed
        return known and (AGENT in amphora.requests or agent_care.due(self.ports.authority, amphora))

    async def leave_aside_what_fails(self, work: Mapping[str, Awaitable[T]]) -> dict[str, T]:
        """What comes of each; an amphora whose work fails holds up no other. Raises where none is left that works."""
        found = await asyncio.gather(*work.values(), return_exceptions=True)
        done: dict[str, T] = {}
        for amphora_id, result in zip(work, found, strict=True):
            if isinstance(result, (OctaviaError, OSError)) and not isinstance(result, LeaseLost):
                log.warning("amphora left aside", amphora=amphora_id, reason=str(result))
                self.failing[amphora_id] = result
                if isinstance(result, CertificateExpired):  # sooner than the store says
                    self.suspects.add(amphora_id)
            elif isinstance(result, BaseException):
                raise result
            else:
                done[amphora_id] = result
        if all(amphora.id in self.failing for amphora in self.amphorae):
            raise next(iter(self.failing.values()))
        for amphora_id in work.keys() - done.keys():
            self.events.note(Reason.AmphoraFailed, _why(self.failing[amphora_id], amphora_id), amphora_id=amphora_id)
        return done

    async def make(self, amphora_id: str) -> Instance:
        """Make its instance, or find it made, and wait for its agent."""
        issued: list[str] = []
        clock = asyncio.get_running_loop().time
        version: str | None = None
        agents = self.ports.agents
        async with self.ports.boots:
            began = clock()
            issuer, trusted = self.ports.authority.issuer, self.ports.authority.trusted
            instance = await self.ports.compute.boot(self.order(amphora_id, issued.append))
            with contextlib.suppress(Unreachable):  # what takes so long takes no processor, and holds up no other one
                version = await agents.ready(instance, agent_care.TURN_SECONDS)
        version = version or await agents.ready(instance, agent_care.START_TIMEOUT - agent_care.TURN_SECONDS)
        self.suspects.discard(amphora_id)
        amphora = self.amphora(amphora_id)
        expires = issued[-1] if issued else amphora.certificate_expires
        ready = replace(
            amphora, status="ALLOCATED", management_address=instance.agent[0], certificate_expires=expires,
            flavor=flavor.booted_by(self.flavor), agent_version=version, image_id=instance.image_id,
            compute_id=instance.compute_id or amphora_id,
        )  # fmt: skip
        if issued:
            ready = replace(ready, issuer=issuer, trusted=trusted)
        seconds = round(clock() - began, 3)
        self.events.note(
            Reason.AmphoraBooted, f"An amphora ({amphora.role}) runs, and its agent answers", amphora_id=amphora_id,
            data={"seconds": seconds},
        )  # fmt: skip
        await self.keep(ready)
        self.instances = {**(self.instances or {}), amphora_id: instance}
        return instance

    async def look(self, scope_id: str) -> Mapping[str, Instance]:
        """Its instances, as the cloud has them. What it calls them is written down where that is not known: by stores of before it was."""
        there = self.instances = {one.amphora_id: one for one in await self.ports.compute.instances(scope_id)}
        for amphora in self.amphorae:
            if amphora.id in there and amphora.status == "ALLOCATED" and amphora.host_id is None:
                await self.keep(replace(amphora, compute_id=there[amphora.id].compute_id or amphora.id))
        return there

    def forget_amphora(self, amphora_id: str) -> None:
        """It is gone."""
        self.amphorae = tuple(a for a in self.amphorae if a.id != amphora_id)
        self.instances = {i: one for i, one in (self.instances or {}).items() if i != amphora_id}
        self.confirmed.pop(amphora_id, None)
        for known in (self.suspects, self.unrecoverable):
            known.discard(amphora_id)

    def suspect(self, amphora_id: str, reason: str) -> None:
        """Its agent was asked, and does not answer."""
        self.suspects.add(amphora_id)
        self.confirmed[amphora_id] = (asyncio.get_running_loop().time(), reason)

    async def recover_agent(self, amphora_id: str) -> None:
        """Its agent answers, if need be after a restart."""
        self.suspects.discard(amphora_id)
        amphora, instance, restart = self._cared_for(amphora_id)
        asked, reason = self.confirmed.pop(amphora_id, (-math.inf, ""))
        try:
            if asyncio.get_running_loop().time() - asked < JUST_NOW:
                recovered = await restart(amphora, reason)
            else:
                recovered = await agent_care.recover(self.ports.agents, instance, amphora, restart)
        except OctaviaError as error:
            self.suspects.add(amphora_id)
            # One that shows an expired certificate after its restart is well: it is our clock that is not.
            if not isinstance(error, CertificateExpired):
                self.unrecoverable.add(amphora_id)
            raise
        self.unrecoverable.discard(amphora_id)
        if recovered is amphora:
            self.events.note(Reason.AgentRecovered, "The agent answers", amphora_id=amphora_id)
        await self.keep(recovered)

    async def renew_certificate(self, amphora_id: str) -> None:
        """Its agent has another certificate, where it can take one; it is started anew where that is asked."""
        self.renewed.add(amphora_id)
        amphora, instance, restart = self._cared_for(amphora_id)
        agents, authority = self.ports.agents, self.ports.authority
        if AGENT in amphora.requests:
            renewed = await restart(amphora, "an operator asked for it")
        else:
            renewed = await agent_care.renew_certificate(agents, authority, instance, amphora, restart)
        if renewed is amphora:
            message = f"The agent took no new certificate; the present one is good until {amphora.certificate_expires}"
            self.events.note(Reason.CertificateNotRenewed, message, amphora_id=amphora_id)
            return
        until = renewed.certificate_expires
        if AGENT not in amphora.requests and until == amphora.certificate_expires:
            await self.keep(renewed)  # it trusts other authorities, no more
            return
        message = f"The agent has a new certificate, good until {until}"
        self.events.note(Reason.CertificateRenewed, message, amphora_id=amphora_id, data={"expires": until})
        await self.keep(renewed, fulfilled=amphora.requests & {AGENT, CERTIFICATE})

    def _cared_for(self, amphora_id: str) -> tuple[Amphora, Instance, agent_care.Restart]:
        amphora, instance = self.amphora(amphora_id), (self.instances or {})[amphora_id]
        make = partial(self.order, amphora_id)
        start_anew = partial(agent_care.restart, self.ports.compute, self.ports.agents, instance, make=make)

        async def restart(amphora: Amphora, reason: str) -> Amphora:
            issuer, trusted = self.ports.authority.issuer, self.ports.authority.trusted
            restarted = replace(await start_anew(amphora, reason), issuer=issuer, trusted=trusted)
            self.events.note(Reason.AgentRestarted, f"The agent was started again: {reason}", amphora_id=amphora_id)
            return restarted

        return amphora, instance, restart

    async def keep(self, changed: Amphora, *, fulfilled: frozenset[str] = frozenset()) -> None:
        """Write down how it is now; ``fulfilled``: what is asked of it no longer."""
        if changed == self.amphora(changed.id) and not fulfilled:
            return

        def work(tx: Transaction) -> None:
            tx.put_amphora(changed)
            tx.fulfil([changed.id], *fulfilled)

        await self.write(work)
        self.substitute(replace(changed, requests=changed.requests - fulfilled))

    def substitute(self, changed: Amphora) -> None:
        """It is known as it is now."""
        self.amphorae = tuple(changed if a.id == changed.id else a for a in self.amphorae)

    def order(self, amphora_id: str, issued: Callable[[str], None]) -> AmphoraSpec:
        """What the cloud is asked for. ``issued`` is told until when its new certificate is good."""
        amphora = self.amphora(amphora_id)
        make = partial(
            amphorae.files, amphora, self.ports.authority, self.ports.receivers,
            issued=issued, heartbeat_interval=self.ports.heartbeat_interval, log_level=self.ports.agent_log_level,
        )  # fmt: skip
        return AmphoraSpec(
            id=amphora_id, load_balancer_id=self.lease.id, vips=self.bearing(amphora), files=make,
            flavor=flavor.booted_by(self.flavor), zone=self.zone, apart_from=self.apart_from(amphora_id), seats=self.seats,
        )  # fmt: skip

    async def retire(self, amphora_id: str) -> None:
        """Write down that it is to be replaced."""
        await self.write(lambda tx: tx.retire([amphora_id]))
        self.substitute(replace(self.amphora(amphora_id), retiring=True))

    async def write(self, work: Callable[[Transaction], object]) -> None:
        """Write as the holder of the lease, with the events that were noted since the last write."""
        with self.events.taken_along(work) as recorded:
            await self.ports.store.write(fenced(self.lease, recorded))

    async def write_events(self) -> None:
        """Those that no other write has taken along."""
        if self.events.noted:
            await self.write(lambda tx: None)


def _why(error: BaseException, amphora_id: str) -> str:
    """In an event of the amphora, which names it already."""
    if isinstance(error, OctaviaError) and error.subject == f"amphora {amphora_id}":
        return error.message
    return str(error)
