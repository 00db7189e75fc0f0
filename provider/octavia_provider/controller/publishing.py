# SPDX-License-Identifier: Apache-2.0
"""Showing listeners to the outside where a cloud does that (the embedded one: on the machine's loopback)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from octavia_provider.model.listener import Listener, transport
from octavia_provider.model.load_balancer import LoadBalancer
from octavia_provider.ports import Instance, LocalCloud, Publication


class Publisher(Protocol):
    """Publishes listeners; a cloud whose VIPs are reachable anyway needs none of it."""

    def wanted(
        self, load_balancer: LoadBalancer | None, listeners: Sequence[Listener], hosts: Sequence[Instance]
    ) -> tuple[Publication, ...]:
        """What should be published."""
        ...

    async def published(self, load_balancer_id: str) -> tuple[Publication, ...]:
        """What is published."""
        ...

    async def publish(self, publication: Publication) -> None:
        """Publish; ``Refused`` when the port is taken."""
        ...

    async def withdraw(self, listener_id: str) -> None:
        """Publish no longer."""
        ...


class LoopbackPublisher:
    """Each load balancer has a loopback address of its own; its listeners keep their ports there."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud

    def wanted(
        self, load_balancer: LoadBalancer | None, listeners: Sequence[Listener], hosts: Sequence[Instance]
    ) -> tuple[Publication, ...]:
        """Every listener that is switched on, by way of the first amphora."""
        if load_balancer is None or not load_balancer.published_address:
            return ()
        entrance = next((h.proxy_address for h in hosts if h.proxy_address and h.alive), None)
        if entrance is None:
            return ()
        return tuple(
            Publication(
                listener_id=listener.id,
                load_balancer_id=load_balancer.id,
                address=load_balancer.published_address,
                port=listener.protocol_port,
                target=(entrance, listener.protocol_port),
                transport=transport(listener.protocol),
                allowed=listener.allowed_cidrs if listener.protocol == "UDP" else (),
            )
            for listener in listeners
            if listener.admin_state_up
        )

    async def published(self, load_balancer_id: str) -> tuple[Publication, ...]:
        """What the cloud publishes of this load balancer."""
        return tuple(p for p in await self._cloud.publications() if p.load_balancer_id == load_balancer_id)

    async def publish(self, publication: Publication) -> None:
        """Publish on this machine's loopback."""
        await self._cloud.publish(publication)

    async def withdraw(self, listener_id: str) -> None:
        """Close the loopback port."""
        await self._cloud.withdraw(listener_id)
