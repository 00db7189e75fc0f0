# SPDX-License-Identifier: Apache-2.0
"""POST and PUT as functions of a transaction: create (once), update, and the batch of members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from octavia_provider.controller import certificate_copies as copies
from octavia_provider.model import allocated
from octavia_provider.model.errors import Conflict, Invalid, NotFound, Path, PermanentError, Violation
from octavia_provider.model.events import Event, Reason
from octavia_provider.model.kinds import KINDS, reconciled
from octavia_provider.model.l7_policy import follow_action
from octavia_provider.model.listener import WITHOUT_POOL
from octavia_provider.model.metadata import inputs
from octavia_provider.model.validation import validate
from octavia_provider.ports import LocalAllocation, Networks, Owner, Record, Settlement, Transaction

from . import deletion, flavor_rules, group_rules, l7_positions, leftovers, representation
from .certificates import Copies, refuse_copy
from .graph_create import CreateRequest, told
from .quota_check import QuotaCheck
from .requests import Claim
from .rules import ROOTS, Rules, immutable, living, subject

# A listener may name a pool that comes in the same request, so pools are written first; the rest needs them both.
_RANKS = {"load_balancer": 0, "pool": 1, "listener": 2}

RENAMED = (
    "; if it is the same resource under a new name, give it an alias of the old one; else remove the old one in an update "
    "of its own"
)
REPLACED = "; that is what was made for this resource before: import it, or let it be deleted first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The object asked for; ``adopted``: a leftover of an earlier run was taken up.

    ``generation`` is the one at which it and all that was made with it are settled.
    """

    record: Record
    generation: int
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class ObjectWriter:
    """What may be written in one transaction. ``rules`` remembers what it has read of the graphs."""

    tx: Transaction
    networks: Networks
    local: LocalAllocation | None
    rules: Rules
    quota_check: QuotaCheck

    @classmethod
    def begin(cls, tx: Transaction, networks: Networks, *, by_project: bool = False) -> ObjectWriter:
        """In this transaction. ``by_project``: what one project has, another one cannot use."""
        local = networks if isinstance(networks, LocalAllocation) else None
        return cls(tx, networks, local, Rules(tx, by_project=by_project), QuotaCheck(tx))

    def create(self, create_requests: Sequence[CreateRequest], claim: Claim | None) -> Created:
        """Make what was ordered: all of it or nothing. What the claim's owner left behind in a crash is taken up."""
        leftover = _leftover(self.tx, create_requests[0].kind, claim) if claim else None
        if leftover is not None:
            spec = None if len(create_requests) > 1 else _taken_up(leftover, create_requests[0])
            if spec is not None:
                self._check(leftover.kind, spec, leftover)
                spec = {**spec, **self._addresses(leftover, spec)}
                self.rules.check(leftover.kind, leftover.id, leftover.scope_id, spec)
                if leftover.kind == "l7_policy":
                    spec = self._placed(leftover.id, spec, written=True)
                record = self._write(leftover, spec)
                return Created(record=record, generation=record.generation, adopted=True)
            deletion.replace(self.tx, leftover)
        made: dict[str, Record] = {}
        ordered = sorted(create_requests, key=lambda create_request: _RANKS.get(create_request.kind, len(_RANKS)))
        for members, group in groupby(ordered, lambda one: one.kind == "member" and one is not create_requests[0]):
            if members:
                self._insert_members(list(group), create_requests)
                continue
            for create_request in group:
                owner = claim.owner if claim and create_request is create_requests[0] else None
                made[create_request.id] = self._insert(create_request, create_requests, owner)
        return Created(
            record=made[create_requests[0].id], generation=max(record.generation for record in made.values())
        )

    def update(self, kind: str, id_: str, given: Mapping[str, Any], owner: Owner | None) -> Record:
        """Change the attributes that are given; null puts one back to its default."""
        record = living(self.tx, kind, id_)
        refuse_copy(record, "changed")
        if owner is not None:
            self.tx.confirm([id_], owner.provider)
        if kind == "l7_policy":
            given = follow_action(given)
        if kind == "pool":
            given = _with_type(record, given)
        return self._change(record, given, written=owner is not None)

    def batch(self, pool_id: str, create_requests: Sequence[CreateRequest], *, additive: bool) -> Record:
        """Octavia's batch: members are known by address and port; those not named go, unless ``additive``."""
        pool = living(self.tx, "pool", pool_id)
        members = self.tx.find("member", parent=("pool_id", pool_id))
        known = {_server(member.spec): member for member in members if not member.deleting}
        named = {_server(create_request.values) for create_request in create_requests}
        if not additive:
            self.tx.mark_deleting(member.id for server, member in known.items() if server not in named)
        new: list[CreateRequest] = []
        for create_request in create_requests:
            member = known.get(_server(create_request.values))
            if member is None:
                new.append(create_request)
            else:
                self._change(member, create_request.raw, create_request.path)
        self._insert_members(new, create_requests)
        return pool

    def keep(self, found: Copies, project_id: str | None) -> None:
        """Write down what was read of a certificate manager, before what names it. ``project_id``: whose a new copy is."""
        for id_, spec in found.items():
            record = self.tx.get(copies.KIND, id_)
            if record is None:
                self.tx.insert(
                    Record(id=id_, kind=copies.KIND, scope_id=id_, project_id=project_id or "", spec=spec, generation=0)
                )
            else:
                if copies.differs(record, spec):
                    self.rules.check(copies.KIND, id_, id_, spec)
                copies.write(self.tx, record, spec)

    def _insert_members(self, new: Sequence[CreateRequest], create_requests: Sequence[CreateRequest]) -> None:
        """Together: thousands one by one take long. Where one of them collides, one by one tells which."""
        records = []
        for create_request in new:
            with _telling(create_request, create_requests):
                records.append(self._new(create_request, None))
        if not self.tx.insert_all(records):
            for create_request, record in zip(new, records, strict=True):
                with _telling(create_request, create_requests):
                    self.tx.insert(record)

    def _insert(
        self, create_request: CreateRequest, create_requests: Sequence[CreateRequest], owner: Owner | None = None
    ) -> Record:
        try:
            made = self._in_force(self.tx.insert(self._new(create_request, owner)))
            self._taken_by(made)
            if made.kind == "load_balancer":
                self.tx.record(_created(made))
        except PermanentError as error:
            refused = told(error, create_request, create_requests)
            if owner and isinstance(error, Conflict):
                refused.message += self._way_out(create_request.kind, error.holder, owner)
            raise refused from None
        return made

    def _new(self, create_request: CreateRequest, owner: Owner | None) -> Record:
        """What is to be written for a request: placed, and checked against all that is there."""
        values = dict(create_request.values)
        scope_id = self.rules.place(create_request.kind, create_request.id, values, create_request.path)
        project_id = create_request.project_id if create_request.kind in ROOTS else self.rules.project(scope_id)
        self.quota_check.take(create_request.kind, project_id)
        with _within(create_request.path):
            if self.local is not None:
                values.update(self.local.place(self.tx, create_request.kind, create_request.id, values))
        if respelled := representation.spelled(create_request.kind, create_request.raw, create_request.values):
            values[representation.SPELLED] = respelled
        self._check(create_request.kind, values, None, create_request.path)
        self.rules.check(create_request.kind, create_request.id, scope_id, values, create_request.path)
        if create_request.kind == "l7_policy":
            values = self._placed(create_request.id, values, written=owner is not None or create_request.path != ())
        return Record(
            id=create_request.id, kind=create_request.kind, scope_id=scope_id, project_id=project_id, spec=values, generation=0, owner=owner
        )  # fmt: skip

    def _without_pool(self, listener: Record, given: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        """Whether a listener has no pool though one names it: null says so, and holds until a pool is given to it."""
        if "default_pool_id" not in given:
            return bool(listener.spec.get(WITHOUT_POOL))
        return values["default_pool_id"] is None and bool(self.tx.ids("pool", ("listener_id", listener.id)))

    def _taken_by(self, pool: Record) -> None:
        """A pool that names a listener without one is its pool; of one that was told to have none this has to be said."""
        named = pool.spec.get("listener_id") if pool.kind == "pool" else None
        listener = self.tx.get("listener", named) if named else None
        if listener is not None and listener.spec.get(WITHOUT_POOL):
            self.tx.update(listener.id, {**listener.spec, "default_pool_id": pool.id, WITHOUT_POOL: False})

    def _way_out(self, kind: str, holder: str, owner: Owner) -> str:
        """What to do where the same provider has made what is in the way."""
        other = self.tx.get(kind, holder) if holder else None
        if other is None or other.owner is None or other.owner.provider != owner.provider:
            return ""
        return RENAMED if other.owner.urn != owner.urn else REPLACED

    def _check(self, kind: str, values: Mapping[str, Any], was: Record | None, path: Path = ()) -> None:
        flavor_rules.check(self.tx, self.networks.unsupported, kind, values, was=was, path=path)
        group_rules.check(self.tx, kind, values, was=was, path=path)

    def _change(self, record: Record, given: Mapping[str, Any], path: Path = (), *, written: bool = False) -> Record:
        values = _changed(record, given, path)
        try:
            self._check(record.kind, values, record, path)
            with _within(path):
                values.update(self._addresses(record, values))
            if (respelled := _respelled(record, given, values)) or record.spec.get(representation.SPELLED):
                values[representation.SPELLED] = respelled
            if record.kind == "listener":
                values[WITHOUT_POOL] = self._without_pool(record, given, values)
            self.rules.check(record.kind, record.id, record.scope_id, values, path)
            if record.kind == "l7_policy" and "position" in given:
                values = self._placed(record.id, values, written=written)
            return self._write(record, {**record.spec, **values})
        except Invalid as error:
            raise Invalid(error.violations, subject=subject(record)) from None
        except Conflict as error:
            raise _at(error, path, subject(record)) from None

    def _addresses(self, record: Record, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is chosen for an object that changes. A cloud that has to be asked is asked later (``AllocateVips``)."""
        if self.local is not None:
            return self.local.change(self.tx, record, values)
        return allocated.kept(record.spec, values) if record.kind == "load_balancer" else {}

    def _placed(self, id_: str, values: Mapping[str, Any], *, written: bool) -> dict[str, Any]:
        """An L7 policy's values with the position that it gets; the others of its listener make room."""
        asked = values["position"]
        position = l7_positions.put(self.tx, values["listener_id"], id_, asked, written=written)
        return {**values, "position": position, l7_positions.ASKED: asked if written else None}

    def _write(self, record: Record, spec: Mapping[str, Any]) -> Record:
        """Write where it makes a difference; an object in ERROR is tried again also when nothing is new."""
        defaults = {name: attribute.default for name, attribute in inputs(KINDS[record.kind]).items()}
        defaults[WITHOUT_POOL] = False
        before = {**defaults, **record.spec}  # older code wrote nothing of attributes that it did not know
        if record.error is None and _same(before, {**defaults, **spec}):
            return record
        written = self._in_force(self.tx.update(record.id, spec))
        if record.kind == copies.KIND:
            copies.touch_users(self.tx, record.id)
        return written

    def _in_force(self, record: Record) -> Record:
        """What nothing has to be brought about for is in force as soon as it is written."""
        if not reconciled(record.kind):
            self.tx.settle(
                Settlement(scope_id=record.scope_id, generation=record.generation, accepted={record.id: record.spec})
            )
            return self.tx.get(record.kind, record.id) or record
        return record


class Servers:
    """The servers of one batch of members, to find those that are named twice."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, int]] = set()

    def add(self, path: Path, values: Mapping[str, Any]) -> Iterator[Violation]:
        """What is wrong where it is there already. ``values``: those that are valid."""
        address, port = values.get("address"), values.get("protocol_port")
        if not isinstance(address, str) or not isinstance(port, int):
            return
        if (address, port) in self._seen:
            yield Violation((*path, "address"), f"{address}:{port} is named twice in this request")
        self._seen.add((address, port))


def _server(spec: Mapping[str, Any]) -> tuple[str, int]:
    return spec["address"], spec["protocol_port"]


@contextmanager
def _telling(create_request: CreateRequest, create_requests: Sequence[CreateRequest]) -> Iterator[None]:
    """What is refused of one object, in terms of the whole request."""
    try:
        yield
    except PermanentError as error:
        raise told(error, create_request, create_requests) from None


@contextmanager
def _within(path: Path) -> Iterator[None]:
    """What is refused of one object, at that object's path in the request."""
    try:
        yield
    except NotFound as error:
        raise NotFound(error.message, subject=error.subject, path=(*path, *error.path)) from None
    except Invalid as error:
        found = [Violation((*path, *v.path), v.message) for v in error.violations]
        raise Invalid(found, subject=error.subject) from None


def _at(error: Conflict, path: Path, what: str) -> Conflict:
    return Conflict(
        error.message, subject=error.subject or what, hint=error.hint, path=(*path, *error.path) if error.path else (),
        holder=error.holder,
    )  # fmt: skip


def _changed(record: Record, given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The inputs after the change; ``Invalid`` with all that is wrong or may not be changed."""
    known = {name: record.spec.get(name) for name in inputs(KINDS[record.kind])}
    result = validate(KINDS[record.kind], {**known, **given}, path=path)
    if result.violations:  # what older code took, and is left as it is, stands in the way of no other change
        before = validate(KINDS[record.kind], known, path=path).violations
        result.violations = [v for v in result.violations if _at_attribute(v, path) in given or v not in before]
    broken = {v.path[len(path)] for v in result.violations if len(v.path) > len(path)}
    fixed = [v for v in immutable(record, given, result.values) if v.path[0] not in broken]
    violations = [*result.violations, *(Violation((*path, *v.path), v.message) for v in fixed)]
    if violations:
        raise Invalid(violations, subject=subject(record))
    return result.values


def _at_attribute(violation: Violation, path: Path) -> Any:
    return violation.path[len(path)] if len(violation.path) > len(path) else None


def _respelled(record: Record, given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """How attributes are spelled after a change: what is given anew is spelled so."""
    before = record.spec.get(representation.SPELLED) or {}
    kept = {name: value for name, value in before.items() if name not in given}
    return {**kept, **representation.spelled(record.kind, given, values)}


def _with_type(pool: Record, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A session persistence that names no type keeps that which the pool has, as in Octavia."""
    change, has = given.get("session_persistence"), pool.spec.get("session_persistence")
    if not isinstance(change, Mapping) or not has:
        return given
    if not change:
        return {**given, "session_persistence": None}
    return {**given, "session_persistence": {**change, "type": change.get("type") or has["type"]}}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(
            _same(one.get(key), other.get(key)) for key in {*one, *other}
        )  # older code left out what it knew not
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _leftover(tx: Transaction, kind: str, claim: Claim) -> Record | None:
    """An object of this owner which the engine has never shown: its create died between the answer and the checkpoint."""
    leftovers.confirm(tx, claim.owner.provider, claim.known, kind)
    return next((r for r in tx.find(kind, owner=claim.owner) if not r.confirmed and not r.deleting), None)


def _taken_up(leftover: Record, create_request: CreateRequest) -> Mapping[str, Any] | None:
    """The leftover's spec in the asked form; None when that form needs a replacement."""
    values = dict(create_request.values)
    if immutable(leftover, create_request.values, values):
        return None
    return {**leftover.spec, **values}


def _created(balancer: Record) -> Event:
    addresses = [address for address in allocated.addresses(balancer.spec) if address]
    message = "A load balancer was asked for" + (f"; its address is {', '.join(addresses)}" if addresses else "")
    data = {"addresses": addresses, "urn": balancer.owner.urn if balancer.owner else None}
    return Reason.LoadBalancerCreated.event(message, load_balancer_id=balancer.id, data=data)
