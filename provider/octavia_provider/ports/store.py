# SPDX-License-Identifier: Apache-2.0
"""Where the desired state lives, and what is seen of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar

from octavia_amphora.wire.messages import Counters
from octavia_provider.model.events import Event, EventFilter

from .records import Amphora, ControlPlane, Owner, Record, Scope, Settlement

T = TypeVar("T")
EVENTS_CHANGED = "events"
"""What ``Store.watch`` is asked for to be woken by events; it is the id of no scope."""


class Transaction(Protocol):
    """One transaction of the store; plain blocking calls, run in the store's own thread.

    Constraint violations raise ``model.errors.Conflict``; a missing object raises ``model.errors.NotFound`` where the
    call names one that must exist.
    """

    def get(self, kind: str, id: str) -> Record | None:  # noqa: A002
        """The object, also while it is being deleted; None when there is none."""
        ...

    def look_up(self, ids: Iterable[str]) -> None:
        """Read these objects together: ``get`` answers them without a look of its own."""
        ...

    def find(
        self, kind: str | None = None, *, scope_id: str | None = None, parent: tuple[str, str] | None = None,
        owner: Owner | None = None, references: tuple[str, str] | None = None, since: int | None = None,
    ) -> list[Record]:  # fmt: skip
        """Objects in the order of creation, those being deleted too.

        ``parent``: ("pool_id", id) — those whose attribute of that name holds the id. ``references``: ("pool", id) —
        those that name this object of that kind in any attribute.
        ``since``: only those written at a later generation than this one (what a reconciler has not read yet).
        """
        ...

    def ids(self, kind: str, parent: tuple[str, str] | None = None) -> list[str]:
        """The ids of what ``find(kind, parent=parent)`` answers, without reading any spec."""
        ...

    def values(
        self, kind: str, names: Mapping[str, type], parent: tuple[str, str] | None = None
    ) -> Sequence[Sequence[Any]]:
        """The ids of what ``find(kind, parent=parent)`` answers, each with these attributes, without reading the rest.

        ``names``: of the record's times and project, and of its spec, each with its type: ``str``, ``int`` or ``bool``. None stands
        for null, and for what a spec does not have.
        """
        ...

    def holding(self, kind: str, key: str) -> Record | None:
        """The object that has this unique value (``model.common.Resource.UNIQUE``); None when nobody has."""
        ...

    def count(self, kind: str, project_id: str) -> int:
        """How many objects of a kind a project has; those being deleted count no more."""
        ...

    def exchanging(self, ids: Iterable[str]) -> AbstractContextManager[None]:
        """Inside, these objects hold no unique value, so that they can exchange theirs; at the end each has its own.

        ``Conflict`` where two would have the same then.
        """
        ...

    def scope(self, scope_id: str) -> Scope | None:
        """The scope, None when there is none."""
        ...

    def scopes(self) -> list[Scope]:
        """All scopes."""
        ...

    def insert(self, record: Record) -> Record:
        """Add an object (and its scope, when it is a root), raising the scope's generation; Conflict when taken."""
        ...

    def insert_all(self, records: Sequence[Record]) -> bool:
        """Add objects that are no roots, together: all, or none where one of them collides."""
        ...

    def update(self, id: str, spec: Mapping[str, Any]) -> Record:  # noqa: A002
        """Write a new spec, raising the generation; clears the error. Conflict when a unique value is taken."""
        ...

    def fill(self, id: str, spec: Mapping[str, Any]) -> None:  # noqa: A002
        """Write what the control plane has chosen into a spec; the generation and the error stay, since nobody asked anew."""
        ...

    def touch(self, scope_id: str) -> int:
        """Raise the generation without a write of an object (a retry); returns it."""
        ...

    def mark_deleting(self, ids: Iterable[str]) -> int:
        """Mark objects as being deleted, raising the generation; their unique values are free at once."""
        ...

    def confirm(self, ids: Iterable[str], provider: str) -> None:
        """An engine keeps these ids in its state: what this provider made of them is no leftover of a crash."""
        ...

    def settle(self, settlement: Settlement) -> list[str]:
        """Write down the outcome of an apply; returns the ids removed. A scope whose root is removed is gone.

        Removed objects give back the addresses they held. ``accepted`` need name only what has changed.
        """
        ...

    def next_revision(self, scope_id: str, fence: int) -> Scope:
        """Raise the revision; ``LeaseLost`` when the fence is no longer ours."""
        ...

    def require_lease(self, scope_id: str, fence: int) -> None:
        """``LeaseLost`` when the fence is no longer ours, so that nothing of this transaction is written."""
        ...

    def raise_epoch(self, scope_id: str, epoch: int) -> None:
        """What is pushed of this scope from now on goes before all of earlier epochs (an operator restored the store)."""
        ...

    def acquire(self, scope_id: str, holder: str, seconds: float) -> Scope | None:
        """Take or renew the lease by compare-and-swap (the fence rises when the holder changes); None: another has it."""
        ...

    def claimable(self, holder: str) -> set[str]:
        """The scopes that ``acquire`` would give this holder: nobody's, those whose lease has run out, its own."""
        ...

    def renew(self, holder: str, seconds: float) -> set[str]:
        """Renew all leases of this holder; the scopes that it has. What is not among them another one has taken, or is gone."""
        ...

    def release(self, holder: str, scope_ids: Sequence[str] | None = None) -> None:
        """Give up leases of this holder, all or those of these scopes; who waits for them is woken."""
        ...

    def now(self) -> float:
        """Seconds since the epoch, by the clock that all who share the store share."""
        ...

    def put_control_plane(self, process: ControlPlane, seconds: float) -> None:
        """It is alive for so long, as it is now. One of the same name gives way to it."""
        ...

    def forget_control_plane(self, name: str) -> None:
        """It has ended."""
        ...

    def control_planes(self) -> list[ControlPlane]:
        """All that have not said that they ended, by name; who was not heard for a day is left out."""
        ...

    def amphorae(self, load_balancer_id: str | None = None) -> list[Amphora]:
        """Amphorae, of one load balancer or all."""
        ...

    def amphora(self, id: str) -> Amphora | None:  # noqa: A002
        """The amphora of this id, None when there is none."""
        ...

    def seats(self, host_ids: Iterable[str]) -> list[Amphora]:
        """Amphorae of load balancers that are on these amphorae of groups (``Amphora.host_id``)."""
        ...

    def put_amphora(self, amphora: Amphora) -> None:
        """Insert or replace, but ``retiring``, which ``retire`` alone sets, and ``requests`` (``ask``, ``fulfil``).
        ``heartbeat_key`` is encrypted at rest; the store sets ``created_at`` and ``updated_at``."""
        ...

    def retire(self, ids: Iterable[str]) -> None:
        """These amphorae are to be replaced. Who is not the reconciler of their load balancer ``touch``es its scope too."""
        ...

    def ask(self, ids: Iterable[str], request: str) -> None:
        """This is asked of these amphorae, until it is fulfilled: ``CERTIFICATE``, ``AGENT``, ``DRAIN``. As with ``retire``, who is
        not the reconciler ``touch``es the scope too."""
        ...

    def fulfil(self, ids: Iterable[str], *requests: str) -> None:
        """This is done, or asked no longer."""
        ...

    def delete_amphora(self, id: str) -> None:  # noqa: A002
        """Forget an amphora and give back its own addresses; nothing happens when there is none."""
        ...

    def take_address(self, pool: str, holder: str, candidates: Iterable[str]) -> str | None:
        """The address this holder has in the pool, else the first candidate that is free, taken now; None: all taken.

        A holder that needs a second address of a pool takes it as a part of itself: ``holder/part``.
        """
        ...

    def addresses(self, holder: str) -> list[tuple[str, str]]:
        """What a holder and its parts (``holder/part``) hold: (pool, address)."""
        ...

    def free_addresses(self, holder: str, keep: Iterable[str] = ()) -> None:
        """Give back all addresses of a holder and its parts but those of ``keep``."""
        ...

    def record(self, event: Event, *, ago: float = 0.0) -> None:
        """Write an event of so many seconds ago down with what else this transaction writes; an equal one that is there is
        counted instead. The load balancer's name, project and generation are filled in."""
        ...

    def events(
        self, wanted: EventFilter, *, limit: int, newest: bool = False, before: int | None = None
    ) -> list[Event]:
        """Events in the order of their sequence: the earliest ones, or with ``newest`` the latest (``before`` a sequence)."""
        ...

    def newest_event(self) -> int:
        """The sequence of the newest event; 0 when there is none. It never falls."""
        ...

    def event_subjects(self) -> list[tuple[str, str]]:
        """Id and name of each load balancer that has events, also of those that are gone."""
        ...

    def trim_events(self, before: float, keep: int) -> int:
        """Forget events that came last before this time, and of each load balancer all but the latest ``keep``."""
        ...

    def replace_secret(self, name: str, value: bytes) -> None:
        """Another value for a secret that there is."""
        ...

    def secret(self, name: str, make: Callable[[], bytes]) -> bytes:
        """A secret of the installation (the CA's key), made on first use, encrypted at rest."""
        ...


