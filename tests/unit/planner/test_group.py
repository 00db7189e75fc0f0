# SPDX-License-Identifier: Apache-2.0
"""The plan of an amphora group."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from octavia_provider.planner.group import HOST, DesiredGroup, ObservedGroup, plan_group
from octavia_provider.planner.plan import AddAmphora, Boot, Discard, RecoverAgent, RenewCertificate, Retire
from octavia_provider.ports import Amphora, Instance

TWO = DesiredGroup(size=2)


def host(id_: str, **more: Any) -> Amphora:
    return Amphora(id=id_, load_balancer_id="g", role=HOST, **{"status": "ALLOCATED", **more})


def running(*ids: str) -> dict[str, Instance]:
    return {id_: Instance(amphora_id=id_, load_balancer_id="g", agent=("192.0.2.1", 1)) for id_ in ids}


A, B, OLD = host("a"), host("b"), host("old", retiring=True)
ON_OLD: Counter[str | None] = Counter({"old": 1})


@pytest.mark.parametrize(
    ("desired", "hosts", "there", "more", "steps"),
    [
        (TWO, (), (), {}, (AddAmphora(HOST), AddAmphora(HOST))),
        (TWO, (host("a", status="BOOTING"), B), ("b",), {}, (Boot("a"),)),
        (TWO, (host("a", status="BOOTING"), B), ("a", "b"), {}, (Boot("a"),)),
        (TWO, (A, B), ("a", "b"), {}, ()),
        (TWO, (A, B), ("b",), {}, (Retire("a"),)),
        (TWO, (A, B), ("a", "b"), {"suspects": frozenset("a")}, (RecoverAgent("a"),)),
        (TWO, (A, B), ("a", "b"), {"unrecoverable": frozenset("a")}, (Retire("a", "its agent does not come back"),)),
        (TWO, (A, B), ("a", "b"), {"due": frozenset("b")}, (RenewCertificate("b"),)),
        (TWO, (A, OLD), ("a", "old"), {"seats": ON_OLD}, (AddAmphora(HOST),)),
        (TWO, (A, B, OLD), ("a", "b", "old"), {"seats": ON_OLD}, ()),
        (TWO, (A, B, OLD), ("a", "b"), {"seats": ON_OLD}, (Discard("old"),)),
        (TWO, (A, B, OLD), ("a", "b", "old"), {}, (Discard("old"),)),
        (DesiredGroup(size=1), (A, B), ("a", "b"), {"seats": Counter("aab")}, (Retire("b", "the group is smaller"),)),
        (DesiredGroup(size=2, flavor={"compute_flavor": "l"}), (A, B), ("a", "b"), {}, (Retire("a", "the flavor is another one"),)),
        (DesiredGroup(size=2, flavor={"compute_flavor": "l"}), (A, B), ("b",), {}, (Retire("a"),)),
        (DesiredGroup(size=0), (A, OLD), ("a", "old", "stray"), {}, (Retire("a", "the group is deleted"),)),
        (DesiredGroup(size=0), (OLD,), ("old", "stray"), {}, (Discard("old"), Discard("stray"))),
    ],
)  # fmt: skip
def test_what_is_done_next(
    desired: DesiredGroup, hosts: tuple[Amphora, ...], there: tuple[str, ...], more: dict[str, Any], steps: Any
) -> None:
    assert plan_group(desired, ObservedGroup(hosts=hosts, instances=running(*there), **more)) == steps
