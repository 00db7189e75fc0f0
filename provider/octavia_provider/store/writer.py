# SPDX-License-Identifier: Apache-2.0
"""The writer thread: takes all writes that wait and commits them together.

Each write that shares a commit runs in a SAVEPOINT of its own, so a bad one fails alone; what shares the commit shares its fsync. No write
runs twice: where the connection turns out to be lost before the first has run, the group begins again on a new one;
later than that, they fail, and whoever wrote decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import Connection, RootTransaction
from sqlalchemy.exc import DBAPIError, OperationalError, PendingRollbackError

from octavia_provider.model.errors import OctaviaError, PermanentError, TransientError
from octavia_provider.ports import Scope

from .transaction import SqlTransaction
from .watches import add_written

GROUP = 128  # writes that share a commit at most: the first of them waits for the last
# What SQLite says of a machine that is short of something; the third: of descriptors, the last: its file was remounted
_PASSING = (
    "locked", "busy", "unable to open database file", "disk is full", "disk I/O", "out of memory",
)  # fmt: skip
# The same by PostgreSQL, as SQLSTATE or its class: a lost connection, a conflict, shortage, a restart; a session that was
# ended because its process was paused; no turn to write in time
_PASSING_STATES = ("08", "40", "53", "57", "25P03", "55P03")
Begin = Callable[[Connection], SqlTransaction]


@dataclass(slots=True)
class Job:
    """A write that waits for its turn, then its outcome."""

    work: Callable[[Any], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def resolve(self) -> None:
        """Tell the waiter, unless it has gone away."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """One thread, one connection. ``committed`` is called in the event loop with the scopes that were written, and
    ``announce`` before, inside the transaction."""

    def __init__(
        self, engine: Engine, begin: Begin, announce: Callable[[Connection, Iterable[str]], None],
        committed: Callable[[Mapping[str, Scope | None]], None],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._begin = begin
        self._announce = announce
        self._committed = committed
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Any], Any]) -> asyncio.Future[Any]:
        """Queue a write; the future resolves after its commit."""
        loop = asyncio.get_running_loop()
        job = Job(work, loop, loop.create_future())
        with self._lock:
            if self._closed:
                raise TransientError("the store is closed", hint="connect again: the control plane is ending")
            self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Finish what waits, then end. Blocks."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection: Connection | None = None
        while (group := self._gather()) is not None:
            try:
                connection = connection or self._engine.connect()
                well = self._commit(connection, group)
            except Exception as error:  # noqa: BLE001 - this thread lives as long as the store, whatever comes
                well = False
                self._fail(group, error)
            if connection is not None and not well:  # what a full disk left of a transaction goes with it
                with contextlib.suppress(Exception):
                    connection.invalidate()
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _fail(self, group: list[Job], error: Exception) -> None:
        for job in group:
            job.error = job.error or friendly(error)
        self._tell(group, {})

    def _gather(self) -> list[Job] | None:
        job = self._jobs.get()
        if job is None:
            return None
        group = [job]
        while len(group) < GROUP:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)  # it is the last thing in the queue: nothing is submitted after it
                break
            group.append(job)
        return group

    def _commit(self, connection: Connection, group: list[Job]) -> bool:
        """Whether the connection can be used again."""
        touched: dict[str, Scope | None] = {}
        try:
            with self._begun(connection) as transaction:
                waiting = [job for job in group if not job.future.cancelled()]
                for job in waiting:
                    self._one(connection, job, touched, alone=len(waiting) == 1)
                if len(waiting) == 1 and waiting[0].error is not None:
                    transaction.rollback()
                else:
                    self._announce(connection, touched)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._fail(group, error)
            return False
        self._tell(group, touched)
        return True

    def _begun(self, connection: Connection) -> RootTransaction:
        try:
            return connection.begin()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return connection.begin()  # the server was restarted since the last write: SQLAlchemy connects again

    def _one(self, connection: Connection, job: Job, touched: dict[str, Scope | None], *, alone: bool) -> None:
        transaction = self._begin(connection)
        try:
            with contextlib.nullcontext() if alone else connection.begin_nested():
                job.result = job.work(transaction)
        except Exception as error:  # noqa: BLE001 - it is the caller's, and is raised there
            job.error = friendly(error)
        else:
            add_written(touched, transaction.written())

    def _tell(self, group: list[Job], touched: Mapping[str, Scope | None]) -> None:
        def tell() -> None:
            self._committed(touched)
            for job in group:
                job.resolve()

        try:
            group[0].loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop has ended: nobody waits any more
            return


def friendly(error: Exception) -> Exception:
    """What the database says, in the project's tree of errors; anything else as it is."""
    if isinstance(error, PendingRollbackError):  # the connection was lost at the write before, of the same group
        return TransientError("the connection was lost", subject="store", hint="it is tried again", retry_after=2)
    if isinstance(error, OctaviaError) or not isinstance(error, DBAPIError):
        return error
    said = str(error.orig)
    if _passing(error, said):
        return TransientError(
            f"cannot be used now: {said}", subject="store",
            hint="look at the disk's space, and the limit of open files; at PostgreSQL, where that is the database",
            retry_after=2,
        )  # fmt: skip
    return PermanentError(f"the database says no: {said}", subject="store", hint="octaviactl doctor")


def _passing(error: DBAPIError, said: str) -> bool:
    if error.connection_invalidated or any(word in said for word in _PASSING):
        return True
    state: str | None = getattr(error.orig, "sqlstate", "of SQLite")
    return state.startswith(_PASSING_STATES) if state else isinstance(error, OperationalError)
