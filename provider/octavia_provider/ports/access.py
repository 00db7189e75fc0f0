# SPDX-License-Identifier: Apache-2.0
"""What a cloud does so that clients get to the listeners of a load balancer, beside the amphorae that carry its VIPs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from octavia_provider.model.listener import Listener
from octavia_provider.model.load_balancer import LoadBalancer

from .clouds import Instance, Inventory

MemberSubnets = Callable[[], Collection[str]]


def no_subnets() -> Collection[str]:
    """Where no member says in which subnet it is."""
    return ()


@dataclass(frozen=True, slots=True)
class CloudStep:
    """A step of a plan that a cloud contributes: what it is to do is for the cloud to know, ``words`` say it to people.

    ``object_id``: whose error it is where the cloud refuses it. ``before``: it comes before the configuration is pushed
    (what clients may no longer reach is closed first); else after it (they get to a listener when that answers). ``replugs``: amphorae have
    other interfaces afterwards.
    """

    object_id: str
    words: str
    before: bool = False
    replugs: bool = False


class ListenerAccess(Protocol):
    """Access to listeners: the embedded cloud publishes them on the loopback, another one keeps security groups."""

    async def observe(self, load_balancer_id: str) -> Sequence[Any]:
        """What there is for this load balancer; its elements mean something to ``plan`` and ``missing`` alone."""
        ...

    def plan(
        self, load_balancer: LoadBalancer | None, listeners: Collection[Listener], instances: Sequence[Instance],
        observed: Sequence[Any], member_subnets: MemberSubnets = no_subnets,
    ) -> tuple[CloudStep, ...]:  # fmt: skip
        """What has to be done, in order; () when what is equals what should be. Pure.

        ``load_balancer`` is None where nothing of it is in force, or it is to go. ``member_subnets``: those that members say they are
        in, for clouds where amphorae get an interface there; to look through the members takes its time.
        """
        ...

    async def carry_out(self, step: CloudStep) -> None:
        """Do one of its steps; can be repeated. ``Refused`` when that object cannot be reached so."""
        ...

    def missing(self, observed: Sequence[Any], inventory: Inventory) -> bool:
        """Whether something of what was observed is there no more."""
        ...
