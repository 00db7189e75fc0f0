# SPDX-License-Identifier: Apache-2.0
"""Members through the API, 8 requests in flight, each waiting until it is in force: 100, 300, 500 and 1,000 of them.

Nobody asks these members: their addresses lead nowhere, and no monitor checks them. Each round has a load balancer of
its own, made before the clock starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from netns.installation import Installation

from .render import address
from .rows import Row, at_most, median
from .site import balancer, remove, site
from .topics import Say

SIZES, RUNS, IN_FLIGHT = (100, 300, 500, 1000), 3, 8
LINEAR = 1.5
"""How much more a member may cost among 1,000 than among 100."""


def seconds(made: Installation, count: int) -> float:
    """How long so many members take, in a new load balancer that is taken away again."""
    found = balancer(made)
    pool = found["pool"]["id"]

    def one(number: int) -> str:
        member = made.create("member", parent=pool, name=f"m{number}", address=address(number), protocol_port=80)
        return str(member["provisioning_status"])

    began = time.monotonic()
    with ThreadPoolExecutor(IN_FLIGHT) as clients:
        outcomes = list(clients.map(one, range(count)))
    taken = time.monotonic() - began
    assert set(outcomes) == {"ACTIVE"}, set(outcomes)
    remove(made, found)
    return taken


def measure(say: Say) -> Iterator[Row]:
    """Totals, the cost of one member at each size, and how the cost grows."""
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    with site() as made:
        for turn in range(RUNS):
            for size in SIZES:
                say(f"{size} members, round {turn + 1} of {RUNS}")
                taken[size].append(seconds(made, size))
    middle = {size: median(found) for size, found in taken.items()}
    note = "POSTs that wait until in force, 8 in flight"
    yield Row("members.api_500", middle[500], "s", at_most(5), RUNS, note)
    for size in SIZES:
        yield Row(f"members.api_each_of_{size}", middle[size] / size * 1000, "ms", None, RUNS)
    growth = (middle[1000] / 1000) / (middle[100] / 100)
    yield Row("members.api_growth", growth, "×", at_most(LINEAR), RUNS, "cost of one of 1,000 over that of one of 100")
