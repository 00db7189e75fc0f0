# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from builders import scope
from octavia_amphora.wire.messages import Receivers, Refusal
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.controller.load_balancer import BalancerReconciler
from octavia_provider.controller.membership import Membership
from octavia_provider.controller.receivers import HeartbeatReceivers
from octavia_provider.model.errors import Unreachable
from octavia_provider.ports import AgentRefused, ControlPlane, Instance


class Agents:
    """``told``: by whom it was heard."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[str, ...]]] = []
        self.silent: set[str] = set()
        self.as_of = 0.0

    async def send_heartbeats_to(self, host: Instance, receivers: Receivers) -> bool:
        if host.amphora_id in self.silent:
            raise Unreachable("no answer")
        if receivers.as_of < self.as_of:
            raise AgentRefused(Refusal("stale", "what is known is later"))
        self.told.append((host.amphora_id, receivers.receivers))
        return True


def reconciler(*amphora_ids: str) -> BalancerReconciler:
    hosts = {
        id_: Instance(amphora_id=id_, load_balancer_id="lb", agent=("10.0.0.9", 9443), alive=id_ != "dead")
        for id_ in amphora_ids
    }
    return BalancerReconciler(
        cast("Any", SimpleNamespace(networks=None, holder="one")), DesiredState(scope()), instances=hosts
    )


async def test_the_agents_of_our_load_balancers_are_told_once_and_who_did_not_answer_again() -> None:
    ours = [reconciler("a", "b", "dead")]
    agents, membership = Agents(), Membership(ControlPlane(name="one"))
    controller = cast("Any", SimpleNamespace(reconcilers=lambda: ours))
    receivers = HeartbeatReceivers(controller, cast("Any", agents), membership)
    await receivers.tell()
    assert agents.told == [], "it hears nothing itself yet"
    membership.hears_at("10.0.0.1:1")
    agents.silent.add("b")
    await receivers.tell()
    agents.silent.clear()
    await receivers.tell()
    await receivers.tell()
    assert agents.told == [("a", ("10.0.0.1:1",)), ("b", ("10.0.0.1:1",))]
    agents.told.clear()
    membership.alive = (ControlPlane(name="two", heartbeat_receiver="10.0.0.1:2"),)
    await receivers.tell()
    assert agents.told == [(name, ("10.0.0.1:1", "10.0.0.1:2")) for name in ("a", "b")]
    agents.told.clear()
    ours.clear()
    await receivers.tell()
    ours.append(reconciler("a"))  # another control plane may have told it something else meanwhile
    await receivers.tell()
    assert agents.told == [("a", ("10.0.0.1:1", "10.0.0.1:2"))]


async def test_an_agent_that_another_one_told_later_is_told_again_until_it_knows_of_us() -> None:
    """The other one knew of the store as it was before we said where we listen."""
    agents, membership = Agents(), Membership(ControlPlane(name="one"))
    agents.as_of, membership.as_of = 12.0, 11.0
    controller = cast("Any", SimpleNamespace(reconcilers=lambda: [reconciler("a")]))
    receivers = HeartbeatReceivers(controller, cast("Any", agents), membership)
    membership.hears_at("10.0.0.1:1")
    await receivers.tell()
    assert agents.told == []
    membership.as_of = 13.0
    await receivers.tell()
    assert agents.told == [("a", ("10.0.0.1:1",))]
