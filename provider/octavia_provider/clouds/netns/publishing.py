# SPDX-License-Identifier: Apache-2.0
"""Publishing listeners on this machine's loopback: how its users get to load balancers that are behind walls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from octavia_provider.model.listener import Listener, transport
from octavia_provider.model.load_balancer import LoadBalancer
from octavia_provider.ports import CloudStep, Instance, Inventory, MemberSubnets, no_subnets
from octavia_provider.render.listener import HEALTH_PORT

from .cloud import NetnsCloud
from .specs import Publication


@dataclass(frozen=True, slots=True)
class Publish(CloudStep):
    """Publish a listener, or publish it elsewhere: it is shown to the outside when it answers."""

    publication: Publication | None = None


@dataclass(frozen=True, slots=True)
class Withdraw(CloudStep):
    """Publish a listener no longer, before what is behind it goes."""


class LoopbackPublisher:
    """``ports.ListenerAccess``: each load balancer has a loopback address of its own, where its listeners keep their ports."""

    def __init__(self, cloud: NetnsCloud) -> None:
        self._cloud = cloud

    async def observe(self, load_balancer_id: str) -> Sequence[Publication]:
        """What is published of this load balancer."""
        return [p for p in await self._cloud.publications() if p.load_balancer_id == load_balancer_id]

    def plan(
        self, load_balancer: LoadBalancer | None, listeners: Collection[Listener], instances: Sequence[Instance],
        observed: Sequence[Publication], member_subnets: MemberSubnets = no_subnets,  # noqa: ARG002 - all are on one network
    ) -> tuple[CloudStep, ...]:  # fmt: skip
        """Withdraw what is not wanted, then publish what is not there as it should be."""
        wanted = _wanted(load_balancer, listeners, instances)
        named = {publication.listener_id for publication in wanted}
        return (
            *(withdraw(p.listener_id) for p in observed if p.listener_id not in named),
            *(publish(p) for p in wanted if p not in observed),
        )

    async def carry_out(self, step: CloudStep) -> None:
        """Publish; ``Refused`` when the port is taken. Or withdraw."""
        if isinstance(step, Publish) and step.publication is not None:
            await self._cloud.publish(step.publication)
        elif isinstance(step, Withdraw):
            await self._cloud.withdraw(step.object_id)

    def missing(self, observed: Sequence[Publication], inventory: Inventory) -> bool:
        """Whether a publication has ended by itself."""
        return not all(inventory.has("listener", publication.listener_id) for publication in observed)


def publish(publication: Publication) -> Publish:
    """The step that publishes."""
    where = f"{publication.address}:{publication.port}"
    return Publish(
        publication.listener_id, f"publish listener {publication.listener_id} at {where}", publication=publication
    )


def withdraw(listener_id: str) -> Withdraw:
    """The step that withdraws."""
    return Withdraw(listener_id, f"withdraw listener {listener_id}", before=True)


def _wanted(
    load_balancer: LoadBalancer | None, listeners: Iterable[Listener], instances: Iterable[Instance]
) -> list[Publication]:
    """Every listener that is switched on, by way of the first amphora; of a pair, the other one stands by."""
    if load_balancer is None or not load_balancer.published_address:
        return []
    entrances = [(one.proxy_address, one.health_address) for one in instances if one.proxy_address and one.alive]
    if not entrances:
        return []
    (first, _), *others = entrances
    checked = entrances if others else []
    return [
        Publication(
            listener_id=listener.id,
            load_balancer_id=load_balancer.id,
            address=load_balancer.published_address,
            port=listener.protocol_port,
            target=(first, listener.protocol_port),
            transport=transport(listener.protocol),
            allowed=listener.allowed_cidrs if listener.protocol == "UDP" else (),
            standbys=tuple((address, listener.protocol_port) for address, _ in others),
            checks=tuple((address, HEALTH_PORT) for _, address in checked if address),
        )
        for listener in listeners
        if listener.admin_state_up
    ]
