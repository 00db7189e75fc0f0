# SPDX-License-Identifier: Apache-2.0
"""Opening, migrating, secrets at rest, group commits, watches, leases of several processes."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from octavia_provider.model.errors import Conflict, NotFound, PermanentError, Refused, TransientError
from octavia_provider.ports import Amphora, Settlement, Transaction
from octavia_provider.store import SqlStore, installed, migrate, open_store
from octavia_provider.store import store as store_module
from octavia_provider.store.engine import engines
from octavia_provider.store.tables import METADATA
from unit.store.opening import change, files, member, opened, record, with_pool


async def test_the_database_keeps_who_it_is(tmp_path: Path, url: str) -> None:
    first = opened(tmp_path, url)
    lb = await first.write(lambda tx: tx.insert(record("load_balancer")))
    await first.close()
    again = opened(tmp_path, url)
    assert again.control_plane_id == first.control_plane_id
    assert await again.read(lambda tx: tx.find()) == [lb]
    await again.close()


def constraints(connection: Connection) -> tuple[set[str], dict[str, Any]]:
    """The tables, and of each its columns, keys and indexes; the order of them means nothing."""
    looked = inspect(connection)
    names = set(looked.get_table_names())

    def of(name: str) -> list[str]:
        columns = [(one["name"], str(one["type"]), one["nullable"]) for one in looked.get_columns(name)]
        keys = [looked.get_pk_constraint(name), *looked.get_foreign_keys(name), *looked.get_unique_constraints(name)]
        return sorted(map(str, [*columns, *keys, *looked.get_indexes(name)]))

    return names, {name: of(name) for name in names}


def test_migrations_make_the_tables_of_the_code(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    writer, _ = engines(url)
    with writer.begin() as connection:
        migrate.upgrade(connection, None)
    with writer.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        names, migrated = constraints(connection)
        METADATA.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
        connection.commit()
    migrate.migrate(writer)
    with writer.connect() as connection:
        assert constraints(connection) == (names, migrated), "a new database is made without them"
    writer.dispose()
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_neither_a_new_database_nor_one_up_to_date_needs_alembic(tmp_path: Path, url: str) -> None:
    program = (
        "import sys, pathlib; from octavia_provider.store import open_store;"
        "open_store(sys.argv[1], pathlib.Path(sys.argv[2]) / 'key'); print('alembic' in sys.modules)"
    )
    run = [sys.executable, "-c", program, url, str(tmp_path)]
    said = [subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()[-1] for _ in range(2)]
    assert said == ["False", "False"]


async def test_a_newer_database_is_refused(tmp_path: Path, url: str) -> None:
    await opened(tmp_path, url).close()
    change(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Refused, match=r"has schema 9999, which is newer .* Try: upgrade"):
        opened(tmp_path, url)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "octavia.db").write_text("a shopping list, long enough not to be empty" * 40)
    with pytest.raises(Refused, match="cannot be used"):
        opened(tmp_path)
    for url in ("nonsense", "mysql://u:hidden@h/d", "postgresql://u:hidden@/d?host=/nowhere", "sqlite://"):
        with pytest.raises(Refused) as caught:
            open_store(url, tmp_path / "key")
        assert "hidden" not in str(caught.value)


async def test_secrets_are_not_in_the_files(tmp_path: Path) -> None:
    store = opened(tmp_path)
    plain = b"-----the key of the authority-----"
    heartbeat = b"-----the key of heartbeats-----"
    assert await store.write(lambda tx: tx.secret("ca", lambda: plain)) == plain
    assert await store.write(lambda tx: tx.secret("ca", lambda: b"never made")) == plain
    assert await store.read(lambda tx: tx.secret("ca", lambda: b"never made")) == plain
    amphora = Amphora(id="a", load_balancer_id="lb", heartbeat_key=heartbeat)
    await store.write(lambda tx: tx.put_amphora(amphora))
    assert await store.read(lambda tx: tx.amphorae()) == [amphora]
    with pytest.raises(NotFound, match="write transaction"):
        await store.read(lambda tx: tx.secret("other", lambda: b"x"))
    for path in files(tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert plain not in path.read_bytes()
        assert heartbeat not in path.read_bytes()
    await store.close()


async def test_the_key_file_must_be_the_right_one(tmp_path: Path, url: str) -> None:
    await opened(tmp_path, url).close()
    key = tmp_path / "key"
    good = key.read_bytes()
    key.write_bytes(b"x" * 32)
    with pytest.raises(Refused, match="cannot be decrypted"):
        opened(tmp_path, url)
    key.write_bytes(good[:5])
    with pytest.raises(Refused, match="holds 5 bytes"):
        opened(tmp_path, url)
    key.unlink()
    with pytest.raises(NotFound, match="restore it"):
        opened(tmp_path, url)
    key.write_bytes(good)
    key.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        opened(tmp_path, url)


async def test_rows_of_secrets_cannot_be_swapped(store: SqlStore, url: str) -> None:
    await store.write(lambda tx: [tx.secret("a", lambda: b"A"), tx.secret("b", lambda: b"B")])
    change(url, "UPDATE secrets SET value = (SELECT value FROM secrets WHERE name = 'a')")
    with pytest.raises(Refused):
        await store.read(lambda tx: tx.secret("b", bytes))


async def test_a_bad_write_fails_alone(store: SqlStore) -> None:
    _, pool = await with_pool(store)

    def half(tx: Transaction) -> None:
        tx.insert(member(pool, 777))
        raise ValueError("on second thoughts")

    works = [lambda tx, i=i: tx.insert(member(pool, i)) for i in range(20)]
    works[5], works[9] = half, lambda tx: tx.insert(member(pool, 3))
    outcomes = await asyncio.gather(*(store.write(work) for work in works), return_exceptions=True)
    assert [i for i, o in enumerate(outcomes) if isinstance(o, Exception)] == [5, 9]
    assert isinstance(outcomes[5], ValueError)
    assert isinstance(outcomes[9], Conflict)
    names = [r.spec["name"] for r in await store.read(lambda tx: tx.find("member"))]
    assert names == [f"m{i}" for i in range(20) if i not in (5, 9)]


async def test_a_write_whose_caller_has_gone_is_left_out_or_done_whole(store: SqlStore) -> None:
    _, pool = await with_pool(store)
    writes = [asyncio.ensure_future(store.write(lambda tx, i=i: tx.insert(member(pool, i)))) for i in range(50)]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    names = {r.spec["name"] for r in await store.read(lambda tx: tx.find("member"))}
    assert names >= {f"m{i}" for i in range(1, 50, 2)}


async def test_readers_cannot_write(store: SqlStore) -> None:
    with pytest.raises(PermanentError, match=r"read-?only"):
        await store.read(lambda tx: tx.insert(record("load_balancer")))


async def test_watches_wake_after_commits_of_their_scope(store: SqlStore) -> None:
    lb, pool = await with_pool(store)
    async with store.watch(lb.id) as mine, store.watch("another") as other, store.watch() as every:
        await store.write(lambda tx: tx.insert(member(pool, 1)))
        await store.write(lambda tx: tx.insert(member(pool, 2)))
        for watch in (mine, every):
            async with asyncio.timeout(30):
                assert await watch.changed() == {lb.id: await store.read(lambda tx: tx.scope(lb.id))}
        await store.write(lambda tx: [tx.acquire(lb.id, "me", 5), tx.next_revision(lb.id, 1)])
        with pytest.raises(Conflict):
            await store.write(lambda tx: tx.insert(member(pool, 1)))
        waiting = [asyncio.ensure_future(w.changed()) for w in (mine, other, every)]
        await store.read(lambda tx: tx.scopes())
        assert [w.done() for w in waiting] == [False, False, False]
        await store.write(lambda tx: tx.settle(Settlement(scope_id=lb.id, generation=4)))
        async with asyncio.timeout(30):
            await asyncio.gather(waiting[0], waiting[2])
        waiting[1].cancel()
        made = [await store.write(lambda tx: tx.insert(record("load_balancer"))) for _ in range(2)]
        await store.write(lambda tx: tx.put_amphora(Amphora(id="amphora", load_balancer_id=lb.id)))
        await store.write(lambda tx: tx.touch(lb.id))
        scopes = {one.id: one for one in await store.read(lambda tx: tx.scopes()) if one.id in {m.id for m in made}}
        assert await every.changed() == {**scopes, lb.id: None}  # amphorae have to be read


async def test_after_the_end_writes_are_refused(tmp_path: Path, url: str) -> None:
    store = opened(tmp_path, url)
    last = asyncio.ensure_future(store.write(lambda tx: tx.insert(record("load_balancer"))))
    await asyncio.sleep(0)
    await store.close()
    assert (await last).generation == 1, "what waits is finished"
    with pytest.raises(TransientError, match="closed"):
        await store.write(lambda tx: tx.scopes())


async def test_leases(tmp_path: Path, url: str) -> None:
    time = [1000.0]
    one, two = opened(tmp_path, url, lambda: time[0]), opened(tmp_path, url, lambda: time[0])
    lb = await one.write(lambda tx: tx.insert(record("load_balancer")))

    async def acquire(store: SqlStore, holder: str) -> int | None:
        scope = await store.write(lambda tx: tx.acquire(lb.id, holder, 10))
        return scope.fence if scope else None

    assert [await acquire(one, "one"), await acquire(two, "two"), await acquire(one, "one")] == [1, None, 1]
    assert (await one.write(lambda tx: tx.next_revision(lb.id, 1))).revision == 1
    time[0] += 11
    assert [await acquire(two, "two"), await acquire(one, "one")] == [2, None]
    with pytest.raises(Conflict, match="lease"):
        await one.write(lambda tx: tx.next_revision(lb.id, 1))
    await two.write(lambda tx: tx.release("two"))
    assert await acquire(one, "one") == 3
    assert await one.write(lambda tx: tx.acquire("gone", "one", 1)) is None
    await one.close()
    await two.close()


LEASE = """
import asyncio, pathlib, sys
from octavia_provider.store import open_store, postgresql
postgresql.PAUSED_SECONDS = 60  # a busy machine may stop this process inside of a transaction
async def main(url, key, scope, holder):
    store = open_store(url, pathlib.Path(key))
    won = 0
    for _ in range(40):
        got = await store.write(lambda tx: tx.acquire(scope, holder, 60))
        if got:
            won += 1
            await store.write(lambda tx: tx.next_revision(scope, got.fence))
            await store.write(lambda tx: tx.release(holder))
    print(won)
    await store.close()
asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_never_hold_a_lease_together(store: SqlStore, url: str, tmp_path: Path) -> None:
    lb = await store.write(lambda tx: tx.insert(record("load_balancer")))
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", LEASE, url, str(tmp_path / "key"), lb.id, holder, stdout=asyncio.subprocess.PIPE
        )
        for holder in ("one", "two")
    ]
    won = [int((await p.communicate())[0].split()[-1]) for p in processes]
    scope = await store.read(lambda tx: tx.scope(lb.id))
    assert scope is not None
    assert scope.fence == scope.revision == sum(won)


async def test_a_key_belongs_to_a_database_wherever_a_crash_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key alone tells of a database that is lost; so it gets its name once the database is there."""
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "keep_key", _crash)
        with pytest.raises(InterruptedError):
            opened(tmp_path)
    assert not (tmp_path / "key").exists()
    store = opened(tmp_path)  # the database is there: the key that was made for it is taken up
    await store.close()
    assert (tmp_path / "key").exists()
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "insert", _crash)
        with pytest.raises(InterruptedError):
            opened(tmp_path / "other")
    await opened(tmp_path / "other").close()  # nothing was there yet: a new key is made


def _remove_database(folder: Path) -> None:
    for path in folder.glob("octavia.db*"):
        path.unlink()


def _crash(*_: object) -> None:
    raise InterruptedError


async def test_a_key_without_its_database_is_no_new_installation(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/octavia.db"
    assert not installed(url)
    await opened(tmp_path).close()
    assert installed(url)
    _remove_database(tmp_path)
    assert not installed(url)
    with pytest.raises(Refused, match="octaviactl adopt"):
        opened(tmp_path)
    assert not installed(url)
    (tmp_path / "octavia.db").write_bytes(b"no database" * 100)
    assert installed(url)  # something is there, which is not to be written over


async def test_a_copy_is_whole_and_never_that_of_another_database(tmp_path: Path) -> None:
    store = opened(tmp_path)
    lb = record("load_balancer", name="lb")
    await store.write(lambda tx: tx.insert(lb))
    await store.copy(tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    _remove_database(tmp_path)
    with pytest.raises(OSError, match="cannot be copied"):
        await store.copy(tmp_path / "copy")
    await store.close()
    (tmp_path / "copy").rename(tmp_path / "octavia.db")
    again = opened(tmp_path)
    assert await again.read(lambda tx: tx.get("load_balancer", lb.id))
    await again.close()
