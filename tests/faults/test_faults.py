# SPDX-License-Identifier: Apache-2.0
"""Every fault while there is traffic: the balancer is well again by itself, and what it cost is told, not asserted."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.analysis import report
from faults.conftest import COST
from faults.faults import FAULTS, Fault, answers
from faults.openloop import Client
from netns.installation import Stack, installation, make_stack, until

pytestmark = pytest.mark.timeout(240)
RATE, PATIENCE, LONG = 100.0, 20.0, 10.0
"""Requests a second; after how many seconds one is lost, and how long nobody may be answered where a fault is harmless: a machine that is
busy with other tests is slow."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A balancer with two members, in a home on a disk of its own that is small enough to be filled."""
    disk = Path(tempfile.mkdtemp(prefix="oct-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0755", "octavia", str(disk)], check=True)
    try:
        with installation(disk / "home") as site:
            yield make_stack(site, members=2)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        shutil.rmtree(disk, ignore_errors=True)


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{one.kind}-{one.name}".replace(" ", "-") for one in FAULTS])
def test_it_is_well_again_by_itself(stack: Stack, fault: Fault, record_property: Callable[[str, object], None]) -> None:
    until(lambda: answers(stack), what="the balancer to be well before", seconds=60)
    with Client(stack.url, rate=RATE, timeout=PATIENCE) as client:
        since = time.monotonic()
        over = fault.do(stack)
        until(over, what=f"it to be well again ({fault.kind}: {fault.name})", seconds=90)
    cost = report(client.samples, since)
    record_property(COST, (f"{fault.kind}: {fault.name}", cost.gap, cost.lost, cost.late, cost.requests, cost.errors))
    assert cost.requests > 0
    if fault.harmless:
        assert cost.lost == 0, cost
        assert cost.gap < LONG, cost
