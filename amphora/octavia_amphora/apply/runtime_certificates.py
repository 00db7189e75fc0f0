# SPDX-License-Identifier: Apache-2.0
"""Saying to haproxy what changes among certificates and their like."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from octavia_amphora.haproxy import runtime
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration

from . import certificates
from .certificates import RuntimeCommand
from .files import Files

log = logging.getLogger("octavia_amphora.apply")

# haproxy 2.6.12 does not free the SSL_CTX of a certificate that is taken out of a list at run time: 20 kB for each bind
# (measured; another content in its place loses nothing). So one worker lets go of so many at most; a reload does the next.
MAX_REMOVALS = 256


class RuntimeCertificates:
    """Of one load balancer's haproxy."""

    def __init__(self, paths: Paths, files: Files) -> None:
        self._paths = paths
        self._files = files
        self._workers: tuple[int, ...] = ()
        self._removals = 0

    async def update(self, old: Configuration, new: Configuration, workers: tuple[int, ...]) -> bool | None:
        """Whether there was anything to say to these workers, and it is in force; None when a reload has to do it.

        After a None, what haproxy has is what a reload replaces as a whole.
        """
        commands = certificates.commands(old, new, str(self._paths.files), self._files.content)
        if commands is None or not self._may_remove(sum(one.leaks for one in commands), workers):
            return None
        return bool(commands) if await self._run(commands) else None

    def _may_remove(self, count: int, workers: tuple[int, ...]) -> bool:
        if workers != self._workers:
            self._workers, self._removals = workers, 0
        self._removals += count
        return count == 0 or self._removals <= MAX_REMOVALS

    async def _run(self, commands: Iterable[RuntimeCommand]) -> bool:
        """One after the other; False when haproxy did not take one."""
        for command in commands:
            try:
                answer = await runtime.execute_with_payload(self._paths.stats_socket, command.text, command.payload)
                if command.succeeded(answer):
                    continue
                log.warning("runtime API command=%r answer=%r", command.text, answer)
                if command.undo:
                    await runtime.execute_with_payload(self._paths.stats_socket, command.undo)
            except runtime.RuntimeApiError as error:
                log.warning("runtime API: %s", error)
            return False
        return True
