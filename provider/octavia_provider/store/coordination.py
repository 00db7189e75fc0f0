# SPDX-License-Identifier: Apache-2.0
"""The part of a transaction that coordinates: revisions and leases, amphorae, addresses, secrets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from octavia_provider.model.errors import LeaseLost, NotFound
from octavia_provider.ports import Amphora, ControlPlane, Record, Scope

from . import rows
from .cipher import Cipher
from .tables import ADDRESSES, AMPHORAE, CONTROL_PLANES, SCOPES, SECRETS

# Built once: to build such a statement costs more than to run it.
_NEXT_REVISION = (
    update(SCOPES)
    .where(SCOPES.c.id == bindparam("which"), SCOPES.c.fence == bindparam("ours"))
    .values(revision=SCOPES.c.revision + 1)
    .returning(SCOPES)
)
_MINE = SCOPES.c.holder == bindparam("whose")
_CLAIMABLE = or_(_MINE, SCOPES.c.holder.is_(None), SCOPES.c.lease_expires < bindparam("moment"))
_ACQUIRE = (
    update(SCOPES)
    .where(SCOPES.c.id == bindparam("which"), _CLAIMABLE)
    .values(
        holder=bindparam("whose"),
        lease_expires=bindparam("until"),
        fence=case((_MINE, SCOPES.c.fence), else_=SCOPES.c.fence + 1),
    )
    .returning(SCOPES)
)
_CLAIMABLE_IDS = select(SCOPES.c.id).where(_CLAIMABLE)
_RENEW = update(SCOPES).where(_MINE).values(lease_expires=bindparam("until")).returning(SCOPES.c.id)
_FENCE = select(SCOPES.c.fence).where(SCOPES.c.id == bindparam("which"))
_AMPHORAE = select(AMPHORAE).order_by(AMPHORAE.c.position)
_AMPHORAE_OF = _AMPHORAE.where(AMPHORAE.c.load_balancer_id == bindparam("which"))
_REPLACE_AMPHORA = update(AMPHORAE).where(AMPHORAE.c.id == bindparam("which"))
_REQUESTS = select(AMPHORAE.c.id, AMPHORAE.c.requests).where(AMPHORAE.c.id.in_(bindparam("ids", expanding=True)))
_FORGET_AMPHORA = delete(AMPHORAE).where(AMPHORAE.c.id == bindparam("which")).returning(AMPHORAE.c.load_balancer_id)
_SECRET = select(SECRETS.c.value).where(SECRETS.c.name == bindparam("called"))
_HELD = or_(ADDRESSES.c.holder == bindparam("holder"), ADDRESSES.c.holder.like(bindparam("parts"), escape="!"))
_ADDRESSES = select(ADDRESSES.c.pool, ADDRESSES.c.address).where(_HELD)
_FREE = delete(ADDRESSES).where(_HELD, ADDRESSES.c.address.not_in(bindparam("keep", expanding=True)))


def own_holder(load_balancer_id: str, amphora_id: str) -> str:
    """Who holds an amphora's own addresses: a part of its load balancer."""
    return f"{load_balancer_id}/{amphora_id}"


REMEMBERED_SECONDS = 86_400.0
"""For which a control plane that ended without a word is told of."""


