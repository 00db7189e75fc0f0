# SPDX-License-Identifier: Apache-2.0
"""What haproxy is told, for people: what is in force, and what templates make of what is desired."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from octavia_amphora.wire.config import compose
from octavia_provider.model.errors import NotFound, TransientError
from octavia_provider.ports import Agents, Compute
from octavia_provider.render.environment import Templates, shipped
from octavia_provider.render.overlay import Overlay

from .controller import Controller
from .load_balancer import BalancerReconciler


@dataclass(frozen=True, slots=True)
class Configurations:
    """Of all load balancers. With several amphorae, that of the first."""

    controller: Controller
    templates: Overlay
    compute: Compute
    agents: Agents

    async def in_force(self, load_balancer_id: str) -> str:
        """The text that an amphora has put in force."""
        reconciler = self.controller.reconciler(load_balancer_id)
        if not isinstance(reconciler, BalancerReconciler):
            return await self._asked(load_balancer_id)
        shown = reconciler.shown_amphora()
        if shown is None or shown.id not in reconciler.in_force:
            raise _nothing(load_balancer_id)
        return compose(reconciler.in_force[shown.id].configuration)

    async def rendered(self, load_balancer_id: str) -> Mapping[str, str]:
        """``next``: by the templates as they are now; ``shipped``: by ours alone."""
        now = await asyncio.to_thread(self.templates.load)
        return {"next": self._text(load_balancer_id, now), "shipped": self._text(load_balancer_id, shipped())}

    async def render(self, load_balancer_id: str) -> None:
        """Render anew and put in force what differs."""
        self._reconciler(load_balancer_id)
        await asyncio.to_thread(self.templates.load)
        self.controller.poke(load_balancer_id)

    async def _asked(self, load_balancer_id: str) -> str:
        """What the agent says of a load balancer that another control plane brings about."""
        for host in await self.compute.instances(load_balancer_id):
            if host.alive and (found := await self.agents.in_force(host, load_balancer_id)):
                return compose(found.configuration)
        raise _nothing(load_balancer_id)

    def _text(self, load_balancer_id: str, templates: Templates) -> str:
        found = self._reconciler(load_balancer_id).rendered_with(templates)
        if found is None:
            raise _nothing(load_balancer_id)
        return compose(found.configuration)

    def _reconciler(self, load_balancer_id: str) -> BalancerReconciler:
        found = self.controller.reconciler(load_balancer_id)
        if not isinstance(found, BalancerReconciler):
            if not self.controller.shared:
                raise _nothing(load_balancer_id)
            raise TransientError(
                "another control plane has its lease", subject=f"load balancer {load_balancer_id}",
                hint="ask that one, which `octaviactl events` tells; or wait, where it is new",
            )  # fmt: skip
        return found


def _nothing(load_balancer_id: str) -> NotFound:
    return NotFound("no configuration is in force yet.", subject=f"load balancer {load_balancer_id}", hint="wait")
