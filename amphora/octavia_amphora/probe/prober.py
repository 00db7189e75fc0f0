# SPDX-License-Identifier: Apache-2.0
"""Which servers are down: each is checked at its interval, and judged as haproxy would (``rise`` and ``fall``)."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from octavia_amphora.supervision import supervised
from octavia_amphora.wire.config import Configuration, Probe, ProbeTls, Server

from . import tls
from .checks import check

log = logging.getLogger("octavia_amphora.probe")

# At once: sockets, and a burst of packets, that a host can stand.
CONCURRENT = 512
# Checks that begin together drift apart: a first one within this share of the interval, later ones a tenth off.
FIRST_SPREAD, FIRST_LONGEST, JITTER = 0.2, 1.0, 0.1

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """How and where a server is checked; ``files``: what it needs for TLS, so that another content begins another check."""

    probe: Probe
    address: str
    port: int
    files: tls.Files = ()


@dataclass(slots=True)
class _Verdict:
    """``streak``: how many checks in a row said the opposite of ``down``."""

    down: bool = False
    streak: int = 0


def targets(configuration: Configuration) -> dict[Key, Target]:
    """What is to be checked: the servers in service of all backends that the agent checks."""
    digests = {one.name: one.digest for one in configuration.files.values()}
    return {
        (backend.name, server.name): _target(backend.probe, server, digests)
        for backend in configuration.backends.values()
        if backend.probe
        for server in backend.servers.values()
        if server.admin == "ready"
    }


def _target(probe: Probe, server: Server, digests: dict[str, str]) -> Target:
    """As haproxy does: what is asked elsewhere than where it serves is asked without the PROXY protocol, in the clear."""
    if (probe.proxy or probe.tls) and (server.check_address or server.check_port):
        probe = msgspec.structs.replace(probe, proxy=0, tls=None)
    needed = tls.files(probe.tls, digests) if probe.tls else ()
    return Target(probe, server.check_address or server.address, server.check_port or server.port, needed)


class Prober:
    """A new server is up until its checks fail, as at haproxy's start; one in ``known_down`` begins as down.

    ``changed`` is called when a verdict changes. ``contents``: where the contents of files lie by digest.
    """

    def __init__(self, changed: Callable[[], None], contents: Path, known_down: Iterable[Key] = ()) -> None:
        self._contents = contents
        self._on_change = changed
        self._verdicts: dict[Key, _Verdict] = {key: _Verdict(down=True) for key in known_down}
        self._running: dict[Key, tuple[Target, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(CONCURRENT)

    @property
    def down(self) -> frozenset[Key]:
        """Servers known dead."""
        return frozenset(key for key, judged in self._verdicts.items() if judged.down)

    def assume_down(self, key: Key) -> None:
        """It was found dead by others: that holds until our checks say otherwise. What we know ourselves goes before."""
        self._verdicts.setdefault(key, _Verdict(down=True))

    def set_configuration(self, configuration: Configuration | None) -> None:
        """Check what this configuration says from now on; what stays as it was goes on undisturbed."""
        wanted = targets(configuration) if configuration else {}
        for key, (target, task) in list(self._running.items()):
            if wanted.get(key) != target:
                task.cancel()
                del self._running[key]
        self._verdicts = {key: judged for key, judged in self._verdicts.items() if key in wanted}
        for key, target in wanted.items():
            if key not in self._running:
                judged = self._verdicts.setdefault(key, _Verdict())
                judged.streak = 0
                self._running[key] = (target, asyncio.ensure_future(self._run_supervised(key, target, judged)))

    def close(self) -> None:
        """Check nothing more; the verdicts stay."""
        for _, task in self._running.values():
            task.cancel()
        self._running.clear()

    async def _run_supervised(self, key: Key, target: Target, judged: _Verdict) -> None:
        await supervised(f"checks of {'/'.join(key)}", partial(self._probe_loop, key, target, judged))

    def _make_context(self, target: Target) -> ssl.SSLContext:
        return tls.context(target.probe.tls or ProbeTls(), target.files, self._contents)

    async def _probe_loop(self, key: Key, target: Target, judged: _Verdict) -> None:
        probe = target.probe
        await asyncio.sleep(random.uniform(0, min(FIRST_LONGEST, probe.interval * FIRST_SPREAD)))  # noqa: S311
        while True:
            async with self._slots:
                failure = await check(probe, target.address, target.port, partial(self._make_context, target))
            if _record(judged, probe, well=not failure):
                log.info("server %s is %s: %s", "/".join(key), "down" if judged.down else "up", failure or "well")
                self._on_change()
            await asyncio.sleep(probe.interval * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311


def _record(judged: _Verdict, probe: Probe, *, well: bool) -> bool:
    """Take in one check; whether the verdict changed."""
    if well != judged.down:
        judged.streak = 0
        return False
    judged.streak += 1
    if judged.streak < (probe.rise if judged.down else probe.fall):
        return False
    judged.down, judged.streak = not judged.down, 0
    return True