def fenced(scope: Scope, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    """``work`` as the holder of this scope's lease does it: nothing of it is written where another has the lease by now."""

    def leased(tx: Transaction) -> T:
        tx.require_lease(scope.id, scope.fence)
        return work(tx)

    return leased


class Watch(Protocol):
    """Wakes after commits that write or settle objects of one scope (or all), or write its amphorae; not for leases, revisions."""

    async def changed(self) -> Mapping[str, Scope | None]:
        """Return at once when a commit came since the last call (or since the watch began), else when one comes.

        The scopes that were written since, each as the last commit left it; None where it has to be read to be known: it is gone,
        amphorae of it were written, or another process wrote it.
        """
        ...


class Store(Protocol):
    """Where the desired state lives. Commits are serialised per process; readers see committed state."""

    @property
    def control_plane_id(self) -> str:
        """The uuid of this control plane: made with the database, the same for all that share it."""
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a read transaction."""
        ...

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a write transaction: all of it or nothing. Waiting writes may share one commit."""
        ...

    def watch(self, scope_id: str | None = None) -> AbstractAsyncContextManager[Watch]:
        """Be woken by commits of a scope (None: of any), or by events (``EVENTS_CHANGED``)."""
        ...

    async def close(self) -> None:
        """Finish what waits and close."""
        ...


class StatusCache(Protocol):
    """What the heartbeats say, in memory."""

    def operating_status(self, record: Record) -> str:
        """ONLINE, OFFLINE, … of an object (by its id and kind), as ``model.statuses`` has them."""
        ...

    def trouble(self, scope_id: str) -> str | None:
        """What is in the way of bringing a scope about, and is tried again; None: nothing."""
        ...

    def statistics(self, load_balancer_id: str, listener_id: str, amphora_id: str | None = None) -> Counters:
        """The counters of a listener, over all its amphorae or of one; zeros when nothing is known."""
        ...

    def vrrp_state(self, amphora_id: str) -> str | None:
        """MASTER, BACKUP or FAULT, as the amphora was last heard to say; None: nothing is known, or it is alone."""
        ...

    def running(self, id: str) -> bool:  # noqa: A002
        """Whether what a cloud runs for an object of its own kinds does its work."""
        ...
