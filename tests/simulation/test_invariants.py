# SPDX-License-Identifier: Apache-2.0
"""Invariants of the whole. Each has one test of its number: ``pytest --collect-only -q tests | grep _invariant_``."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from octavia_provider.controller.load_balancer import BalancerReconciler
from octavia_provider.planner import plan as planner

from . import checks
from .life import never_back
from .loop import run
from .site import PAIR, SINGLE, site

BOTH = pytest.mark.parametrize("roles", [SINGLE, PAIR], ids=["single", "pair"])
LOOKS = ("list_all", "list_servers", "list_rules", "list_ports", "write")
"""Calls that change nothing outside; what is written are leases."""


def test_each_invariant_has_a_test_of_its_number() -> None:
    tests = Path(__file__).parents[1].rglob("test_*.py")
    found = [int(number) for file in tests for number in re.findall(r"def test_invariant_(\d\d)_", file.read_text())]
    assert sorted(found) == list(range(1, 15))


@BOTH
def test_invariant_01_what_was_planned_and_applied_leaves_nothing_to_plan(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await made.until(lambda: plane.controller.troubles() == {})
            reconciler = plane.controller.reconciler(lb["id"])
            assert isinstance(reconciler, BalancerReconciler)
            assert planner.plan(reconciler.wanted(), reconciler.observed()) == ()
            before = made.world.calls.copy()
            plane.controller.poke(lb["id"], forget=True)  # all is asked for anew
            await asyncio.sleep(60)
            assert planner.plan(reconciler.wanted(), reconciler.observed()) == ()
            again = {name for name, count in made.world.calls.items() if count > before[name]} - {*LOOKS}
            assert again <= {"push", "standing", "states", "in_force"}, "an agent is asked whether it has it still"
            await checks.is_whole(made, lb["id"])

    run(story())


@BOTH
def test_invariant_13_writes_at_the_same_time_are_put_in_force_one_generation_after_the_other(
    roles: tuple[str, ...],
) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            wanted = [
                {"loadbalancer_id": lb["id"], "protocol": "TCP", "protocol_port": 81 + number % 5}
                for number in range(10)
            ]
            answers = await asyncio.gather(*(plane.api.post("listener", one) for one in wanted))
            statuses = sorted(answer.status for answer in answers)
            assert statuses == [201] * 5 + [409] * 5, "of two that want the same port, one has it"
            await checks.is_whole(made, lb["id"])
            never_back(made.world.pushed)

    run(story())
