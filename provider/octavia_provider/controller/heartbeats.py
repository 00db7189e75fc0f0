# SPDX-License-Identifier: Apache-2.0
"""Listening to amphorae: what they say goes to the status cache; silence makes the controller look.

A heartbeat counts by position in the configuration that the amphora names by its digest. Where that is not the one we
know of, the agent is asked for its states in full, over mTLS; where it stays another one, the configuration is pushed
again. Silence alone condemns nobody: the agent and the cloud are asked before anything is done, and nobody is where it
may be our own (``silence``).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog

from octavia_amphora.wire.heartbeat import PART_BYTES, Assembler, BalancerBeat, Heartbeat, short_digest, states
from octavia_provider.kit import tasks
from octavia_provider.model.errors import LeaseLost, TransientError
from octavia_provider.model.events import Reason
from octavia_provider.planner.group import HOST
from octavia_provider.ports import Agents, Amphora, Compute, Dialer, Store, Transaction

from .agent_repairs import REASONS, AgentRepairs
from .controller import Controller
from .early_questions import EarlyQuestions
from .followed import Followed
from .load_balancer import BalancerReconciler
from .membership import Membership
from .questions import Questions
from .scope_amphorae import ScopeAmphorae
from .seating import Seating
from .silence import HeartbeatTiming, SilenceDetector
from .status_cache import StatusCache

log = structlog.get_logger(__name__)

LOST = "nothing"
BATCH = 128
"""Datagrams that are read before others of this process have their turn."""
LEARN_SECONDS = 5.0
STALL_SECONDS = 2.0
"""So much later than at its time a loop may run on a machine that is busy: no pause."""
"""Of this process: what came before may be as old as the pause is long."""


class Heartbeats:
    """One UDP socket for all amphorae."""

    def __init__(
        self, store: Store, status_cache: StatusCache, controller: Controller, agents: Agents,
        compute: Compute, *, timing: HeartbeatTiming | None = None, clock: Callable[[], float] = time.monotonic,
        membership: Membership | None = None,
    ) -> None:  # fmt: skip
        self._store, self._status_cache, self._controller, self._agents = store, status_cache, controller, agents
        self._clock = clock
        self._assembler = Assembler()
        self._silence = SilenceDetector(timing or HeartbeatTiming(), clock())
        self._keys: dict[str, bytes] = {}
        self._load_balancers: dict[str, str] = {}
        self._seating = Seating()
        self._told: dict[str, tuple[str, ...]] = {}
        self._odd: dict[str, str] = {}
        self._repairs = AgentRepairs()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._socket: socket.socket | None = None
        self._accepted = 0
        self._membership = membership
        self._followed = Followed(store, compute, agents, status_cache, self._spawn)
        timeout = self._silence.timing.timeout
        self._early = EarlyQuestions(agents, self._spawn, timeout / 2)
        self._questions = Questions(controller, agents, status_cache, self._spawn, timeout)
        self._looked = float("inf")
        self._long = 2 * self._silence.timing.interval + STALL_SECONDS

    async def start(self) -> None:
        """Learn the amphorae and begin to watch for silence."""
        await self._learn()
        self._looked = asyncio.get_running_loop().time()
        self._loops = [
            tasks.run_forever("watch for silence", self._watch_silence),
            tasks.run_forever("learning the amphorae", self._learn_all),
            tasks.run_forever("following the amphorae", self._follow_amphorae),
        ]

    async def open(self, dialer: Dialer) -> None:
        """Open the socket in the management network."""
        self.close()
        self._socket = dialer.heartbeat_socket()
        self._socket.setblocking(False)
        self._silence.listen_again(self._clock())
        asyncio.get_running_loop().add_reader(self._socket, self._read, self._socket)
        if self._membership:
            self._membership.hears_at(dialer.heartbeat_receiver)

    def close(self) -> None:
        """Close the socket: the network it was in has gone."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self._membership:
            self._membership.hears_at(None)

    async def stop(self) -> None:
        """End."""
        ending = [*self._tasks, *self._loops]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self.close()

    def facts(self) -> Mapping[str, Any]:
        """For operators: what came in, what was thrown away and why, and whether the control plane suspects itself."""
        return {
            "accepted": self._accepted,
            "rejected": dict(self._assembler.rejected),
            "amphorae": self._silence.known,
            "silent": self._silence.quiet,
            "breaker_open": self._silence.tripped,
        }

    def _read(self, opened: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data = opened.recv(PART_BYTES + 1)  # a longer one shows as such
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.warning("heartbeats cannot be read", reason=str(error))
                return
            self.hear_datagram(data)

    def hear_datagram(self, data: bytes) -> None:
        """One part of a heartbeat."""
        if self._pause() > self._long:
            return  # it waited while this process was paused, and may be as old as the pause is long
        beat = self._assembler.feed(data, self._keys.get)
        if beat is not None:
            self.hear(beat)

    def hear(self, beat: Heartbeat) -> None:
        """A whole heartbeat, its signature proven."""
        if self._is_replay(beat):
            self._assembler.rejected["replayed"] += 1
            return
        self._accepted += 1
        self._silence.heard(beat.amphora_id, self._clock())
        self._early.drop(beat.amphora_id)
        before, told = self._told.get(beat.amphora_id, ()), tuple(b.load_balancer_id for b in beat.balancers)
        self._status_cache.host_heard(self._seating.groups.get(beat.amphora_id), beat.amphora_id)
        for balancer in beat.balancers:
            if (amphora_id := self._seating.seat(beat.amphora_id, balancer.load_balancer_id)) is not None:
                self._hear_balancer(amphora_id, balancer)
                self._hear_repairs(amphora_id, beat.boot, balancer)
        if told == before:
            return
        self._told[beat.amphora_id] = tuple(dict.fromkeys((*told, *before)))
        for load_balancer_id in set(before).difference(told):
            if (amphora_id := self._seating.seat(beat.amphora_id, load_balancer_id)) is not None:
                self._miss_balancer(amphora_id, load_balancer_id)

    def _hear_repairs(self, amphora_id: str, boot: int, beat: BalancerBeat) -> None:
        repaired = [*self._repairs.new(amphora_id, boot, beat)]
        reconciler = self._controller.reconciler(beat.load_balancer_id)
        if repaired and isinstance(reconciler, BalancerReconciler):
            for reason, times in repaired:
                reconciler.events.note(reason, REASONS[reason], amphora_id=amphora_id, data={"times": times})
            self._spawn(reconciler.write_events())

    def _is_replay(self, beat: Heartbeat) -> bool:
        """Whether it is older than the agent's last answer to a push: a control plane that has just started knows no better."""
        if beat.amphora_id not in self._seating.groups:
            return self._is_older(beat, beat.amphora_id, self._load_balancers.get(beat.amphora_id, ""))
        of = (
            (self._seating.seat(beat.amphora_id, one.load_balancer_id), one.load_balancer_id) for one in beat.balancers
        )
        return any(self._is_older(beat, seat_id, lb) for seat_id, lb in of if seat_id is not None)

    def _is_older(self, beat: Heartbeat, amphora_id: str, load_balancer_id: str) -> bool:
        reconciler = self._controller.reconciler(load_balancer_id)
        if not isinstance(reconciler, BalancerReconciler):
            return False
        known = reconciler.in_force.get(amphora_id)
        return known is not None and (beat.boot, beat.sequence) <= known.heartbeat

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
        self._status_cache.hear_vrrp(amphora_id, beat.vrrp)
        reconciler = self._controller.reconciler(beat.load_balancer_id)
        if not isinstance(reconciler, BalancerReconciler):
            self._followed.hear(amphora_id, beat)
            return
        reconciler.hear_vrrp(amphora_id, beat.vrrp)
        if beat.vrrp and reconciler.owner not in (None, reconciler.told_owner):
            self._spawn(reconciler.record_owner())
        known = reconciler.in_force.get(amphora_id)
        same = known is not None and beat.digest == short_digest(known.digest)
        if known and same and self._status_cache.counted(amphora_id, known.configuration, beat):
            self._odd.pop(amphora_id, None)
            return
        seen = states(beat, known.configuration, known.digest) if known else None
        if known and seen:
            self._odd.pop(amphora_id, None)
            self._status_cache.see(amphora_id, known.configuration, seen, beat=beat)
            return
        if not beat.serving:  # of which configuration it speaks is no matter then
            self._status_cache.lost(beat.load_balancer_id, amphora_id)
        if self._odd.get(amphora_id) == beat.digest:
            self._spawn(self._ask(reconciler, amphora_id))  # the same odd digest twice: no push was under way
        else:
            self._odd[amphora_id] = beat.digest

    async def _ask(self, reconciler: BalancerReconciler, amphora_id: str) -> None:
        """What it has in force, in full; where that is not what we know, the reconciler looks. ``TransientError``: no answer."""
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
            await asyncio.sleep(self._silence.timing.interval / 2)
            self._notice_pause()
            if self._socket is None:
                self._silence.listen_again(self._clock())
            self._judge()

    def _pause(self) -> float:
        """Seconds since we last looked at the time, which is twice an interval: more where this process was paused."""
        return asyncio.get_running_loop().time() - self._looked

    def _notice_pause(self) -> None:
        """After a pause it is not the amphorae that were silent: what is known is forgotten, and what waited is not read."""
        seconds = self._pause()
        if seconds > self._long:
            log.warning("this process was paused", seconds=round(seconds, 1))
            with contextlib.suppress(OSError):  # BlockingIOError: it is empty
                while self._socket is not None:
                    self._socket.recv(1)
            self._silence.listen_again(self._clock())
            self._status_cache.unheard_all()
        self._looked = asyncio.get_running_loop().time()

    def _judge(self) -> None:
        found = self._silence.look(self._clock())
        quiet, known = self._silence.quiet, self._silence.known
        if found.opened:
            log.error("breaker open: nothing is replaced for silence", silent=quiet, amphorae=known)
            message = f"{quiet} of {known} amphorae are silent at once; none is replaced until most are heard again"
            self._spawn(self._controller.events.record(Reason.BreakerOpened, message, silent=quiet))
        if found.closed:
            log.warning("breaker closed", silent=quiet, amphorae=known)
            self._spawn(
                self._controller.events.record(Reason.BreakerClosed, f"{known - quiet} of {known} amphorae are heard")
            )
        for amphora_id in found.quiet:
            self._ask_early(amphora_id)
        for heard_id, seconds in found.silent.items():
            failure = self._early.failure(heard_id)
            if heard_id in self._seating.groups:
                self._spawn(self._questions.ask_host(heard_id, self._seating.groups[heard_id], failure))
            for load_balancer_id in self._told[heard_id]:
                if (sitting := self._seating.seat(heard_id, load_balancer_id)) is None:
                    continue
                if self._controller.reconciler(load_balancer_id) is None:  # it is for another to look
                    self._followed.forget(sitting, load_balancer_id)
                    continue
                log.warning("silent", amphora=sitting, seconds=round(seconds, 1))
                self._spawn(self._questions.ask(sitting, load_balancer_id, failure))

    def _ask_early(self, amphora_id: str) -> None:
        load_balancer_id = next(iter(self._told[amphora_id]), "")
        reconciler = self._controller.reconciler(self._seating.groups.get(amphora_id, load_balancer_id))
        if not isinstance(reconciler, ScopeAmphorae) or amphora_id in reconciler.suspects:
            return
        instance = (reconciler.instances or {}).get(amphora_id)
        if load_balancer_id and instance is not None:
            self._early.ask(instance, load_balancer_id)

    async def _follow_amphorae(self) -> None:
        async with self._store.watch() as watch:
            await self._learn()
            while True:
                written = await watch.changed()
                if unknown := [scope_id for scope_id, scope in written.items() if scope is None]:
                    await self._learn(unknown)  # amphorae may have been written

    async def _learn_all(self) -> None:
        while True:
            await asyncio.sleep(LEARN_SECONDS)
            await self._learn()  # an amphora that was replaced is no write of an object

    async def _learn(self, written: Collection[str] | None = None) -> None:
        """Of the load balancers that were written, or of all."""

        def work(tx: Transaction) -> list[Amphora]:
            return tx.amphorae() if written is None else [a for id_ in written for a in tx.amphorae(id_)]

        every = await self._store.read(work)
        for seat_id, load_balancer_id in self._seating.learn(every, written):
            if self._controller.reconciler(load_balancer_id) is None:
                self._followed.forget(seat_id, load_balancer_id)
            self._odd.pop(seat_id, None)
        found = [amphora for amphora in every if amphora.host_id is None]  # others have no agent of their own
        gone = {i for i, of in self._load_balancers.items() if written is None or of in written} - {a.id for a in found}
        for amphora in found:
            self._load_balancers[amphora.id] = amphora.load_balancer_id
            self._keys[amphora.id] = amphora.heartbeat_key
            self._told.setdefault(amphora.id, () if amphora.role == HOST else (amphora.load_balancer_id,))
        self._silence.expect([amphora.id for amphora in found], self._clock())
        for amphora_id in gone:
            load_balancer_id = self._load_balancers.pop(amphora_id)
            if self._controller.reconciler(load_balancer_id) is None:
                self._followed.forget(amphora_id, load_balancer_id)
            del self._keys[amphora_id]
            self._told.pop(amphora_id, None)
            self._odd.pop(amphora_id, None)
            self._silence.forget(amphora_id)
            self._early.drop(amphora_id)
            self._assembler.forget(amphora_id)
            self._repairs.forget(amphora_id)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, LeaseLost):
            log.error("question failed", reason=str(error), exc_info=error)
