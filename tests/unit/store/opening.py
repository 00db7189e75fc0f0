# SPDX-License-Identifier: Apache-2.0
"""Stores and records for tests."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from octavia_provider.ports import Record
from octavia_provider.store import SqlStore, open_store
from octavia_provider.store.engine import engines


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/octavia.db"


def opened(folder: Path, url: str = "", clock: Callable[[], float] | None = None) -> SqlStore:
    """``folder`` has the key, and the database too where no ``url`` is given."""
    return open_store(url or sqlite(folder), folder / "key", clock=clock)


def change(url: str, statement: str) -> None:
    """Behind the store's back."""
    writer, _ = engines(url)
    with writer.begin() as connection:
        connection.exec_driver_sql(statement)
    writer.dispose()


def record(kind: str, scope_id: str = "", id_: str = "", **spec: Any) -> Record:
    id_ = id_ or str(uuid.uuid4())
    return Record(id=id_, kind=kind, scope_id=scope_id or id_, project_id="p", spec={"name": "", **spec}, generation=0)


def member(pool: Record, i: int, **spec: Any) -> Record:
    address = f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"
    spec = {"name": f"m{i}", "address": address, "protocol_port": 80, **spec}
    return record("member", pool.scope_id, pool_id=pool.id, **spec)


async def with_pool(store: SqlStore) -> tuple[Record, Record]:
    """A load balancer and its pool."""
    lb = record("load_balancer", name="lb")
    pool = record("pool", lb.id, name="pool", loadbalancer_id=lb.id)
    await store.write(lambda tx: [tx.insert(lb), tx.insert(pool)])
    return lb, pool


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())
