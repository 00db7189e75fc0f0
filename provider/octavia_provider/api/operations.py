# SPDX-License-Identifier: Apache-2.0
"""What operators do to amphorae and to the control plane: each is written down for the reconciler, which does it in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from aiohttp import web

from octavia_provider.controller import seats
from octavia_provider.model import statuses
from octavia_provider.model.errors import Conflict, NotFound
from octavia_provider.model.events import Reason
from octavia_provider.planner.group import HOST
from octavia_provider.ports import AGENT, CERTIFICATE, DRAIN, Amphora, LocalAllocation, Networks, Record, Transaction

from .amphorae import BOOTING, existing, status_of
from .context import CONTEXT
from .requests import path_id, read_wait

POLL_SECONDS = 0.25


async def configure(request: web.Request) -> web.Response:
    """PUT …/amphorae/{id}/config: its agent has the settings of now, without a restart of anything."""
    context, id_ = request.app[CONTEXT], path_id(request)
    amphora = await context.store.read(lambda tx: existing(tx, id_))
    await context.callbacks.operations.configure(amphora)
    return web.Response(status=202)


async def rotate(request: web.Request) -> web.Response:
    """PUT …/amphorae/{id}/certificate: its agent has another certificate."""
    return await _asked(request, lambda tx, amphora: tx.ask([amphora.id], CERTIFICATE))


async def restart(request: web.Request) -> web.Response:
    """PUT …/amphorae/{id}/agent: its agent is started anew, with the code of now; haproxy goes on."""
    return await _asked(request, lambda tx, amphora: tx.ask([amphora.id], AGENT))


async def fail_over_balancer(request: web.Request) -> web.Response:
    """PUT …/loadbalancers/{id}/failover: each of its amphorae is replaced by another one, one after the other."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> tuple[int, list[str]]:
        record = tx.get("load_balancer", id_)
        if record is None or record.deleting:
            raise NotFound(f"load balancer {id_} does not exist in this control plane")
        leaving = _replaceable(tx.amphorae(id_))
        _require_room(tx, context.networks, record, leaving)
        _require_place(tx, record)
        _retire_all(tx, id_, leaving)
        return tx.touch(id_), leaving

    generation, leaving = await context.store.write(work)
    return await _replaced(request, id_, generation, leaving)


def _replaceable(amphorae: Collection[Amphora]) -> list[str]:
    """All of them; but what a failover that goes on is booting is new already."""
    goes_on = any(amphora.retiring for amphora in amphorae)
    return [amphora.id for amphora in amphorae if amphora.retiring or not goes_on or amphora.status != BOOTING]


async def fail_over(request: web.Request) -> web.Response:
    """PUT …/amphorae/{id}/failover: it is replaced by another one, which takes its VIPs over."""
    load_balancer_id, generation = await _retire(request)
    return await _replaced(request, load_balancer_id, generation, [path_id(request)])


async def delete(request: web.Request) -> web.Response:
    """DELETE …/amphorae/{id}: as in Octavia of one that is in ERROR alone."""
    await _retire(request, only=statuses.ERROR)
    return web.Response(status=204)


async def _retire(request: web.Request, *, only: str | None = None) -> tuple[str, int]:
    """``only``: where it has this status."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> tuple[str, int]:
        amphora = existing(tx, id_)
        balancer = tx.get("load_balancer", amphora.load_balancer_id)
        status = status_of(amphora, balancer)
        if only not in (None, status):
            raise Conflict(
                f"it is {status}, and only one in {only} can be deleted", subject=f"amphora {id_}",
                hint="fail it over: PUT …/failover replaces it without an outage",
            )  # fmt: skip
        if balancer is not None:
            _require_room(tx, context.networks, balancer, [id_])
            _require_place(tx, balancer)
        _retire_all(tx, amphora.load_balancer_id, [id_])
        return amphora.load_balancer_id, tx.touch(amphora.load_balancer_id)

    return await context.store.write(work)


def _retire_all(tx: Transaction, load_balancer_id: str, leaving: Sequence[str]) -> None:
    tx.retire(leaving)
    message = f"An operator asked for a failover: amphorae to be replaced: {len(leaving)}"
    _record(tx, Reason.FailoverStarted, message, load_balancer_id, amphorae=list(leaving))


def _record(
    tx: Transaction, reason: Reason, message: str, owner_id: str, *, amphora_id: str | None = None, **data: Any
) -> None:
    """An event of a load balancer, or of an amphora group, whose name it tells."""
    group = tx.get("amphora_group", owner_id)
    if group is None:
        tx.record(reason.event(message, load_balancer_id=owner_id, amphora_id=amphora_id, data=data))
        return
    about = {"object_kind": group.kind, "object_id": group.id, "amphora_id": amphora_id}
    tx.record(reason.event(message, data={"name": group.spec["name"], **data}, **about))


def _require_room(tx: Transaction, networks: Networks, balancer: Record, leaving: Collection[str]) -> None:
    """A failover that would be tried without end is refused, where this can be known beforehand."""
    if isinstance(networks, LocalAllocation):
        networks.require_room(tx, balancer, leaving)


def _require_place(tx: Transaction, balancer: Record) -> None:
    """Another amphora of its group can take it over."""
    group = seats.read(tx, balancer.spec.get("amphora_group_id"))
    if group is not None and not group.places(balancer.id):
        raise Conflict(
            "no other amphora of its group has a place for it",
            subject=f"load balancer {balancer.spec.get('name') or balancer.id}",
            hint="raise the size of the group, or fail over the amphora of the group that it is on",
        )  # fmt: skip


async def _replaced(
    request: web.Request, load_balancer_id: str, generation: int, leaving: Collection[str]
) -> web.Response:
    """The load balancer's generation is settled when what was to be replaced is, or cannot be now: that is told by 202."""
    wait = read_wait(request)
    if wait is None:
        return web.Response(status=202)
    context = request.app[CONTEXT]
    done = await context.generation_waits.settled(load_balancer_id, generation, wait)
    if done:
        there = await context.store.read(lambda tx: {amphora.id for amphora in tx.amphorae(load_balancer_id)})
        done = not there & {*leaving}
    return web.Response(status=204 if done else 202, headers={"Preference-Applied": f"wait={wait:g}"})


