# SPDX-License-Identifier: Apache-2.0
"""Tasks of the control plane that live as long as it does (``octavia_amphora.supervision``), and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from octavia_amphora.supervision import supervised

log = structlog.get_logger(__name__)


def run_forever(name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Begin work that goes on: when it fails, the log says why and it is begun again."""
    return asyncio.get_running_loop().create_task(supervised(name, work, tell=_log_failure), name=name)


def _log_failure(name: str, error: Exception, pause: float) -> None:
    log.error("task failed", task=name, again_in=pause, reason=str(error), exc_info=error)
