# SPDX-License-Identifier: Apache-2.0
"""What operators do to amphorae and to the control plane: each is written down for the reconciler, which does it in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from octavia_provider.model.errors import NotFound
from octavia_provider.ports import AGENT, CERTIFICATE, Amphora, Transaction

from .amphorae import existing
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


async def rotate_authority(request: web.Request) -> web.Response:
    """POST /v2/octavia/certificate-authority/rotation: another authority of agents and control planes, without a gap."""
    await request.app[CONTEXT].callbacks.operations.rotate_authority()
    return web.Response(status=202)


async def _asked(request: web.Request, ask: Callable[[Transaction, Amphora], None]) -> web.Response:
    """Write it down, and wake the reconciler."""
    context, id_, wait = request.app[CONTEXT], path_id(request), read_wait(request)

    def work(tx: Transaction) -> int:
        amphora = existing(tx, id_)
        ask(tx, amphora)
        return tx.touch(amphora.load_balancer_id)

    await context.store.write(work)
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
