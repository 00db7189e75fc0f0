# SPDX-License-Identifier: Apache-2.0
"""Whatever is written in whatever order: generations rise, what is unique stays so, settled deletions are gone."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete
from sqlalchemy.engine import Connection

from octavia_provider.model.errors import Conflict
from octavia_provider.ports import Record, Settlement
from octavia_provider.store.cipher import Cipher
from octavia_provider.store.engine import engines
from octavia_provider.store.migrate import migrate
from octavia_provider.store.tables import SCOPES
from octavia_provider.store.transaction import SqlTransaction
from unit.store.opening import member, record

ADDRESSES = st.integers(1, 6)


class Members(RuleBasedStateMachine):
    """A pool whose members come, move, go and settle; ``model`` says what should be there."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        with connection.begin():
            connection.execute(delete(SCOPES))  # what an example before this one has left, objects too
        self.model: dict[str, int] = {}
        self.going: dict[str, int] = {}
        self.generation = 0

    def run(self, work):  # type: ignore[no-untyped-def]
        with self.connection.begin():
            return work(SqlTransaction(self.connection, Cipher(bytes(32)), lambda: 0.0, writable=True))

    @initialize()
    def build(self) -> None:
        self.lb = record("load_balancer")
        self.pool = record("pool", self.lb.id, loadbalancer_id=self.lb.id)
        self.run(lambda tx: [tx.insert(self.lb), tx.insert(self.pool)])
        self.generation = 2

    @rule(address=ADDRESSES)
    def insert(self, address: int) -> None:
        new = member(self.pool, address)
        try:
            self.generation = self.run(lambda tx: tx.insert(new)).generation
            assert address not in self.model.values()
            self.model[new.id] = address
        except Conflict:
            assert address in self.model.values()

    @rule(address=ADDRESSES, which=st.integers(0, 9))
    def move(self, address: int, which: int) -> None:
        if not self.model:
            return
        id_ = sorted(self.model)[which % len(self.model)]
        others = {a for i, a in self.model.items() if i != id_}
        try:
            moved = self.run(lambda tx: tx.update(id_, member(self.pool, address).spec))
            assert address not in others
            self.model[id_], self.generation = address, moved.generation
        except Conflict:
            assert address in others

    @rule(which=st.integers(0, 9))
    def delete(self, which: int) -> None:
        if not self.model:
            return
        id_ = sorted(self.model)[which % len(self.model)]
        self.generation = self.run(lambda tx: tx.mark_deleting([id_]))
        del self.model[id_]
        self.going[id_] = self.generation

    @rule(behind=st.integers(0, 3))
    def settle(self, behind: int) -> None:
        upto = max(0, self.generation - behind)
        gone = self.run(lambda tx: tx.settle(Settlement(scope_id=self.lb.id, generation=upto)))
        assert set(gone) == {i for i, g in self.going.items() if g <= upto}
        self.going = {i: g for i, g in self.going.items() if g > upto}

    @invariant()
    def the_store_has_what_the_model_has(self) -> None:
        if not self.generation:
            return
        found: list[Record] = self.run(lambda tx: tx.find("member", parent=("pool_id", self.pool.id)))
        assert {r.id for r in found if not r.deleting} == set(self.model)
        assert {r.id for r in found if r.deleting} == set(self.going)
        scope = self.run(lambda tx: tx.scope(self.lb.id))
        assert scope.applied <= scope.generation
        assert all(r.generation <= scope.generation for r in found)


def test_members(url: str) -> None:
    writer, reader = engines(url)
    migrate(writer)
    budget = settings(max_examples=15, stateful_step_count=20, deadline=None)
    with writer.connect() as connection:
        run_state_machine_as_test(lambda: Members(connection), settings=budget)
    writer.dispose()
    reader.dispose()
