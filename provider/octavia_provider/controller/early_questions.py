# SPDX-License-Identifier: Apache-2.0
"""Questions to agents that are not silent for the whole timeout yet: when it is over, that there is no answer is known already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from octavia_provider.model.errors import OctaviaError, Unreachable
from octavia_provider.ports import AgentRefused, Agents, Instance

AT_ONCE = 32
"""Of more, those that are silent are asked at the end of the timeout."""
PAUSE = 0.25

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class EarlyQuestions:
    """One for each amphora, asked until it is answered or the amphora is heard. ``patience``: seconds until the timeout is over."""

    def __init__(self, agents: Agents, spawn: Spawn, patience: float) -> None:
        self._agents, self._spawn, self._patience = agents, spawn, patience
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, Exception] = {}

    def ask(self, instance: Instance, load_balancer_id: str) -> None:
        """Ask its agent for its states."""
        if len(self._asked) < AT_ONCE and instance.amphora_id not in self._asked:
            self._asked[instance.amphora_id] = self._spawn(self._ask(instance, load_balancer_id))

    async def _ask(self, instance: Instance, load_balancer_id: str) -> None:
        while True:
            try:
                await self._agents.states(instance, load_balancer_id)
            except (OctaviaError, AgentRefused) as error:
                self._failures[instance.amphora_id] = error
                await asyncio.sleep(PAUSE)
            else:
                return

    def drop(self, amphora_id: str) -> None:
        """It is heard, or gone: nobody wants to know any more."""
        if self._asked:
            self.failure(amphora_id)

    def failure(self, amphora_id: str) -> Exception | None:
        """Why there is no answer; None where there is one, or it was not asked. It is asked no longer."""
        task, failure = self._asked.pop(amphora_id, None), self._failures.pop(amphora_id, None)
        if task is None or task.done():
            return None
        task.cancel()
        return failure or Unreachable(f"no answer within {self._patience:g} s", subject=f"amphora {amphora_id}")
