# SPDX-License-Identifier: Apache-2.0
"""Several processes on one database: writers beside each other, wakes across, what a pause or a restart does."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from octavia_provider.model.errors import TransientError
from octavia_provider.model.events import Reason
from octavia_provider.ports import EVENTS_CHANGED, Transaction, Watch
from octavia_provider.store import SqlStore
from octavia_provider.store import store as store_module
from octavia_provider.store.cipher import Cipher
from postgresql import Server
from unit.store import writers
from unit.store.opening import member, opened, record, with_pool

TESTS = Path(__file__).parents[2]
PROCESSES, QUOTA = 4, 30


async def run(*arguments: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *map(str, arguments), env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def until(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    while (line := await process.stdout.readline()).strip().decode() != word:
        assert line, f"ended before it said {word!r}"


@pytest.fixture
async def other(store: SqlStore, tmp_path: Path, postgresql: str) -> AsyncIterator[SqlStore]:
    """As another process has it open; both are on PostgreSQL."""
    found = opened(tmp_path, postgresql)
    yield found
    await found.close()


@pytest.mark.timeout(180)
async def test_quotas_uniqueness_and_exchanges_hold_among_writers_in_different_processes(
    store: SqlStore, url: str, tmp_path: Path
) -> None:
    lb, pool = await with_pool(store)
    quota = record("quota", project_id="p", pool=QUOTA + 1)
    await store.write(lambda tx: tx.insert(quota))
    swapped = await store.write(lambda tx: [tx.insert(member(pool, number)) for number in range(1, 5)])
    arguments = (writers.__file__, url, tmp_path / "key", pool.id)
    processes = [await run(*arguments, str(seed), *(m.id for m in swapped)) for seed in range(PROCESSES)]
    for process in processes:
        await until(process, "ready")
    said = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    histories = [json.loads(out.splitlines()[-1]) for out, _ in said]

    def together(word: str) -> list:  # type: ignore[type-arg]
        return list(itertools.chain.from_iterable(history[word] for history in histories))

    made, won = together("made"), together("won")
    assert len(made) == QUOTA
    assert len(together("refused")) == PROCESSES * writers.CREATES - QUOTA
    assert sorted(won) == list(range(100, 100 + writers.WANTED)), "each address has one winner"
    generations = together("generations")
    assert len(set(generations)) == len(generations), "no write was made on top of what another one had not seen"
    assert all(history["generations"] == sorted(history["generations"]) for history in histories)
    assert {r.id for r in await store.read(lambda tx: tx.find("pool"))} == {pool.id, *made}
    members = {r.id: r.spec["address"] for r in await store.read(lambda tx: tx.find("member"))}
    assert sorted(members[m.id] for m in swapped) == [f"10.0.0.{number}" for number in range(1, 5)]
    scope = await store.read(lambda tx: tx.scope(lb.id))
    assert scope is not None
    assert scope.generation == swapped[0].generation + len(made) + len(generations)


async def changed(watch: Watch) -> frozenset[str]:
    async with asyncio.timeout(20):
        return frozenset(await watch.changed())


async def test_a_session_that_the_server_ends_while_the_database_is_opened_is_begun_again(
    tmp_path: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Engine] = []

    def cut_off(engine: Engine, key_file: Path) -> tuple[str, Cipher]:
        if not ended:
            ended.append(engine)
            with engine.begin() as connection:
                connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return installation(engine, key_file)

    installation = store_module._installation
    monkeypatch.setattr(store_module, "_installation", cut_off)
    found = opened(tmp_path, postgresql)
    assert ended
    await found.close()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_watches_wake_after_commits_of_other_processes(store: SqlStore, other: SqlStore) -> None:
    lb = await store.write(lambda tx: tx.insert(record("load_balancer")))
    async with other.watch(lb.id) as its, other.watch() as every:
        assert await other.read(lambda tx: tx.scope(lb.id))
        await store.write(lambda tx: tx.touch(lb.id))
        while lb.id not in await changed(every):
            pass
        assert await changed(its) == {lb.id}
        many = [record("load_balancer") for _ in range(300)]  # more than one notification holds
        await store.write(lambda tx: [tx.insert(one) for one in many])
        heard: set[str] = set()
        while not heard >= {one.id for one in many}:
            heard |= await changed(every)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_what_was_missed_is_read_again_after_the_connection_was_lost(
    store: SqlStore, other: SqlStore, postgresql: str, postgresql_server: Server
) -> None:
    lb, gone = await store.write(lambda tx: [tx.insert(record("load_balancer")) for _ in range(2)])
    with postgresql_server.administration() as administration:
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'octavia'"
        async with other.watch(lb.id) as its, other.watch() as every:
            await store.write(lambda tx: tx.mark_deleting([gone.id]))
            assert await changed(every) >= {gone.id}
            assert administration.execute(cut).fetchone() != (0,)
            while not await changed(every) >= {lb.id, gone.id}:
                pass
            assert await changed(its) >= {lb.id}
            await store.write(lambda tx: tx.touch(lb.id))  # on a new connection: no caller hears of the lost one
            assert await changed(its) == {lb.id}
            assert await other.read(lambda tx: tx.scope(lb.id)) == await store.read(lambda tx: tx.scope(lb.id))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_restart_of_the_server_is_a_passing_error_and_loses_nothing(
    store: SqlStore, postgresql_server: Server
) -> None:
    lb = await store.write(lambda tx: tx.insert(record("load_balancer")))
    async with store.watch() as every:
        postgresql_server.stop(signal.SIGQUIT)
        try:
            with pytest.raises(TransientError):
                await store.write(lambda tx: tx.touch(lb.id))
            with pytest.raises(TransientError):
                await store.read(lambda tx: tx.scope(lb.id))
        finally:
            postgresql_server.start()
        assert lb.id in await changed(every)
    assert await store.write(lambda tx: tx.touch(lb.id)) == 2


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_all_writes_of_a_group_whose_connection_is_lost_fail_for_now(
    store: SqlStore, postgresql_server: Server
) -> None:
    lb = await store.write(lambda tx: tx.insert(record("load_balancer")))
    gates = [(threading.Event(), threading.Event()) for _ in range(2)]

    def wait(gate: tuple[threading.Event, threading.Event]) -> None:
        gate[0].set()
        assert gate[1].wait(20)

    def write(work: Callable[[Transaction], object]) -> asyncio.Future[object]:
        return asyncio.ensure_future(store.write(work))

    held = write(lambda _: wait(gates[0]))
    assert await asyncio.to_thread(gates[0][0].wait, 20)
    group = [write(lambda _: wait(gates[1])), *(write(lambda tx: tx.touch(lb.id)) for _ in range(3))]
    await asyncio.sleep(0)  # they are submitted, and stand in the queue
    gates[0][1].set()
    assert await asyncio.to_thread(gates[1][0].wait, 20)
    with postgresql_server.administration() as administration:
        administration.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'octavia'"
        )
    gates[1][1].set()
    await held
    assert {type(one) for one in await asyncio.gather(*group, return_exceptions=True)} == {TransientError}
    assert await store.write(lambda tx: tx.touch(lb.id)) == 2, "nothing of them was written"


PAUSED = """
import asyncio, pathlib, signal, sys, threading
from octavia_provider.model.errors import TransientError
from octavia_provider.store import open_store, postgresql
postgresql.PAUSED_SECONDS = 2
async def main(url, key, scope):
    store = open_store(url, pathlib.Path(key))
    def work(tx):
        tx.touch(scope)
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # os.kill may return before we stop
        tx.touch(scope)
    try:
        await store.write(work)
    except TransientError:
        print("refused", flush=True)
    postgresql.PAUSED_SECONDS = 60  # of the next connection: a busy machine pauses too
    print(await store.write(lambda tx: tx.touch(scope)))
    await store.close()
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_writer_that_is_paused_inside_a_transaction_stops_nobody_and_writes_nothing(
    store: SqlStore, url: str, tmp_path: Path
) -> None:
    lb = await store.write(lambda tx: tx.insert(record("load_balancer")))
    process = await run("-c", PAUSED, url, tmp_path / "key", lb.id)
    await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert await store.write(lambda tx: tx.touch(lb.id)) == 2, "once the server has ended the paused session"
    process.send_signal(signal.SIGCONT)
    said, _ = await process.communicate()
    assert said.decode().split()[-2:] == ["refused", "3"]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_leases_run_out_by_the_clock_of_the_server(
    store: SqlStore, other: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lb = await store.write(lambda tx: tx.insert(record("load_balancer")))
    assert await store.write(lambda tx: tx.acquire(lb.id, "one", 60))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    assert await other.write(lambda tx: tx.acquire(lb.id, "two", 60)) is None
    assert await store.write(lambda tx: tx.acquire(lb.id, "one", -1))
    assert await other.write(lambda tx: tx.acquire(lb.id, "two", 60))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_events_of_other_processes_wake_those_who_watch_them(store: SqlStore, other: SqlStore) -> None:
    async with store.watch(EVENTS_CHANGED) as watch:
        await other.write(lambda tx: tx.record(Reason.ControlPlaneStarted.event("began")))
        await watch.changed()
        assert await store.read(lambda tx: tx.newest_event()) == 1
