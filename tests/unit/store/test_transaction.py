# SPDX-License-Identifier: Apache-2.0
"""Objects, generations, uniqueness, settlement."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection

from octavia_provider.model.errors import Conflict, LeaseLost, NotFound
from octavia_provider.model.events import EventFilter, Reason
from octavia_provider.ports import Amphora, ControlPlane, Owner, Scope, Settlement, Transaction, Vip, fenced
from octavia_provider.store import SqlStore
from octavia_provider.store.coordination import own_holder
from unit.store.opening import member, opened, record, with_pool


async def test_what_is_written_is_read(store: SqlStore) -> None:
    lb = record("load_balancer", name="web", tags=("a", "b"))
    made = await store.write(lambda tx: tx.insert(lb))
    assert (made.generation, made.spec["tags"], made.created_at != "") == (1, ["a", "b"], True)
    assert await store.read(lambda tx: tx.get("load_balancer", lb.id)) == made
    assert await store.read(lambda tx: tx.get("pool", lb.id)) is None
    assert await store.read(lambda tx: tx.scope(lb.id)) == Scope(id=lb.id, kind="load_balancer", generation=1)


async def test_many_are_added_together_or_none_is(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    before = await store.read(lambda tx: tx.scope(lb.id))
    assert before is not None
    wanted = [member(pool, i) for i in range(5)]
    assert await store.write(lambda tx: tx.insert_all(wanted))
    assert await store.write(lambda tx: tx.insert_all([]))
    found = await store.read(lambda tx: tx.find("member", parent=("pool_id", pool.id)))
    assert [(one.id, one.spec, one.generation) for one in found] == [
        (one.id, one.spec, before.generation + 1) for one in wanted
    ]
    assert not await store.write(lambda tx: tx.insert_all([member(pool, 6), member(pool, 3), member(pool, 7)]))
    assert await store.read(lambda tx: tx.ids("member", ("pool_id", pool.id))) == [one.id for one in wanted]


async def test_a_few_attributes_are_told_without_the_rest(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    more = {"weight": 256, "admin_state_up": False, "description": 'a "word"\n'}
    wanted = [member(pool, 1, **more), member(pool, 2, admin_state_up=True, description=None), member(pool, 3)]
    await store.write(lambda tx: [tx.insert(one) for one in wanted])
    names = {"description": str, "weight": int, "admin_state_up": bool, "address": str, "project_id": str}
    found = await store.read(lambda tx: tx.values("member", names, ("pool_id", pool.id)))
    assert found == [
        (wanted[0].id, 'a "word"\n', 256, False, "10.0.0.1", "p"),
        (wanted[1].id, None, None, True, "10.0.0.2", "p"),
        (wanted[2].id, None, None, None, "10.0.0.3", "p"),
    ]
    assert [row[2] is True for row in await store.read(lambda tx: tx.values("member", {"weight": int, "admin_state_up": bool}))] == [False, True, False]  # fmt: skip
    assert await store.read(lambda tx: tx.values("load_balancer", {})) == [(lb.id,)]


async def test_generations_count_the_writes_of_a_scope(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    m = await store.write(lambda tx: tx.insert(member(pool, 1)))
    changed = await store.write(lambda tx: tx.update(m.id, {**m.spec, "weight": 3}))
    assert (m.generation, changed.generation, changed.spec["weight"]) == (3, 4, 3)
    assert changed.updated_at is not None
    assert await store.write(lambda tx: tx.touch(lb.id)) == 5
    assert await store.write(lambda tx: tx.mark_deleting([m.id])) == 6
    assert await store.write(lambda tx: tx.mark_deleting([m.id])) == 0, "it is being deleted already"
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.update(m.id, m.spec))
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.touch(str(uuid.uuid4())))


async def test_what_an_object_names_is_found_after_each_change(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    other = await store.write(lambda tx: tx.insert(record("pool", lb.id, name="other", loadbalancer_id=lb.id)))
    li = record("listener", lb.id, loadbalancer_id=lb.id, protocol="HTTP", protocol_port=80, default_pool_id=pool.id)
    li = await store.write(lambda tx: tx.insert(li))

    async def users_after(**change: object) -> list[list[str]]:
        await store.write(lambda tx: tx.update(li.id, {**li.spec, **change}))
        found = await store.read(lambda tx: [tx.find(references=("pool", p.id)) for p in (pool, other)])
        return [[one.id for one in users] for users in found]

    assert await users_after(protocol_port=81) == [[li.id], []]
    assert await users_after(default_pool_id=other.id) == [[], [li.id]]
    assert await users_after(default_pool_id=None) == [[], []]
    assert await users_after(default_pool_id=pool.id) == [[li.id], []]


async def test_finding(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    m1 = await store.write(lambda tx: tx.insert(member(pool, 1)))
    m2 = await store.write(lambda tx: tx.insert(member(pool, 2)))
    li = record("listener", lb.id, loadbalancer_id=lb.id, protocol="HTTP", protocol_port=80, default_pool_id=pool.id)
    li = await store.write(lambda tx: tx.insert(li))

    def ids(tx: Transaction) -> list[list[str]]:
        found = [
            tx.find("member", parent=("pool_id", pool.id)),
            tx.find(references=("pool", pool.id)),
            tx.find(parent=("loadbalancer_id", lb.id)),
            tx.find(scope_id=lb.id, since=m1.generation),
            tx.find("listener", parent=("default_pool_id", pool.id)),
        ]
        return [[r.id for r in records] for records in found]

    wanted = [[m1.id, m2.id], [m1.id, m2.id, li.id], [pool.id, li.id], [m2.id, li.id], [li.id]]
    assert await store.read(ids) == wanted
    assert await store.read(lambda tx: tx.ids("member", ("pool_id", pool.id))) == [m1.id, m2.id]
    await store.write(lambda tx: tx.update(li.id, {**li.spec, "default_pool_id": None}))
    assert await store.read(lambda tx: tx.ids("listener", ("default_pool_id", pool.id))) == []


async def test_unique_values_name_the_other_object(store: SqlStore) -> None:
    _, pool = await with_pool(store)
    first, second = await store.write(lambda tx: [tx.insert(member(pool, i)) for i in (1, 2)])
    with pytest.raises(Conflict, match=r"10\.0\.0\.1:80 is in this pool already, as member m1") as caught:
        await store.write(lambda tx: tx.insert(member(pool, 1, name="again")))
    assert caught.value.path == ("address",)
    with pytest.raises(Conflict, match="member m1"):
        await store.write(lambda tx: tx.update(second.id, {**second.spec, "address": "10.0.0.1"}))
    await store.write(lambda tx: tx.mark_deleting([first.id]))
    await store.write(lambda tx: tx.update(second.id, {**second.spec, "address": "10.0.0.1"}))
    with pytest.raises(Conflict, match="id"):
        await store.write(lambda tx: tx.insert(replace(member(pool, 9), id=second.id)))


async def test_settling(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    good, bad, late, going = await store.write(lambda tx: [tx.insert(member(pool, i)) for i in range(4)])
    generation = await store.write(lambda tx: tx.mark_deleting([going.id]))
    newer = await store.write(lambda tx: tx.update(late.id, {**late.spec, "weight": 2}))
    accepted = {lb.id: lb.spec, pool.id: pool.spec, good.id: good.spec, bad.id: None, late.id: late.spec}
    errors = {bad.id: "no such thing", late.id: "its old form was bad"}
    settlement = Settlement(scope_id=lb.id, generation=generation, accepted=accepted, errors=errors)
    assert await store.write(lambda tx: tx.settle(settlement)) == [going.id]

    def look(tx: Transaction) -> dict[str, tuple[object, object]]:
        return {r.id: (r.accepted, r.error) for r in tx.find("member")}

    assert await store.read(look) == {
        good.id: (good.spec, None), bad.id: (None, "no such thing"), late.id: (late.spec, None),
    }  # fmt: skip
    scope = await store.read(lambda tx: tx.scope(lb.id))
    assert scope is not None
    assert (scope.applied, scope.generation) == (generation, newer.generation)
    healed = await store.write(lambda tx: tx.update(bad.id, bad.spec))
    assert healed.error is None
    older = Settlement(scope_id=lb.id, generation=1)
    await store.write(lambda tx: tx.settle(older))
    scope = await store.read(lambda tx: tx.scope(lb.id))
    assert scope is not None
    assert scope.applied == generation, "it never goes back"


async def test_a_scope_goes_with_its_root_and_addresses_with_their_holders(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    await store.write(lambda tx: tx.take_address("net", lb.id, ["10.0.0.2"]))
    generation = await store.write(lambda tx: tx.mark_deleting([lb.id, pool.id]))
    gone = await store.write(lambda tx: tx.settle(Settlement(scope_id=lb.id, generation=generation)))
    assert gone == [lb.id, pool.id]
    assert await store.read(lambda tx: (tx.find(), tx.scopes())) == ([], [])
    assert await store.write(lambda tx: tx.take_address("net", "other", ["10.0.0.2"])) == "10.0.0.2"


async def test_an_amphora_holds_addresses_of_its_own_in_every_database(store: SqlStore) -> None:
    """PostgreSQL heeds the length of a column; SQLite does not."""
    lb, _ = await with_pool(store)
    holder = f"{own_holder(lb.id, str(uuid.uuid4()))}/{'f' * 16}"
    await store.write(lambda tx: tx.take_address("net", holder, ["10.0.0.2"]))
    assert await store.read(lambda tx: tx.addresses(holder)) == [("net", "10.0.0.2")]


async def test_deletions_later_than_the_settlement_stay(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    await store.write(lambda tx: tx.mark_deleting([pool.id]))
    assert await store.write(lambda tx: tx.settle(Settlement(scope_id=lb.id, generation=2))) == []
    assert await store.write(lambda tx: tx.settle(Settlement(scope_id=lb.id, generation=3))) == [pool.id]


async def test_confirming_is_for_the_owner(store: SqlStore) -> None:
    owner, other = Owner(provider="p", urn="u"), Owner(provider="q", urn="u")
    owned = replace(record("local_network", cidr="10.1.0.0/24"), owner=owner)
    await store.write(lambda tx: tx.insert(owned))
    await store.write(lambda tx: tx.confirm([owned.id], other.provider))
    assert [r.confirmed for r in await store.read(lambda tx: tx.find(owner=owner))] == [False]
    await store.write(lambda tx: tx.confirm([owned.id], owner.provider))
    assert [r.confirmed for r in await store.read(lambda tx: tx.find(owner=owner))] == [True]
    assert await store.read(lambda tx: tx.find(owner=other)) == []


async def test_addresses(store: SqlStore) -> None:
    pool = [f"10.0.0.{i}" for i in range(2, 5)]
    taken = [await store.write(lambda tx, h=h: tx.take_address("net", h, pool)) for h in "abac"]
    assert taken == ["10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.4"]
    assert await store.write(lambda tx: tx.take_address("net", "d", pool)) is None
    assert await store.write(lambda tx: tx.take_address("elsewhere", "d", pool)) == "10.0.0.2"
    await store.write(lambda tx: tx.free_addresses("b"))
    assert await store.write(lambda tx: tx.take_address("net", "d", pool)) == "10.0.0.3"


async def test_amphorae(store: SqlStore) -> None:
    one, two = (Amphora(id=str(uuid.uuid4()), load_balancer_id=lb, heartbeat_key=b"k") for lb in ("x", "y"))
    await store.write(lambda tx: [tx.put_amphora(a) for a in (one, two)])
    ready = Amphora(id=one.id, load_balancer_id="x", heartbeat_key=b"other", status="ALLOCATED")
    await store.write(lambda tx: tx.put_amphora(ready))
    assert await store.read(lambda tx: tx.amphorae()) == [ready, two]
    assert await store.read(lambda tx: tx.amphorae("y")) == [two]
    own = Vip(address="10.0.0.3", network_id="n", prefix=24, served=False)
    of_pair = replace(
        ready, own=(own,), flavor={"compute_flavor": "big"}, agent_version="0.2", image_id="i", compute_id="c"
    )
    await store.write(lambda tx: [tx.retire([one.id]), tx.put_amphora(of_pair)])
    assert await store.read(lambda tx: tx.amphorae("x")) == [replace(of_pair, retiring=True)]
    await store.write(lambda tx: tx.take_address("n", f"x/{one.id}", [own.address]))
    await store.write(lambda tx: [tx.delete_amphora(one.id), tx.delete_amphora(one.id)])
    assert await store.read(lambda tx: (tx.amphorae(), tx.addresses("x"))) == ([two], [])


async def test_writing_one_member_scans_no_table(store: SqlStore) -> None:
    """Each statement of the write finds its rows by an index, so it costs the same among 3 and among 3,000.

    PostgreSQL scans what is small, so it is told not to where there is another way.
    """
    lb, pool = await with_pool(store)
    statements: list[tuple[str, object]] = []

    def seen(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(Connection, "before_cursor_execute", seen)
    try:
        m = await store.write(lambda tx: tx.insert(member(pool, 1)))
        await store.write(lambda tx: tx.update(m.id, {**m.spec, "weight": 2}))
        with pytest.raises(Conflict):
            await store.write(lambda tx: tx.insert(member(pool, 1)))
        generation = await store.write(lambda tx: tx.mark_deleting([m.id]))
        await store.write(lambda tx: tx.settle(Settlement(scope_id=lb.id, generation=generation, errors={m.id: "no"})))
        applied = Reason.ConfigurationApplied.event("in force", load_balancer_id=lb.id)
        await store.write(lambda tx: [tx.record(applied), tx.record(applied)])
        await store.read(lambda tx: tx.events(EventFilter(load_balancer_ids=(lb.id,)), limit=1, newest=True))
        await store.read(lambda tx: tx.events(EventFilter(after=1), limit=10))
        await store.read(lambda tx: tx.find(owner=Owner(provider="p", urn="u")))
        await store.read(lambda tx: tx.find(scope_id=lb.id, since=1))
        await store.read(lambda tx: tx.ids("member", ("pool_id", pool.id)))
        await store.read(lambda tx: tx.find(references=("pool", pool.id)))
    finally:
        event.remove(Connection, "before_cursor_execute", seen)

    def plans(tx: Transaction) -> list[str]:
        database = tx._db  # type: ignore[attr-defined]
        sqlite = database.dialect.name == "sqlite"
        if not sqlite:
            database.exec_driver_sql("SET LOCAL enable_seqscan = off")
        found = []
        for statement, parameters in statements:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
                one = parameters[0] if isinstance(parameters, list) else parameters
                rows = database.exec_driver_sql(f"EXPLAIN {'QUERY PLAN' if sqlite else ''} {statement}", one)
                found += [f"{row[-1].strip(' ->')} <- {statement}" for row in rows]
        return found

    found = await store.read(plans)
    assert found
    assert [plan for plan in found if plan.startswith(("SCAN", "Seq Scan"))] == []


async def test_two_can_exchange_what_is_unique_and_it_stays_unique(store: SqlStore) -> None:
    _, pool = await with_pool(store)
    one, two = member(pool, 1), member(pool, 2)
    await store.write(lambda tx: [tx.insert(one), tx.insert(two)])

    def exchange(tx: Transaction) -> None:
        with tx.exchanging([one.id, two.id]):
            tx.update(one.id, {**one.spec, "address": two.spec["address"]})
            tx.update(two.id, {**two.spec, "address": one.spec["address"]})

    def half(tx: Transaction) -> None:
        with tx.exchanging([one.id, two.id]):
            tx.update(one.id, one.spec)

    def nothing(tx: Transaction) -> None:
        with tx.exchanging([one.id, two.id]):
            pass

    await store.write(exchange)
    await store.write(nothing)
    with pytest.raises(Conflict) as caught:
        await store.write(half)
    assert caught.value.path == ("address",)
    found = await store.read(lambda tx: [tx.get("member", m.id).spec["address"] for m in (one, two)])
    assert found == [two.spec["address"], one.spec["address"]]
    with pytest.raises(Conflict) as caught:
        await store.write(lambda tx: tx.insert(member(pool, 1)))
    assert caught.value.holder == two.id


async def test_what_is_written_together_has_one_generation__what_is_written_after_a_settlement_another(
    store: SqlStore,
) -> None:
    lb, pool = await with_pool(store)
    m1, m2 = await store.write(lambda tx: [tx.insert(member(pool, i)) for i in (1, 2)])
    assert m1.generation == m2.generation

    def settled_between(tx: Transaction) -> tuple[int, int]:
        first = tx.update(m1.id, {**m1.spec, "weight": 2})
        tx.settle(Settlement(scope_id=lb.id, generation=first.generation))
        return first.generation, tx.update(m2.id, {**m2.spec, "weight": 2}).generation

    first, second = await store.write(settled_between)
    assert (first, second) == (m1.generation + 1, m1.generation + 2)


async def test_what_is_chosen_for_an_object_is_filled_in__and_nothing_is_asked_anew(store: SqlStore) -> None:
    lb = record("load_balancer", name="lb", vip_address=None)
    await store.write(lambda tx: tx.insert(lb))
    await store.write(lambda tx: tx.settle(Settlement(scope_id=lb.id, generation=1, errors={lb.id: "not yet"})))
    async with store.watch(lb.id) as watch:
        await store.write(lambda tx: tx.fill(lb.id, {**lb.spec, "vip_address": "10.0.0.9"}))
        await watch.changed()
    now, scope = await store.read(lambda tx: (tx.get("load_balancer", lb.id), tx.scope(lb.id)))
    assert now is not None
    assert scope is not None
    assert (now.spec["vip_address"], now.generation, now.error, scope.generation) == ("10.0.0.9", 1, "not yet", 1)
    await store.write(lambda tx: tx.mark_deleting([lb.id]))
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.fill(lb.id, lb.spec))


async def test_who_has_lost_the_lease_writes_nothing(store: SqlStore) -> None:
    lb = record("load_balancer", name="lb")
    await store.write(lambda tx: tx.insert(lb))
    lease = await store.write(lambda tx: tx.acquire(lb.id, "first", 60))
    assert lease is not None
    await store.write(fenced(lease, lambda tx: tx.put_amphora(Amphora(id="a", load_balancer_id=lb.id))))
    await store.write(lambda tx: tx.release("first"))
    await store.write(lambda tx: tx.acquire(lb.id, "second", 60))
    done = Settlement(scope_id=lb.id, generation=1, accepted={lb.id: lb.spec})
    for work in (
        lambda tx: tx.settle(done),
        lambda tx: tx.delete_amphora("a"),
        lambda tx: tx.next_revision(lb.id, lease.fence),
    ):
        with pytest.raises(LeaseLost, match="another control plane has taken the lease"):
            await store.write(fenced(lease, work))
    assert await store.read(lambda tx: [a.id for a in tx.amphorae()]) == ["a"]
    gone = Scope(id="gone", kind="load_balancer", fence=7)
    await store.write(fenced(gone, lambda tx: tx.free_addresses("gone")))  # of what is gone nobody can have the lease


async def test_leases_are_renewed_together_and_what_nobody_has_is_claimable(tmp_path: Path, url: str) -> None:
    time = [1000.0]
    store = opened(tmp_path, url, lambda: time[0])
    ids = [f"lb{number}" for number in range(3)]
    await store.write(lambda tx: [tx.insert(record("load_balancer", id_=id_)) for id_ in ids])
    assert await store.read(lambda tx: tx.claimable("first")) == set(ids)
    await store.write(lambda tx: [tx.acquire(id_, "first", 10) for id_ in ids[:2]])
    assert await store.read(lambda tx: (tx.claimable("first"), tx.claimable("second"))) == (set(ids), {"lb2"})
    time[0] += 8
    assert await store.write(lambda tx: tx.renew("first", 10)) == {"lb0", "lb1"}
    time[0] += 8
    assert await store.read(lambda tx: tx.claimable("second")) == {"lb2"}
    time[0] += 8
    assert await store.write(lambda tx: tx.acquire("lb0", "second", 10))
    assert await store.write(lambda tx: tx.renew("first", 10)) == {"lb1"}, "the other has been taken"
    await store.close()


async def test_control_planes_say_that_they_are_alive(tmp_path: Path, url: str) -> None:
    time = [1000.0]
    store = opened(tmp_path, url, lambda: time[0])
    one = ControlPlane(
        name="one", machine="m", pid=7, version="1", started_at="now", heartbeat_receiver="10.0.0.1:5555"
    )
    two = ControlPlane(name="two")
    await store.write(lambda tx: [tx.put_control_plane(two, 5), tx.put_control_plane(one, 10)])
    assert await store.read(lambda tx: tx.control_planes()) == [one, two]
    time[0] += 6
    assert await store.read(lambda tx: tx.control_planes()) == [one, replace(two, alive=False)]
    await store.write(lambda tx: tx.put_control_plane(replace(two, pid=8), 5))
    await store.write(lambda tx: tx.forget_control_plane("one"))
    assert await store.read(lambda tx: tx.control_planes()) == [replace(two, pid=8)]
    await store.close()
