# SPDX-License-Identifier: Apache-2.0
"""What a cloud has and a store does not know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

import pytest

from octavia_provider.controller.event_recorder import ControlPlaneEvents
from octavia_provider.controller.orphans import OrphanCollector, orphans, require_none, sentence
from octavia_provider.model.errors import Conflict, Unreachable
from octavia_provider.model.events import EventFilter
from octavia_provider.ports import Allocation, Amphora, CloudResource, Instance, Inventory, Record, Settlement, Vip
from octavia_provider.store import SqlStore
from unit.store.opening import opened, record


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    made = opened(tmp_path)
    await made.write(lambda tx: tx.insert(record("load_balancer", id_="lb")))
    await made.write(
        lambda tx: tx.insert(record("listener", "lb", "web", loadbalancer_id="lb", protocol="HTTP", protocol_port=80))
    )
    await made.write(lambda tx: tx.insert(record("local_network", id_="net")))
    await made.write(lambda tx: tx.put_amphora(Amphora(id="amp", load_balancer_id="lb")))
    await made.write(lambda tx: tx.next_revision("lb", 0))
    yield made
    await made.close()


def host(amphora_id: str, load_balancer_id: str = "lb") -> Instance:
    return Instance(amphora_id=amphora_id, load_balancer_id=load_balancer_id, agent=("100.64.0.2", 9443))


def resource(kind: str, id_: str) -> CloudResource:
    return CloudResource(kind=kind, id=id_, words=f"{kind} {id_}")


WEB, NET = resource("listener", "web"), resource("local_network", "net")


def cloud(**more: object) -> Inventory:
    known = {"instances": [host("amp")], "resources": [WEB, NET], "pushed": {"amp": {"lb": (0, 0, 1)}}}
    return Inventory(**{**known, **more})  # type: ignore[arg-type]


async def test_what_the_store_made_is_known(store: SqlStore) -> None:
    assert await orphans(cloud(), store) == []
    await require_none(cloud(), store, "/home")


@pytest.mark.parametrize(
    ("more", "kind", "id_"),
    [
        ({"instances": [host("amp"), host("x", "other")]}, "load_balancer", "other"),
        ({"instances": [host("amp"), host("x")]}, "amphora", "x"),
        ({"resources": [WEB, NET, resource("listener", "x")]}, "listener", "x"),
        ({"resources": [WEB, NET, resource("local_network", "x")]}, "local_network", "x"),
        ({"resources": [WEB, NET, resource("local_host", "x")]}, "local_host", "x"),
        ({"pushed": {"amp": {"lb": (0, 0, 2)}}}, "newer", "lb"),
        ({"pushed": {"amp": {"lb": (0, 1, 0)}}}, "newer", "lb"),
    ],
)
async def test_each_kind_of_stranger_is_seen(store: SqlStore, more: dict[str, object], kind: str, id_: str) -> None:
    found = await orphans(cloud(**more), store)
    assert [(one.kind, one.id) for one in found] == [(kind, id_)]
    with pytest.raises(Conflict, match=f"{id_}.*Nothing was touched"):
        await require_none(cloud(**more), store, "/home")


async def test_without_a_store_everything_is_a_stranger() -> None:
    found = await orphans(cloud(resources=[WEB, NET, resource("local_host", "host")]), None)
    assert {one.kind for one in found} == {"load_balancer", "listener", "local_host", "local_network"}
    assert sentence(found).endswith("and 1 more")


async def test_what_the_store_forgot_of_a_balancer_that_is_gone_is_no_later_state(store: SqlStore) -> None:
    """Folders of amphorae that are gone tell of nothing that runs."""
    assert await orphans(cloud(pushed={"old": {"gone": (0, 5, 5)}}), store) == []


class Compute:
    """Takes amphorae away, but where it does not answer."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.answers = True

    async def delete(self, amphora_id: str) -> None:
        if not self.answers:
            raise Unreachable("gateway timeout")
        self.deleted.append(amphora_id)


class Networks:
    """``ports.RemoteAllocation``; remembers for whom all was given back."""

    unsupported: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.released: list[str] = []
        self.answers = False

    async def allocate(self, load_balancer: Record) -> Allocation:
        raise NotImplementedError

    async def own(self, load_balancer: Record, amphora_id: str) -> tuple[Vip, ...]:
        raise NotImplementedError

    async def release(self, load_balancer_id: str, keep: Collection[str]) -> None:
        assert not keep
        if load_balancer_id == "group" and not self.answers:
            raise Unreachable("gateway timeout")
        self.released.append(load_balancer_id)


async def test_an_amphora_that_a_late_call_made_is_taken_away_at_the_second_look(store: SqlStore) -> None:
    compute = Compute()
    collector = OrphanCollector(store, compute, ControlPlaneEvents(store, "one"), Networks())  # type: ignore[arg-type]
    await collector.collect(cloud())
    late = cloud(instances=[host("amp"), host("late"), host("other", "gone")])
    await collector.collect(late)
    await collector.collect(cloud())
    await collector.collect(late)
    assert compute.deleted == [], "twice, but not one look after the other"
    compute.answers = False
    await collector.collect(late)
    compute.answers = True
    for _ in range(3):
        await collector.collect(late)
    assert sorted(set(compute.deleted)) == ["late", "other"]
    found = await store.read(lambda tx: tx.events(EventFilter(), limit=10))
    assert [event.reason for event in found].count("OrphanRemoved") >= 2


async def test_what_ran_before_we_looked_and_what_the_store_once_knew_is_left_alone(store: SqlStore) -> None:
    """The store may be another one, or an older copy."""
    compute = Compute()
    collector = OrphanCollector(store, compute, ControlPlaneEvents(store, "one"), Networks())  # type: ignore[arg-type]
    there = cloud(instances=[host("amp"), host("before")])
    await collector.collect(there)
    await store.write(lambda tx: tx.delete_amphora("amp"))
    for _ in range(4):
        await collector.collect(there)
    assert compute.deleted == []


async def test_with_the_last_orphan_goes_what_was_allocated_for_a_load_balancer_that_is_gone(store: SqlStore) -> None:
    """Of one that the store never knew, or knew once; but not where another store may know it."""
    networks = Networks()
    collector = OrphanCollector(store, Compute(), ControlPlaneEvents(store, "one"), networks)  # type: ignore[arg-type]
    before = resource("load_balancer", "of another store")
    await store.write(lambda tx: tx.insert(record("load_balancer", id_="once")))
    await collector.collect(cloud(resources=[before, resource("load_balancer", "once")]))
    deleted = await store.write(lambda tx: tx.mark_deleting(["once"]))
    await store.write(lambda tx: tx.settle(Settlement(scope_id="once", generation=deleted)))
    balancers = {"a": "group", "b": "group", "c": "once", "d": "of another store", "e": "lb"}
    there = [host(amphora_id, load_balancer_id) for amphora_id, load_balancer_id in balancers.items()]
    for _ in range(2):
        await collector.collect(cloud(instances=[host("amp"), *there]))
    assert networks.released == ["once"]
    networks.answers = True
    await collector.collect(cloud())
    assert sorted(networks.released) == ["group", "once"]
