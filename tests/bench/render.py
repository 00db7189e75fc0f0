# SPDX-License-Identifier: Apache-2.0
"""Rendering a load balancer with 1,000 members: the model's objects to the text of ``haproxy.cfg``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

from octavia_amphora.wire.config import compose, digest
from octavia_provider.model.graph import Graph, build
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validation import validated
from octavia_provider.render.haproxy import Placement, render

from .rows import Row, at_most, median
from .topics import Say

MEMBERS, RUNS = 1000, 31


def graph(members: int) -> Graph:
    """A load balancer with one listener, one monitored pool and so many members."""
    network, balancer, listener, pool = (str(uuid.uuid4()) for _ in range(4))
    found: Graph | None = None
    for kind, id_, values in (
        ("load_balancer", balancer, {"name": "lb", "vip_network_id": network}),
        ("listener", listener, {"loadbalancer_id": balancer, "protocol": "HTTP", "protocol_port": 80}),
        ("pool", pool, {"listener_id": listener, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}),
        (
            "health_monitor",
            str(uuid.uuid4()),
            {"pool_id": pool, "type": "HTTP", "delay": 5, "timeout": 5, "max_retries": 3},
        ),
        *(
            ("member", str(uuid.uuid4()), {"pool_id": pool, "address": address(i), "protocol_port": 80})
            for i in range(members)
        ),
    ):
        resource = build(kind, validated(KINDS[kind], values), id=id_)
        if found is None:
            found = Graph(resource)  # type: ignore[arg-type] # the first is the load balancer
        else:
            found.add(resource)
    assert found is not None
    return found


def address(number: int) -> str:
    """The address of a member that nobody ever asks."""
    return f"10.77.{number // 250}.{number % 250 + 1}"


def measure(say: Say) -> Iterator[Row]:
    """One row."""
    say(f"{MEMBERS} members, {RUNS} times")
    subject, placement = graph(MEMBERS), Placement(vips=("10.0.0.2",))
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        configuration = render(subject, placement).configuration
        compose(configuration)
        digest(configuration)
        taken.append((time.perf_counter() - began) * 1000)
    note = "model to text and its digest, in a warm process"
    yield Row("render.1000_members", median(taken), "ms", at_most(20), RUNS, note)
