# SPDX-License-Identifier: Apache-2.0
"""A process that writes to a store which others write to, and prints the history of what it did as JSON.

``python writers.py URL KEY POOL SEED MEMBER...``: all begin when each has been told so on its standard input.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from octavia_provider.api.quota_check import QuotaCheck
from octavia_provider.model.errors import Conflict, Forbidden
from octavia_provider.ports import Record, Transaction
from octavia_provider.store import SqlStore, open_store, postgresql
from unit.store.opening import member, record

CREATES, WANTED, SWAPS = 20, 15, 15


class Writer:
    """``history``: by what was tried, what came of each try."""

    def __init__(self, store: SqlStore, pool: Record, mine: int) -> None:
        self.store, self.pool = store, pool
        self.random = random.Random(mine)
        self.history: dict[str, list[Any]] = {"made": [], "refused": [], "won": [], "lost": [], "generations": []}

    async def create(self) -> None:
        """A pool, of which the project may have only so many."""
        new = record("pool", self.pool.scope_id, loadbalancer_id=self.pool.scope_id)

        def work(tx: Transaction) -> None:
            QuotaCheck(tx).take("pool", "p")
            tx.insert(new)

        try:
            await self.store.write(work)
            self.history["made"].append(new.id)
        except Forbidden:
            self.history["refused"].append(new.id)

    async def claim(self, number: int) -> None:
        """An address in the pool that all want."""
        try:
            made = await self.store.write(lambda tx: tx.insert(member(self.pool, number)))
            self.history["won"].append(number)
            self.history["generations"].append(made.generation)
        except Conflict:
            self.history["lost"].append(number)

    async def swap(self, among: list[str]) -> None:
        """The addresses of two members."""
        pair = self.random.sample(among, 2)

        def work(tx: Transaction) -> int:
            one, two = (tx.get("member", id_) for id_ in pair)
            assert one is not None
            assert two is not None
            with tx.exchanging(pair):
                tx.update(one.id, {**one.spec, "address": two.spec["address"]})
                return tx.update(two.id, {**two.spec, "address": one.spec["address"]}).generation

        self.history["generations"].append(await self.store.write(work))


async def main(url: str, key: str, pool_id: str, mine: str, *swapped: str) -> None:
    postgresql.PAUSED_SECONDS = 60  # a busy machine may stop this process inside of a transaction
    store = open_store(url, Path(key))
    pool = await store.read(lambda tx: tx.get("pool", pool_id))
    assert pool is not None
    writer = Writer(store, pool, int(mine))
    print("ready", flush=True)
    sys.stdin.readline()
    tasks = [writer.create() for _ in range(CREATES)]
    tasks += [writer.claim(number) for number in range(100, 100 + WANTED)]
    tasks += [writer.swap(list(swapped)) for _ in range(SWAPS)]
    writer.random.shuffle(tasks)
    for first in range(0, len(tasks), 5):  # several commits each, so that those of all are mixed
        await asyncio.gather(*tasks[first : first + 5])
    await store.close()
    print(json.dumps(writer.history))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
