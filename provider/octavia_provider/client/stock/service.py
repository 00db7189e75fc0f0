# SPDX-License-Identifier: Apache-2.0
"""A stock Octavia, by the calls of ``client.Client``.

It answers at once with PENDING_*, takes one write at a time for each load balancer, and waits for nobody. So each write here
takes its turn, is repeated while the service says 409, and is followed by a wait until the load balancer is ACTIVE again,
with growing pauses. A create carries a tag by which it is found again where its answer was lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from octavia_provider.client import collections
from octavia_provider.client.answers import json_of
from octavia_provider.client.client import ANSWER_TIMEOUT, RETRY_SECONDS, ApiObject, NotSent, Ownership
from octavia_provider.client.deadline import Deadline
from octavia_provider.client.keystone import Login
from octavia_provider.client.located import LocatedClient
from octavia_provider.client.not_found import verify_not_found
from octavia_provider.model import statuses, stock
from octavia_provider.model.errors import (
    Conflict,
    NotFound,
    OctaviaError,
    PermanentError,
    TransientError,
    Unauthenticated,
)
from octavia_provider.model.kinds import BALANCER_KINDS, KINDS, PARENTS

from . import faults, forms
from .faults import Busy, ServiceFailed
from .members import MemberBatches
from .targets import LONGEST_PAUSE, Made, Target, Values, pauses
from .turns import Turns

if TYPE_CHECKING:
    import httpx2

FAILURES = 3
"""Times that a request is made which the service answers with 500."""


class StockClient(LocatedClient):
    """``endpoint``: its URL, else that of Keystone's catalogue; ``login``: None where it asks for no token."""

    dates_quotas = False
    service, expected = "Octavia", "an Octavia"
    remedy = "openstack catalog show load-balancer, or check the provider's endpoint"

    def __init__(self, login: Login | None, endpoint: str | None) -> None:
        super().__init__(login, endpoint)
        self._facts = threading.Lock()
        self._minor: int | None = None
        self.turns = Turns()
        self._members = MemberBatches(self)

    # ── what the service is ──────────────────────────────────────────────────────────────────────────────────────────
    def version(self, deadline: Deadline) -> int:
        """The minor version of its API, of its versions document; asked for once."""
        with self._facts:
            if self._minor is None:
                self._minor = self._newest(deadline)
            return self._minor

    def _newest(self, deadline: Deadline) -> int:
        try:
            minor = forms.newest_minor(json_of(self.request("GET", "/", deadline=deadline, subject="versions")))
        except NotFound:
            minor = None
        if minor is None:
            raise self._foreign("no list of versions")
        return minor

    def capabilities(self, provider: str, of: str, deadline: Deadline) -> Collection[str]:
        """What ``of`` (``flavor`` or ``availability_zone``) may ask of a driver."""
        path = f"/v2/lbaas/providers/{provider}/{of}_capabilities"
        listed = self._part(self.request("GET", path, deadline=deadline, subject="capabilities"), f"{of}_capabilities")
        return {str(one["name"]) for one in listed}

    def control_plane(self, *, deadline: Deadline) -> dict[str, Any]:  # noqa: ARG002
        """What says which service it is, and the login's project."""
        return {"id": self.service_id, "project_id": self._login.project_id if self._login else ""}

    @property
    def service_id(self) -> str:
        """What objects keep as their control plane: a 404 of another service says nothing of them."""
        return self._login.service_id if self._login else self.url

    def confirm(self, provider: str, ids: Sequence[str], *, seconds: float) -> None:
        """Nothing: a create is known by its tag, not by who has heard of it."""

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def get(
        self, kind: str, id: str, *, deadline: Deadline, parent: str | None = None,  # noqa: A002
        owner: Ownership | None = None, made_by: str = "", wait: int = 0,
    ) -> ApiObject:  # fmt: skip
        """One object; Octavia does not say in which other one a member or an L7 rule is."""
        answer = super().get(kind, id, deadline=deadline, parent=parent, owner=owner, made_by=made_by, wait=wait)
        if parent:
            answer.object.setdefault(PARENTS[kind][1], parent)
        return answer

    def list(
        self, kind: str, *, deadline: Deadline, parent: str | None = None, filters: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All objects of a kind that match, in the model's form."""
        for obj in self.listed(kind, deadline=deadline, parent=parent, filters=filters):
            yield forms.shown(kind, obj)

    def listed(
        self, kind: str, *, deadline: Deadline, parent: str | None = None, filters: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The same in Octavia's form."""
        return super().list(kind, deadline=deadline, parent=parent, filters=filters)

    def create(
        self, kind: str, values: Values, *, deadline: Deadline, parent: str | None = None,
        owner: Ownership | None = None, subject: str = "",
    ) -> ApiObject:  # fmt: skip
        """POST, and wait until it is in force; one that was made by a call whose answer was lost is taken up."""
        self._check_version(deadline, subject)
        if kind == "member":
            return self._members.create(values, deadline=deadline, pool=str(parent), owner=owner, subject=subject)
        key = forms.key(kind, values, owner) if owner and kind in forms.TAGGED else ""
        made = Made(key=key, known=owner.known if owner else (), values=values)
        balancer = self._balancer(kind, values, parent, deadline)
        at = Target(kind=kind, deadline=deadline, parent=parent, subject=subject, balancer=balancer)
        with self._one_at_a_time(at):
            obj = self._made_before(at, made) or self.post(
                at,
                forms.body(kind, values, self.version(deadline), [key] if key else (), whole=True),
                lambda: self._find(at, made),
            )
            return self._settled(at, self.api_object(kind, obj))

    def update(
        self, kind: str, id: str, values: Values, *, deadline: Deadline,  # noqa: A002
        parent: str | None = None, owner: Ownership | None = None, made_by: str = "", subject: str = "",  # noqa: ARG002
    ) -> ApiObject:  # fmt: skip
        """PUT the given attributes, and wait until they are in force."""
        self._check_version(deadline, subject)
        with verify_not_found(kind, id, made_by):
            if kind == "member":
                return self._members.update(id, values, deadline=deadline, pool=str(parent), subject=subject)
            balancer = self._balancer_of(kind, id, parent, deadline)
            at = Target(kind=kind, deadline=deadline, parent=parent, subject=subject, balancer=balancer)
            with self._one_at_a_time(at):
                return self._settled(at, self.put(at, id, values))

    def delete(
        self, kind: str, id: str, *, deadline: Deadline, parent: str | None = None, made_by: str = "",  # noqa: A002
        subject: str = "", progress: Callable[[ApiObject], None] | None = None,
    ) -> None:  # fmt: skip
        """DELETE, and wait until it is gone; no error when it does not exist."""
        subject = subject or f"{kind} {id}"
        try:
            with verify_not_found(kind, id, made_by):
                balancer = self._balancer_of(kind, id, parent, deadline)
                at = Target(kind=kind, deadline=deadline, parent=parent, subject=subject, balancer=balancer)
                with self._one_at_a_time(at):
                    self.write(at, lambda: self.request("DELETE", at.path(id), deadline=deadline, subject=subject))
                    if kind in BALANCER_KINDS:
                        self._wait_until_gone(at, id, progress)
        except NotFound:
            return

    def wait_until_settled(
        self, kind: str, answer: ApiObject, *, deadline: Deadline, parent: str | None = None,
        progress: Callable[[ApiObject], None] | None = None,
    ) -> ApiObject:  # fmt: skip
        """Wait until the object has settled or the deadline has passed; return its last state."""
        wait = pauses()
        while not answer.settled and deadline.sleep(next(wait)):
            if progress:
                progress(answer)
            answer = self.get(kind, answer.id, deadline=deadline, parent=parent)
        return answer

    def as_given(
        self, kind: str, obj: Mapping[str, Any], given: Collection[str], before: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The object without defaults that Octavia shows as values."""
        return forms.as_given(kind, obj, given, before)

    def position_as_asked(self, policy: Mapping[str, Any], *, deadline: Deadline) -> int | None:
        """The position that an L7 policy was asked to have while it stands so (``model.stock``), else its position."""
        asked: int | None = policy.get("asked_position")
        position: int | None = policy.get("position")
        listener = policy.get("listener_id")
        if not asked or not position or asked == position:
            return position
        there = self.list("l7_policy", deadline=deadline, filters={"listener_id": str(listener)})
        behind = (o["asked_position"] for o in there if o["listener_id"] == listener and o["position"] > position)
        return asked if stock.stands_as_asked(asked, position, behind) else position

    # ── parts of a write, for members too ────────────────────────────────────────────────────────────────────────────
    def post(self, at: Target, body: Values, find: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        """POST; ``find`` looks for what a POST made whose answer was lost, so that nothing is made twice."""
        patience, wait = Deadline(min(RETRY_SECONDS, at.deadline.remaining()), at.deadline.cancelled), pauses()
        more: dict[str, Any] = {"deadline": at.deadline, "json": {at.key: dict(body)}, "subject": at.subject}
        while True:
            try:
                response = self.write(at, lambda: self.request("POST", at.path(), idempotent=False, **more))
                return dict(self._part(response, at.key))
            except TransientError:
                if not patience.sleep(next(wait)):
                    raise
                if (found := find()) is not None:
                    return found

    def put(self, at: Target, id: str, values: Values) -> ApiObject:  # noqa: A002
        """PUT the model's values; tags of ours stay."""
        kept: list[str] = []
        if forms.asks_tags(at.kind, values):
            response = self.request("GET", at.path(id), deadline=at.deadline, subject=at.subject)
            current = self._part(response, at.key)
            kept = forms.tags_of_ours(current)
            values = {"tags": [tag for tag in current.get("tags") or () if tag not in kept], **values}
        more: dict[str, Any] = {"deadline": at.deadline, "subject": at.subject}
        json = {at.key: forms.body(at.kind, values, self.version(at.deadline), kept)}
        return self._api_object(at.kind, self.write(at, lambda: self.request("PUT", at.path(id), json=json, **more)))

    def write(self, at: Target, act: Callable[[], httpx2.Response]) -> httpx2.Response:
        """Make a request; while the service is busy with another change of the load balancer, wait and repeat it."""
        wait = pauses()
        while True:
            try:
                return act()
            except Busy as busy:
                whose = at.balancer or busy.balancer
                if whose and self.wait_for(whose, at.deadline).status == statuses.ERROR:
                    raise Conflict(
                        f"Octavia changes nothing in load balancer {whose}, which is in ERROR.", subject=at.subject,
                        hint=f"openstack loadbalancer failover {whose}",
                    ) from None  # fmt: skip
                if not at.deadline.sleep(next(wait)):
                    said = f"waiting until Octavia takes it ({busy.message})"
                    raise at.deadline.interrupted(at.subject, said) from None

    def wait_for(self, balancer: str, deadline: Deadline) -> ApiObject:
        """The load balancer, as soon as it is not PENDING, or when the deadline passes."""
        answer = self.get("load_balancer", balancer, deadline=deadline)
        return self.wait_until_settled("load_balancer", answer, deadline=deadline)

    def api_object(self, kind: str, obj: Mapping[str, Any]) -> ApiObject:
        """An object in Octavia's form as callers of a client know it."""
        return ApiObject(object=forms.shown(kind, obj), control_plane_id=self.service_id, key=KINDS[kind].KEY)

    def pool_balancer(self, pool: str, deadline: Deadline) -> str | None:
        """The load balancer of a pool."""
        return self._balancer_of("pool", pool, None, deadline)

    def _settled(self, at: Target, answer: ApiObject) -> ApiObject:
        """The object when its load balancer is ACTIVE or in ERROR again, or as it is when the deadline passes."""
        if at.kind not in BALANCER_KINDS:
            return answer
        whose = at.balancer or answer.id
        self.turns.learn(answer.id, whose)
        whole = self.wait_for(whose, at.deadline)
        return (
            whole
            if at.kind == "load_balancer"
            else self.get(at.kind, answer.id, deadline=at.deadline, parent=at.parent)
        )

    def _wait_until_gone(self, at: Target, id: str, progress: Callable[[ApiObject], None] | None) -> None:  # noqa: A002
        if at.balancer and at.kind != "load_balancer":
            self.wait_for(at.balancer, at.deadline)
        wait = pauses()
        while True:
            answer = self.get(at.kind, id, deadline=at.deadline, parent=at.parent)  # NotFound ends it
            if answer.status == "DELETED":
                return
            if answer.status == statuses.ERROR:
                raise TransientError("could not be deleted: Octavia ended it in ERROR", subject=at.subject)
            if progress:
                progress(answer)
            if not at.deadline.sleep(next(wait)):
                raise at.deadline.interrupted(at.subject, "waiting until it is deleted")

    # ── found again ──────────────────────────────────────────────────────────────────────────────────────────────────
    def _made_before(self, at: Target, made: Made) -> dict[str, Any] | None:
        """What an earlier run made, that ended before the engine heard of it. Its name may have been another one."""
        found = self._find(at, made) if made.key else None
        name = made.values.get("name")
        if found is not None and at.kind != "l7_rule" and found.get("name") != name:
            self.put(at, found["id"], {"name": name})
        return found

    def _find(self, at: Target, made: Made) -> dict[str, Any] | None:
        filters = {"tags": made.key} if made.key else {"name": str(made.values.get("name", ""))}
        listed = self.listed(at.kind, deadline=at.deadline, parent=at.parent, filters=filters)
        same = (o for o in listed if made.key or all(o.get(name) == value for name, value in made.values.items()))
        return next((obj for obj in same if obj.get("id") not in made.known), None)

    # ── whose it is ──────────────────────────────────────────────────────────────────────────────────────────────────
    def _one_at_a_time(self, at: Target) -> AbstractContextManager[None]:
        return self.turns.turn(at.balancer, at.deadline, at.subject) if at.balancer else nullcontext()

    def _balancer(self, kind: str, values: Values, parent: str | None, deadline: Deadline) -> str | None:
        """The load balancer of what is about to be made."""
        if kind in ("listener", "pool") and values.get("loadbalancer_id"):
            return str(values["loadbalancer_id"])
        return self._via(kind, values, parent, deadline)

    def _balancer_of(self, kind: str, id: str, parent: str | None, deadline: Deadline) -> str | None:  # noqa: A002
        """The load balancer of an object: itself, one that was seen, or found by asking."""
        if kind == "load_balancer":
            return id
        if kind not in BALANCER_KINDS:
            return None
        found = self.turns.balancer_of(id)
        if found is None:
            obj = {} if parent else self.get(kind, id, deadline=deadline).object
            found = obj.get("loadbalancer_id") or self._via(kind, obj, parent, deadline)
            self.turns.learn(id, found or "")
        return found

    def _via(self, kind: str, values: Values, parent: str | None, deadline: Deadline) -> str | None:
        above, attribute = _ABOVE.get(kind, ("", ""))
        named = parent or values.get(attribute)
        return self._balancer_of(above, str(named), None, deadline) if above and named else None

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def request(
        self, method: str, path: str, *, deadline: Deadline, json: Any = None, params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None, wait: int = 0, subject: str = "", idempotent: bool = True,  # noqa: ARG002
        timeout: float = ANSWER_TIMEOUT,
    ) -> httpx2.Response:  # fmt: skip
        """One request, with the login's token; ``idempotent``: it may be made again when its answer is lost."""
        patience, between = Deadline(min(RETRY_SECONDS, deadline.remaining() or 1.0), deadline.cancelled), pauses()
        renewed, failed = False, 0
        while True:
            tokens = self._login.headers() if self._login else {}
            options = {"json": json, "params": params, "headers": tokens, "timeout": timeout}
            try:
                return self._send(method, path, options, deadline, subject)
            except Unauthenticated:
                if self._login is None:
                    raise Unauthenticated(
                        f"the {self.service} at {self.url} wants a login, and none is configured.", subject=subject,
                        hint="the provider's `cloud` or `authUrl`, or OS_CLOUD",
                    ) from None  # fmt: skip
                if renewed:
                    raise
                self._login.renew()
                renewed = True
            except TransientError as error:
                failed += isinstance(error, ServiceFailed)
                again = (idempotent or isinstance(error, NotSent)) and failed < FAILURES
                if not again or not patience.sleep(max(next(between), min(error.retry_after, LONGEST_PAUSE))):
                    raise

    def _fault(self, response: httpx2.Response, subject: str) -> OctaviaError:
        again = response.headers.get("Retry-After", "")
        return faults.from_response(
            response.status_code,
            json_of(response),
            subject=subject,
            retry_after=float(again) if again.isdigit() else 0.1,
        )

    def _answered_by(self, response: httpx2.Response) -> str:
        """Octavia says what is not found; a proxy, or another service at this address, does not."""
        return self.service_id if response.status_code < 400 or faults.said(json_of(response)) else ""

    def _api_object(self, kind: str, response: httpx2.Response) -> ApiObject:
        return self.api_object(kind, self._part(response, collections.object_key(kind)))

    def _check_version(self, deadline: Deadline, subject: str) -> None:
        if self.version(deadline) < stock.TAGS:
            raise PermanentError(
                f"Octavia's API is version 2.{self.version(deadline)} here, and 2.{stock.TAGS} (of 2019) is the oldest that is driven",
                subject=subject,
                hint=self.remedy,
            )


_ABOVE: Mapping[str, tuple[str, str]] = {
    "pool": ("listener", "listener_id"), "member": ("pool", "pool_id"), "health_monitor": ("pool", "pool_id"),
    "l7_policy": ("listener", "listener_id"), "l7_rule": ("l7_policy", "l7policy_id"),
}  # fmt: skip
"""By which other object an object's load balancer is found."""
