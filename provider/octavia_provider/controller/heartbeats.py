# SPDX-License-Identifier: Apache-2.0
"""Listening to amphorae: what they say goes to the board; silence makes the controller look.

A heartbeat counts by position in the configuration that the amphora names by its digest. Where that is not the one we
know of, the agent is asked for its states in full, over mTLS; where it stays another one, the configuration is pushed
again. Silence alone condemns nobody: the cloud and the agent are asked before anything is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Collection
from typing import Any

import structlog

from octavia_amphora.wire.heartbeat import Assembler, BalancerBeat, Heartbeat, states
from octavia_provider.kit import tasks
from octavia_provider.model.errors import TransientError
from octavia_provider.model.events import Reason
from octavia_provider.ports import Agents, Amphora, Compute, Dialer, Store, Transaction

from .controller import Controller
from .followed import Followed
from .load_balancer import BalancerReconciler
from .membership import Membership
from .status_cache import StatusCache

log = structlog.get_logger(__name__)

LOST = "nothing"
SILENCE_SECONDS = 10.0  # three heartbeats of 3 s fit in it
PAUSE_SECONDS = 10.0  # twice the time between two looks


class Heartbeats(asyncio.DatagramProtocol):
    """One UDP socket for all amphorae."""

    def __init__(
        self, store: Store, status_cache: StatusCache, controller: Controller, agents: Agents,
        compute: Compute, *, clock: Callable[[], float] = time.monotonic, membership: Membership | None = None,
    ) -> None:  # fmt: skip
        self._store, self._status_cache, self._controller, self._agents = store, status_cache, controller, agents
        self._clock = clock
        self._assembler = Assembler()
        self._keys: dict[str, bytes] = {}
        self._load_balancers: dict[str, str] = {}
        self._seen: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._odd: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self._membership = membership
        self._followed = Followed(store, compute, agents, status_cache, self._spawn)
        self._looked = float("inf")

    async def start(self) -> None:
        """Learn the amphorae and begin to watch for silence."""
        await self._learn()
        self._looked = asyncio.get_running_loop().time()
        self._loops = [
            tasks.run_forever("watch for silence", self._watch_silence),
            tasks.run_forever("following the amphorae", self._follow_amphorae),
        ]

    async def open(self, dialer: Dialer) -> None:
        """Open the socket in the management network."""
        loop = asyncio.get_running_loop()
        self._socket = dialer.heartbeat_socket()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=self._socket)
        if self._membership:
            self._membership.hears_at(dialer.heartbeat_receiver)

    def close(self) -> None:
        """Close the socket: the network it was in has gone."""
        if self._transport:
            self._transport.close()
            self._transport = self._socket = None
        if self._membership:
            self._membership.hears_at(None)

    async def stop(self) -> None:
        """End."""
        ending = [*self._tasks, *self._loops]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002
        """One part of a heartbeat."""
        if self._pause() > PAUSE_SECONDS:
            return  # it waited while this process was paused, and may be as old as the pause is long
        beat = self._assembler.feed(data, self._keys.get)
        if beat is not None:
            self.hear(beat)

    def hear(self, beat: Heartbeat) -> None:
        """A whole heartbeat, its signature proven."""
        told = {b.load_balancer_id for b in beat.balancers}
        before = self._seen.get(beat.amphora_id)
        self._seen[beat.amphora_id] = (self._clock(), tuple(told.union(before[1] if before else ())))
        for balancer in beat.balancers:
            self._hear_balancer(beat.amphora_id, balancer)
        for load_balancer_id in set(before[1] if before else ()) - told:
            self._miss_balancer(beat.amphora_id, load_balancer_id)

    def _miss_balancer(self, amphora_id: str, load_balancer_id: str) -> None:
        """The amphora does not speak of a load balancer: it is new, or it has lost its records of what we put in force."""
        reconciler = self._controller.reconciler(load_balancer_id)
        if not isinstance(reconciler, BalancerReconciler):
            return
        if amphora_id not in reconciler.in_force:
            self._status_cache.lost(
                load_balancer_id, amphora_id
            )  # made anew, and nothing could be put in force there yet
            return
        if self._odd.get(amphora_id) != LOST:
            self._odd[amphora_id] = LOST
            return
        self._odd.pop(amphora_id)
        log.warning("lost", amphora=amphora_id, load_balancer=load_balancer_id)
        self._status_cache.lost(load_balancer_id, amphora_id)
        message = "The amphora does not have what was in force; it is pushed again"
        reconciler.events.note(Reason.ConfigurationLost, message, amphora_id=amphora_id)
        self._controller.poke(load_balancer_id, forget=True)

    def _hear_balancer(self, amphora_id: str, beat: BalancerBeat) -> None:
        reconciler = self._controller.reconciler(beat.load_balancer_id)
        if not isinstance(reconciler, BalancerReconciler):
            self._followed.hear(amphora_id, beat)
            return
        known = reconciler.in_force.get(amphora_id)
        seen = states(beat, known.configuration, known.digest) if known else None
        if known and seen:
            self._odd.pop(amphora_id, None)
            self._status_cache.see(amphora_id, known.configuration, seen)
            return
        if not beat.serving:  # of which configuration it speaks is no matter then
            self._status_cache.lost(beat.load_balancer_id, amphora_id)
        if self._odd.get(amphora_id) == beat.digest:
            self._spawn(self._ask(reconciler, amphora_id))  # the same odd digest twice: no push was under way
        else:
            self._odd[amphora_id] = beat.digest

    async def _ask(self, reconciler: BalancerReconciler, amphora_id: str) -> None:
        self._odd.pop(amphora_id, None)
        instance = (reconciler.instances or {}).get(amphora_id)
        scope_id = reconciler.desired_state.scope.id
        try:
            seen = await self._agents.states(instance, scope_id) if instance else None
        except TransientError as error:
            log.info("not reachable", amphora=amphora_id, reason=str(error))
            return
        known = reconciler.in_force.get(amphora_id)
        if seen and known and seen.digest == known.digest:
            self._status_cache.see(amphora_id, known.configuration, seen)
        else:
            self._controller.poke(scope_id, forget=True)

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(SILENCE_SECONDS / 2)
            self._notice_pause()
            await self._learn()  # an amphora that was replaced is no write of an object
            now = self._clock()
            for amphora_id, (at, balancers) in list(self._seen.items()):
                if now - at > SILENCE_SECONDS and amphora_id in self._keys:
                    self._seen[amphora_id] = (now, balancers)  # looked at once per period, not at every tick
                    for load_balancer_id in balancers:
                        if self._controller.reconciler(load_balancer_id) is None:  # it is for another to look
                            self._followed.forget(amphora_id, load_balancer_id)
                            continue
                        log.warning("silent", amphora=amphora_id, seconds=round(now - at, 1))
                        self._status_cache.lost(load_balancer_id, amphora_id)
                        self._suspect(amphora_id, load_balancer_id)
                        self._controller.poke(load_balancer_id, forget=True)

    def _pause(self) -> float:
        """Seconds since we last looked at the time, which is every few: more where this process was paused."""
        return asyncio.get_running_loop().time() - self._looked

    def _notice_pause(self) -> None:
        """After a pause it is not the amphorae that were silent: what is known is forgotten, and what waited is not read."""
        seconds = self._pause()
        if seconds > PAUSE_SECONDS:
            log.warning("this process was paused", seconds=round(seconds, 1))
            with contextlib.suppress(OSError):  # BlockingIOError: it is empty
                while self._socket is not None:
                    self._socket.recv(1)
            self._seen = {id_: (self._clock(), balancers) for id_, (_, balancers) in self._seen.items()}
            self._status_cache.unheard_all()
        self._looked = asyncio.get_running_loop().time()

    def _suspect(self, amphora_id: str, load_balancer_id: str) -> None:
        """Its agent may hang, or be unable to start: if it does not answer either, it is started anew."""
        reconciler = self._controller.reconciler(load_balancer_id)
        if isinstance(reconciler, BalancerReconciler):
            reconciler.suspects.add(amphora_id)
            if amphora_id in (reconciler.instances or {}):  # it is not being booted
                message = f"No heartbeat for {SILENCE_SECONDS:g} s; the cloud and the agent are asked"
                reconciler.events.note(Reason.AgentSilent, message, amphora_id=amphora_id)
                self._spawn(reconciler.write_events())  # it may have enough to do for a while

    async def _follow_amphorae(self) -> None:
        async with self._store.watch() as watch:
            await self._learn()
            while True:
                await self._learn(await watch.changed())

    async def _learn(self, written: Collection[str] | None = None) -> None:
        """Of the load balancers that were written, or of all."""

        def work(tx: Transaction) -> list[Amphora]:
            return tx.amphorae() if written is None else [a for id_ in written for a in tx.amphorae(id_)]

        now, found = self._clock(), await self._store.read(work)
        gone = {i for i, of in self._load_balancers.items() if written is None or of in written} - {a.id for a in found}
        for amphora in found:
            self._load_balancers[amphora.id] = amphora.load_balancer_id
            self._keys[amphora.id] = amphora.heartbeat_key
            self._seen.setdefault(amphora.id, (now, (amphora.load_balancer_id,)))
        for amphora_id in gone:
            load_balancer_id = self._load_balancers.pop(amphora_id)
            if self._controller.reconciler(load_balancer_id) is None:
                self._followed.forget(amphora_id, load_balancer_id)
            del self._keys[amphora_id]
            self._seen.pop(amphora_id, None)
            self._assembler.forget(amphora_id)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("question failed", reason=str(error), exc_info=error)
