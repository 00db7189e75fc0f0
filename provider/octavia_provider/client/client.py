# SPDX-License-Identifier: Apache-2.0
"""The synchronous client of the v2 API (docs/reference/api.md). Thread-safe.

Every call takes a :class:`Deadline`. Requests to a control plane that does not answer are retried until the deadline, at
most ``RETRY_SECONDS``: one that was killed is restarted within a second. Errors are those of ``model.errors``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from octavia_provider.kit import logs, urls
from octavia_provider.model import statuses
from octavia_provider.model.errors import (
    Conflict,
    NotFound,
    OctaviaError,
    TransientError,
    Unreachable,
)
from octavia_provider.model.kinds import KINDS

from . import collections, errors
from .answers import WrongService, json_of, otherness, part
from .deadline import Deadline
from .not_found import NotFoundBy, verify_not_found

if TYPE_CHECKING:
    import ssl

    import httpx2

log = logs.Logger()

RETRY_SECONDS = 20.0
"""Seconds for which requests are retried while the control plane does not answer."""
WAIT_SECONDS = 3
"""Seconds of one ``Prefer: wait``: the delay of a cancellation, and the interval of progress messages."""
OTHERS_RETRY_SECONDS = 60.0
"""The same where there are others to ask: until they have taken over (a lease, and a third of one), with some to spare."""
CONFLICT_SECONDS = 6.0
"""Seconds for which an update waits for another object to release the port, address or name that it needs."""
ANSWER_TIMEOUT = 30.0
"""Seconds for a response, in addition to the ``Prefer: wait``."""
OTHERS_TIMEOUT = 8.0
"""The same where another control plane can be asked: a paused one takes connections and says nothing. More than
``api.pause.WRITE_SECONDS``, after which a control plane does not carry out a write any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """The owner of an object: the uuid of the Pulumi provider resource, and the URN. ``known`` are the ids that the engine
    has sent, for any URN."""

    provider: str
    urn: str
    known: Sequence[str] = ()

    def body(self) -> dict[str, Any]:
        """For the body of a POST."""
        return {"provider": self.provider, "urn": self.urn, "known": list(self.known)}

    def header(self) -> dict[str, str]:
        """For the headers of a GET or PUT; the URN is percent-encoded, since resource names may be in any script."""
        return {"X-Octavia-Owner": f"{self.provider} {quote(self.urn, safe=':/$')}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiObject:
    """One object as the API returns it."""

    object: dict[str, Any]
    control_plane_id: str = ""
    key: str = "id"
    adopted: bool = False

    @property
    def id(self) -> str:
        """The object's id, or its key in the URL (the name of an availability zone, the project of a quota)."""
        return str(self.object[self.key] if self.object.get("id") is None else self.object["id"])

    @property
    def status(self) -> str:
        """Its provisioning status."""
        return str(self.object.get("provisioning_status") or statuses.ACTIVE)

    @property
    def settled(self) -> bool:
        """Whether its last write has an outcome."""
        return self.status not in statuses.PENDING


class Client:
    """A connection to a control plane, or to one of several that share their state: where one fails, the next is asked.

    ``url`` is its URL, or several separated by commas, ignored with ``start``: ``start(deadline)`` makes sure that the
    embedded control plane runs and returns the path of its Unix socket. It is called before the first request and after a
    connection failure. ``several``: it returns that of another one then.
    """

    dates_quotas = True
    """Whether a quota that somebody has set is shown with the time of it, and the default without."""
    service = "control plane"
    """What is asked, for people."""
    remedy = "check the provider's endpoint, and that the control plane runs"
    """What to do where it does not answer, or something else does."""

    def __init__(
        self, url: str = "http://octavia", *, start: Callable[[Deadline], Path] | None = None, several: bool = False
    ) -> None:
        self._urls = urls.endpoints(url)
        self._turn = 0
        self._start = start
        self._several = several or len(self._urls) > 1
        self._lock = threading.Lock()
        self._http: httpx2.Client | None = None

    @property
    def url(self) -> str:
        """Of the control plane that is asked next."""
        return self._urls[self._turn % len(self._urls)]

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._http is not None:
                self._http.close()
                self._http = None

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def get(
        self, kind: str, id: str, *, deadline: Deadline, parent: str | None = None,  # noqa: A002
        owner: Ownership | None = None, made_by: str = "", wait: int = 0,
    ) -> ApiObject:  # fmt: skip
        """One object; ``NotFound`` only when the control plane ``made_by`` says so (see :class:`verify_not_found`)."""
        headers = owner.header() if owner else {}
        path = collections.item(kind, id, parent)
        with verify_not_found(kind, id, made_by):
            response = self.request("GET", path, deadline=deadline, headers=headers, wait=wait, subject=f"{kind} {id}")
        return self._api_object(kind, response)

    def list(
        self, kind: str, *, deadline: Deadline, parent: str | None = None, filters: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All objects of a kind that match, page by page."""
        params = dict(filters or {})
        while True:
            response = self.request("GET", collections.collection(kind, parent), deadline=deadline, params=params)
            found = self._part(response, collections.list_key(kind))
            yield from found
            links = response.json().get(f"{collections.list_key(kind)}_links") or ()
            if not found or not any(link.get("rel") == "next" for link in links):
                return
            params["marker"] = found[-1]["id"]

    def create(
        self, kind: str, values: Mapping[str, Any], *, deadline: Deadline, parent: str | None = None,
        owner: Ownership | None = None, subject: str = "",
    ) -> ApiObject:  # fmt: skip
        """POST, waiting up to ``WAIT_SECONDS`` for it to settle; idempotent with an owner."""
        body: dict[str, Any] = {collections.object_key(kind): dict(values)}
        if owner:
            body["owner"] = owner.body()
        response = self.request(
            "POST", collections.collection(kind, parent), deadline=deadline, json=body, wait=_wait_seconds(deadline),
            subject=subject or kind, idempotent=owner is not None,
        )  # fmt: skip
        return self._api_object(kind, response)

    def update(
        self, kind: str, id: str, values: Mapping[str, Any], *, deadline: Deadline,  # noqa: A002
        parent: str | None = None, owner: Ownership | None = None, made_by: str = "", subject: str = "",
    ) -> ApiObject:  # fmt: skip
        """PUT the given attributes (null resets one to its default), waiting up to ``WAIT_SECONDS`` for it to settle.

        Retried while another object holds a unique value (``Conflict`` with a path): that object may be changing too.
        """
        path = collections.item(kind, id, parent)
        conflict_deadline = Deadline(min(CONFLICT_SECONDS, deadline.remaining()), deadline.cancelled)
        while True:
            try:
                with verify_not_found(kind, id, made_by):
                    response = self.request(
                        "PUT", path, deadline=deadline, json={collections.object_key(kind): dict(values)},
                        wait=_wait_seconds(deadline), headers=owner.header() if owner else {},
                        subject=subject or f"{kind} {id}",
                    )  # fmt: skip
            except Conflict as error:
                if not error.path or not conflict_deadline.sleep(0.2):
                    raise
            else:
                return self._api_object(kind, response)

    def delete(
        self, kind: str, id: str, *, deadline: Deadline, parent: str | None = None, made_by: str = "",  # noqa: A002
        subject: str = "", progress: Callable[[ApiObject], None] | None = None,
    ) -> None:  # fmt: skip
        """DELETE, and wait until it is gone; no error when it does not exist (verified as in ``get``)."""
        path = collections.item(kind, id, parent)
        subject = subject or f"{kind} {id}"
        try:
            with verify_not_found(kind, id, made_by):
                response = self.request(
                    "DELETE", path, deadline=deadline, wait=_wait_seconds(deadline), subject=subject
                )
            while response.status_code == 202:
                if deadline.passed():
                    raise deadline.interrupted(subject, "waiting until it is deleted")
                answer = self.get(
                    kind, id, deadline=deadline, parent=parent, made_by=made_by, wait=_wait_seconds(deadline)
                )
                if answer.status == statuses.ERROR:
                    reason = answer.object.get("provisioning_error") or "it ended in ERROR"
                    raise TransientError(f"could not be deleted: {reason}", subject=subject)
                if progress:
                    progress(answer)
        except NotFound:
            return

    def wait_until_settled(
        self, kind: str, answer: ApiObject, *, deadline: Deadline, parent: str | None = None,
        progress: Callable[[ApiObject], None] | None = None,
    ) -> ApiObject:  # fmt: skip
        """Wait until the object has settled or the deadline has passed; return its last state."""
        while not answer.settled and not deadline.passed():
            if progress:
                progress(answer)
            answer = self.get(
                kind, answer.id, deadline=deadline, parent=parent, made_by=answer.control_plane_id,
                wait=_wait_seconds(deadline),
            )  # fmt: skip
        return answer

    def as_given(
        self, kind: str, obj: Mapping[str, Any], given: Collection[str], before: Mapping[str, Any]  # noqa: ARG002
    ) -> Mapping[str, Any]:  # fmt: skip
        """The object without what the service filled in where no input was given; this API shows nothing of that sort."""
        return obj

    def position_as_asked(self, policy: Mapping[str, Any], *, deadline: Deadline) -> int | None:  # noqa: ARG002
        """The position that an L7 policy was asked to have, else its position. (This API keeps the order that was asked for.)"""
        return policy.get("asked_position") or policy.get("position")

    def control_plane(self, *, deadline: Deadline) -> dict[str, Any]:
        """Facts about the control plane: id, version, schema, pid, …"""
        return dict(self._part(self.request("GET", "/v2/octavia/control-plane", deadline=deadline), "control_plane"))

    def confirm(self, provider: str, ids: Sequence[str], *, seconds: float) -> None:
        """Mark objects as saved in the engine's state, so that they do not count as leftovers. Bounded by ``seconds``."""
        body = {"provider": provider, "ids": list(ids)}
        deadline = Deadline(seconds / 2)
        self.request(
            "POST", "/v2/octavia/confirm", deadline=deadline, json=body, idempotent=False, timeout=seconds / 2,
            subject="control plane",
        )  # fmt: skip

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def request(
        self, method: str, path: str, *, deadline: Deadline, json: Any = None, params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None, wait: int = 0, subject: str = "", idempotent: bool = True,
        timeout: float = ANSWER_TIMEOUT,
    ) -> httpx2.Response:  # fmt: skip
        """One request; statuses of 400 and above are raised. ``idempotent``: it may be retried."""
        all_headers = {
            "X-Octavia-Form": "model",
            **(headers or {}),
        }  # values as they were set, in the model's types (docs/reference/api.md)
        if self._several and idempotent:
            timeout = min(timeout, OTHERS_TIMEOUT)
        options: dict[str, Any] = {"json": json, "params": params, "headers": all_headers, "timeout": timeout + wait}
        if wait:
            options["headers"]["Prefer"] = f"wait={wait}"  # RFC 7240, section 4.3
        seconds = OTHERS_RETRY_SECONDS if self._several else RETRY_SECONDS
        retry_deadline = Deadline(min(seconds, deadline.remaining() or 1.0), deadline.cancelled)
        while True:
            try:
                return self._send(method, path, options, deadline, subject)
            except TransientError as error:
                if not (idempotent or isinstance(error, NotSent)) or not retry_deadline.sleep(
                    min(error.retry_after, 5.0)
                ):
                    raise
                log.debug("trying again", method=method, path=path, error=str(error))

    def stream(self, path: str, *, deadline: Deadline, headers: Mapping[str, str], timeout: float) -> httpx2.Response:
        """A GET whose answer comes bit by bit, ``timeout`` seconds apart at most; the caller reads and closes it."""
        return self._send("GET", path, {"headers": headers, "timeout": timeout}, deadline, "control plane", stream=True)

    def _send(
        self, method: str, path: str, options: Mapping[str, Any], deadline: Deadline, subject: str, *,
        stream: bool = False,
    ) -> httpx2.Response:  # fmt: skip
        import httpx2

        http = self._connect(deadline)
        try:
            response = http.send(http.build_request(method, path, **options), stream=stream)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "closed" not in str(error):
                raise
            failure = self._unreachable(NotSent, str(error), subject)
            self._drop_connection(http)
            raise failure from error
        except httpx2.TransportError as error:
            if self._several:
                failure = self._unreachable(Unreachable, str(error) or type(error).__name__, subject)
                self._drop_connection(http)
                raise failure from error
            raise self._unreachable(Unreachable, str(error) or type(error).__name__, subject) from error
        if response.status_code < 400:
            if not stream and (why := otherness(response)):
                raise self._foreign(why)
            return response
        response.read()
        fault = self._fault(response, subject)
        if self._several and isinstance(fault, TransientError):  # it may be cut off from what they share
            self._drop_connection(http)
        if isinstance(fault, NotFound):
            raise NotFoundBy(fault, self._answered_by(response))
        raise fault

    def _fault(self, response: httpx2.Response, subject: str) -> OctaviaError:
        return errors.from_response(
            response.status_code, json_of(response), subject=subject, retry_after=response.headers.get("Retry-After")
        )

    def _answered_by(self, response: httpx2.Response) -> str:
        """The id of the control plane that answered."""
        return str(response.headers.get("X-Octavia-Control-Plane", ""))

    def _connect(self, deadline: Deadline) -> httpx2.Client:
        with self._lock:
            if self._http is None:
                self._http = self._open(deadline)
            return self._http

    def _open(self, deadline: Deadline) -> httpx2.Client:
        import httpx2

        uds = urls.socket_path(self.url) if self._start is None else str(self._start(deadline))
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
        transport = httpx2.HTTPTransport(uds=uds, limits=limits, verify=self._verify())
        base = self.url if uds is None else "http://octavia"
        # proxies from the environment do not apply to a Unix socket
        return httpx2.Client(base_url=base, transport=transport, trust_env=uds is None)

    def _verify(self) -> bool | ssl.SSLContext:
        return self.url.startswith("https:")  # without TLS no certificates are loaded

    def _drop_connection(self, http: httpx2.Client) -> None:
        """Make the next request reconnect: to the next control plane, or to the embedded one, which is started if it is gone."""
        with self._lock:
            if self._http is http and (self._start is not None or self._several):
                self._http = None
                self._turn += 1

    def _unreachable(self, error: type[Unreachable], reason: str, subject: str) -> Unreachable:
        where = "the embedded control plane" if self._start else f"the {self.service} at {self.url}"
        hint = "octaviactl doctor" if self._start else self.remedy
        return error(f"{where} does not answer ({reason}).", subject=subject, hint=hint, retry_after=0.2)

    def _foreign(self, why: str) -> WrongService:
        return WrongService(f"what answers at {self.url} is no {self.service} ({why}).", hint=self.remedy)

    def _part(self, response: httpx2.Response, key: str) -> Any:
        """What an answer has under ``key``; :class:`WrongService` where it is that of another service."""
        found = part(response, key)
        if found is None:
            raise self._foreign(f"an answer without {key!r}")
        return found

    def _api_object(self, kind: str, response: httpx2.Response) -> ApiObject:
        return ApiObject(
            object=self._part(response, collections.object_key(kind)),
            control_plane_id=self._answered_by(response),
            adopted=response.headers.get("X-Octavia-Adopted") == "true",
            key=KINDS[kind].KEY,
        )


class NotSent(Unreachable):
    """The connection failed: the request was not sent, so any request may be retried."""


def _wait_seconds(deadline: Deadline) -> int:
    """Whole seconds (RFC 7240) of the next wait."""
    return max(1, min(WAIT_SECONDS, int(deadline.remaining())))
