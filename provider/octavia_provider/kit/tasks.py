# SPDX-License-Identifier: Apache-2.0
"""Background tasks that run as long as the control plane (``octavia_amphora.supervision``)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from octavia_amphora.supervision import supervised

log = structlog.get_logger(__name__)


def run_forever(name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Start a task that is restarted when it fails; failures are logged."""
    return asyncio.get_running_loop().create_task(supervised(name, work, on_failure=_log_failure), name=name)


def _log_failure(name: str, error: Exception, pause: float) -> None:
    log.error("task failed", task=name, again_in=pause, reason=str(error), exc_info=error)