async def drain(request: web.Request) -> web.Response:
    """PUT …/amphorae/{id}/drain: it gives its VIPs up, and is there as a backup until that is undone. One of a group gives up those of
    all load balancers that are on it."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> None:
        for amphora in _with_seats(tx, existing(tx, id_)):
            owner = amphora.load_balancer_id
            others = [a for a in tx.amphorae(owner) if a.id != amphora.id and not a.retiring]
            if not any(DRAIN not in other.requests for other in others):
                raise _none_to_take_over(amphora, others)
            tx.ask([amphora.id], DRAIN)
            tx.touch(owner)
            if DRAIN not in amphora.requests:
                _record(
                    tx,
                    Reason.AmphoraDrained,
                    "An operator asked for it to give its VIPs up",
                    owner,
                    amphora_id=amphora.id,
                )

    await context.store.write(work)
    return web.Response(status=202)


def _none_to_take_over(amphora: Amphora, drained: Sequence[Amphora]) -> Conflict:
    hint = "fail it over, or give the load balancer a flavor of two (ACTIVE_STANDBY)"
    if drained:
        other = drained[0].host_id or drained[0].id
        hint = f"that one is drained: octaviactl drain {other} --undo"
    message = "no other amphora of its load balancer could take its VIPs"
    return Conflict(message, subject=f"amphora {amphora.id}", hint=hint)


async def undo_drain(request: web.Request) -> web.Response:
    """DELETE …/amphorae/{id}/drain: it may have the VIPs again."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> None:
        for amphora in _with_seats(tx, existing(tx, id_)):
            owner = amphora.load_balancer_id
            tx.fulfil([amphora.id], DRAIN)
            tx.touch(owner)
            if DRAIN in amphora.requests:
                _record(
                    tx,
                    Reason.DrainUndone,
                    "An operator asked for it to have the VIPs again",
                    owner,
                    amphora_id=amphora.id,
                )

    await context.store.write(work)
    return web.Response(status=204)


def _with_seats(tx: Transaction, amphora: Amphora) -> list[Amphora]:
    """It, and what is on it."""
    return [amphora, *(tx.seats([amphora.id]) if amphora.role == HOST else ())]


async def rotate_authority(request: web.Request) -> web.Response:
    """POST /v2/octavia/certificate-authority/rotation: another authority of agents and control planes, without a gap."""
    await request.app[CONTEXT].callbacks.operations.rotate_authority()
    return web.Response(status=202)


async def _asked(request: web.Request, ask: Callable[[Transaction, Amphora], None]) -> web.Response:
    """Write it down, and wake the reconciler."""
    context, id_, wait = request.app[CONTEXT], path_id(request), read_wait(request)

    def work(tx: Transaction) -> str:
        amphora = existing(tx, id_)
        if amphora.host_id is not None:  # it has that one's agent
            amphora = existing(tx, amphora.host_id)
        ask(tx, amphora)
        tx.touch(amphora.load_balancer_id)
        return amphora.id

    id_ = await context.store.write(work)
    if wait is None:
        return web.Response(status=202)
    done = await _until(request, lambda tx: not _requests(tx, id_), wait)
    return web.Response(status=204 if done else 202, headers={"Preference-Applied": f"wait={wait:g}"})


def _requests(tx: Transaction, id_: str) -> frozenset[str]:
    try:
        return existing(tx, id_).requests & {AGENT, CERTIFICATE}
    except NotFound:
        return frozenset()


async def _until(request: web.Request, done: Callable[[Transaction], bool], seconds: float) -> bool:
    """Wait for something that no commit of an object tells of."""
    store = request.app[CONTEXT].store
    try:
        async with asyncio.timeout(seconds):
            while not await store.read(done):  # noqa: ASYNC110 - amphorae are written without a wake
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True