class Coordination:
    """``clock`` answers seconds since the epoch: leases are shared by processes, so it is one that they share. Events have
    the time of the process that records them (``event_clock``), which costs no look at the database."""

    def __init__(
        self, connection: Connection, cipher: Cipher, clock: Callable[[], float], *, writable: bool,
        event_clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._db = connection
        self._event_clock = event_clock
        self._cipher = cipher
        self._clock = clock
        self._writable = writable
        self.touched: set[str] = set()
        self._with_amphorae: set[str] = set()
        self._raised: dict[str, int] = {}
        self._scopes: dict[str, Scope] = {}
        self._records: dict[str, Record] = {}
        self._exchanging = False

    def written(self) -> dict[str, Scope | None]:
        """What is ``touched``: scopes as they are now, None where more than that was written."""
        return {name: None if name in self._with_amphorae else self._scopes.get(name) for name in self.touched}

    def _amphora_of(self, load_balancer_id: str) -> None:
        self.touched.add(load_balancer_id)
        self._with_amphorae.add(load_balancer_id)

    def next_revision(self, scope_id: str, fence: int) -> Scope:
        """Raise the revision; ``LeaseLost`` when the fence is no longer ours."""
        row = self._db.execute(_NEXT_REVISION, {"which": scope_id, "ours": fence}).first()
        if row is None:
            raise _lost(scope_id)
        found = self._scopes[scope_id] = rows.scope(row)
        return found

    def require_lease(self, scope_id: str, fence: int) -> None:
        """``LeaseLost`` when the fence is no longer ours; of a scope that is gone nobody can have another one."""
        if self._db.execute(_FENCE, {"which": scope_id}).scalar_one_or_none() not in (None, fence):
            raise _lost(scope_id)

    def raise_epoch(self, scope_id: str, epoch: int) -> None:
        """The epoch is this one, or a later one that it is already."""
        self._scopes.pop(scope_id, None)
        older = SCOPES.c.epoch < epoch
        self._db.execute(update(SCOPES).where(SCOPES.c.id == scope_id, older).values(epoch=epoch))

    def acquire(self, scope_id: str, holder: str, seconds: float) -> Scope | None:
        """Take or renew the lease; None when another holds it or the scope is gone."""
        self._scopes.pop(scope_id, None)
        now = self._clock()
        asked = {"which": scope_id, "whose": holder, "moment": now, "until": now + seconds}
        row = self._db.execute(_ACQUIRE, asked).first()
        return rows.scope(row) if row else None

    def claimable(self, holder: str) -> set[str]:
        """The scopes that ``acquire`` would give this holder."""
        return set(self._db.execute(_CLAIMABLE_IDS, {"whose": holder, "moment": self._clock()}).scalars())

    def renew(self, holder: str, seconds: float) -> set[str]:
        """Renew all leases of this holder; the scopes that it has."""
        return set(self._db.execute(_RENEW, {"whose": holder, "until": self._clock() + seconds}).scalars())

    def release(self, holder: str, scope_ids: Sequence[str] | None = None) -> None:
        """Give up leases of this holder, all or those of these scopes; who takes them next raises the fence."""
        given_up = update(SCOPES).where(SCOPES.c.holder == holder).values(holder=None, lease_expires=None)
        if scope_ids is not None:
            given_up = given_up.where(SCOPES.c.id.in_(scope_ids))
        self.touched.update(self._db.execute(given_up.returning(SCOPES.c.id)).scalars())

    def now(self) -> float:
        """Seconds since the epoch, by the clock that all who share the store share."""
        return self._clock()

    def put_control_plane(self, process: ControlPlane, seconds: float) -> None:
        """It is alive for so long, as it is now. One of the same name gives way to it."""
        values = {
            "machine": process.machine,
            "pid": process.pid,
            "version": process.version,
            "started_at": process.started_at,
            "heartbeat_receiver": process.heartbeat_receiver,
            "expires": self._clock() + seconds,
        }
        known = update(CONTROL_PLANES).where(CONTROL_PLANES.c.name == process.name).values(values)
        if self._db.execute(known).rowcount == 0:
            self._db.execute(insert(CONTROL_PLANES), {"name": process.name, **values})

    def forget_control_plane(self, name: str) -> None:
        """It has ended."""
        self._db.execute(delete(CONTROL_PLANES).where(CONTROL_PLANES.c.name == name))

    def control_planes(self) -> list[ControlPlane]:
        """All that have not said that they ended, by name; who was not heard for a day is left out."""
        found = list(self._db.execute(select(CONTROL_PLANES).order_by(CONTROL_PLANES.c.name)))
        now = self._clock() if found else 0.0
        leased = select(SCOPES.c.holder, func.count()).where(SCOPES.c.kind == "load_balancer").group_by(SCOPES.c.holder)
        counts: dict[str, int] = {row[0]: row[1] for row in self._db.execute(leased)} if found else {}
        return [
            rows.control_plane(row, alive=row.expires > now, load_balancers=counts.get(row.name, 0))
            for row in found
            if row.expires > now - REMEMBERED_SECONDS
        ]

    def amphorae(self, load_balancer_id: str | None = None) -> list[Amphora]:
        """Amphorae in the order they were made."""
        query = _AMPHORAE if load_balancer_id is None else _AMPHORAE_OF
        found = self._db.execute(query, {} if load_balancer_id is None else {"which": load_balancer_id})
        return [rows.amphora(row, self._cipher) for row in found]

    def amphora(self, id: str) -> Amphora | None:  # noqa: A002
        """The amphora of this id."""
        row = self._db.execute(_AMPHORAE.where(AMPHORAE.c.id == id)).first()
        return rows.amphora(row, self._cipher) if row else None

    def seats(self, host_ids: Iterable[str]) -> list[Amphora]:
        """Amphorae of load balancers that are on these amphorae of groups, in the order they were made."""
        found = self._db.execute(_AMPHORAE.where(AMPHORAE.c.host_id.in_(list(host_ids))))
        return [rows.amphora(row, self._cipher) for row in found]

    def put_amphora(self, amphora: Amphora) -> None:
        """Insert or replace."""
        values: dict[str, Any] = {
            "id": amphora.id,
            "load_balancer_id": amphora.load_balancer_id,
            "role": amphora.role,
            "status": amphora.status,
            "heartbeat_key": self._cipher.encrypt(amphora.heartbeat_key, rows.heartbeat_context(amphora.id)),
            "certificate_expires": amphora.certificate_expires,
            "management_address": amphora.management_address,
            "own": [asdict(vip) for vip in amphora.own],
            "flavor": rows.plain(amphora.flavor),
            "agent_version": amphora.agent_version,
            "issuer": amphora.issuer,
            "trusted": amphora.trusted,
            "host_id": amphora.host_id,
            "image_id": amphora.image_id,
            "compute_id": amphora.compute_id,
        }
        self._amphora_of(amphora.load_balancer_id)
        change = {**values, "updated_at": rows.now()}
        changed = self._db.execute(_REPLACE_AMPHORA, {**change, "which": amphora.id})
        if changed.rowcount == 0:
            asked = {"retiring": amphora.retiring, "requests": sorted(amphora.requests)}
            self._db.execute(insert(AMPHORAE), {**values, **asked, "created_at": rows.now()})

    def retire(self, ids: Iterable[str]) -> None:
        """They are to be replaced."""
        change = {"retiring": True, "updated_at": rows.now()}
        self._db.execute(update(AMPHORAE).where(AMPHORAE.c.id.in_(list(ids))).values(change))

    def ask(self, ids: Iterable[str], request: str) -> None:
        """This is asked of them."""
        self._change_requests(ids, lambda known: known | {request})

    def fulfil(self, ids: Iterable[str], *requests: str) -> None:
        """This is asked of them no longer."""
        self._change_requests(ids, lambda known: known - set(requests))

    def _change_requests(self, ids: Iterable[str], change: Callable[[set[str]], set[str]]) -> None:
        for row in self._db.execute(_REQUESTS, {"ids": list(ids)}).all():
            values = {"requests": sorted(change(set(row.requests))), "updated_at": rows.now()}
            self._db.execute(_REPLACE_AMPHORA, {**values, "which": row.id})

    def delete_amphora(self, id: str) -> None:  # noqa: A002
        """Forget an amphora and give back its addresses."""
        for (load_balancer_id,) in self._db.execute(_FORGET_AMPHORA, {"which": id}).all():
            self._amphora_of(load_balancer_id)
            self.free_addresses(own_holder(load_balancer_id, id))

    def take_address(self, pool: str, holder: str, candidates: Iterable[str]) -> str | None:
        """The address this holder has, else the first candidate that is free, taken now; None: all taken."""
        held = select(ADDRESSES.c.address).where(ADDRESSES.c.pool == pool, ADDRESSES.c.holder == holder)
        mine = self._db.execute(held).scalar_one_or_none()
        if mine is not None:
            return str(mine)
        taken = set(self._db.execute(select(ADDRESSES.c.address).where(ADDRESSES.c.pool == pool)).scalars())
        for address in candidates:
            if address not in taken and self._take(pool, holder, address):
                return address
        return None

    def _take(self, pool: str, holder: str, address: str) -> bool:
        try:
            with self._db.begin_nested():
                self._db.execute(insert(ADDRESSES), {"pool": pool, "address": address, "holder": holder})
        except IntegrityError:  # another process was faster
            return False
        return True

    def addresses(self, holder: str) -> list[tuple[str, str]]:
        """What a holder and its parts hold."""
        found = self._db.execute(_ADDRESSES, _held_by(holder))
        return [(row.pool, row.address) for row in found]

    def free_addresses(self, holder: str, keep: Iterable[str] = ()) -> None:
        """Give back all addresses of a holder and its parts but those of ``keep``."""
        self._db.execute(_FREE, {**_held_by(holder), "keep": list(keep)})

    def secret(self, name: str, make: Callable[[], bytes]) -> bytes:
        """A secret of the installation, made on first use (in a write transaction)."""
        context = f"secret {name}"
        sealed = self._db.execute(_SECRET, {"called": name}).scalar_one_or_none()
        if sealed is not None:
            return self._cipher.decrypt(sealed, context)
        if not self._writable:
            raise NotFound("has not been made yet", subject=context, hint="make it in a write transaction")
        value = make()
        self._db.execute(insert(SECRETS), {"name": name, "value": self._cipher.encrypt(value, context)})
        return value

    def replace_secret(self, name: str, value: bytes) -> None:
        """Another value for a secret that there is."""
        sealed = self._cipher.encrypt(value, f"secret {name}")
        self._db.execute(update(SECRETS).where(SECRETS.c.name == name).values(value=sealed))


def _lost(scope_id: str) -> LeaseLost:
    return LeaseLost("another control plane has taken the lease", subject=scope_id, hint="let it do the work")


def _held_by(holder: str) -> dict[str, str]:
    escaped = holder.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return {"holder": holder, "parts": f"{escaped}/%"}
