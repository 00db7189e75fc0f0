# SPDX-License-Identifier: Apache-2.0
"""How a command asks a control plane for something that takes a while, waits for it, and tells the events that come meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import NotFound, PermanentError, Unreachable
from octavia_provider.model.naming import means

from .events import line

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

Amphora = Mapping[str, Any]
Owner = tuple[str, str]
"""The kind and the id of what has amphorae."""
GROUP = "GROUP"
POLL_SECONDS = 0.5
PENDING = ("PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE")


class Waiting:
    """Asks again and again, and tells the events that come meanwhile, each once: how often it came is for ``octaviactl events``.

    ``of``: what it is done to, as the user named it. ``quiet``: tells nothing.
    """

    def __init__(self, client: Client, owner: Owner | None, seconds: float, *, quiet: bool, of: str = "") -> None:
        from octavia_provider.client import events

        self._of, self._seen = of, set[int]()

        self._client, self._quiet, self._seconds = client, quiet, seconds
        self._filter = [owner] if owner and owner[0] == "load_balancer" else []
        self._told = events.newest(client)
        self._events = events

    def until(self, done: Callable[[], bool], otherwise: str) -> float:
        """Seconds that it took; an error where it takes too long."""
        began = time.monotonic()
        with self.named():
            while not done():
                self._tell()
                if time.monotonic() - began > self._seconds:
                    raise PermanentError(
                        f"{otherwise} after {self._seconds:g} s; it goes on",
                        subject="the wait",
                        hint="octaviactl events",
                    )
                time.sleep(POLL_SECONDS)
            self._tell()
        return time.monotonic() - began

    def put(self, path: str) -> None:
        """Ask for something."""
        try:
            put(self._client, path)
        except NotFound:
            raise self._gone() from None

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """What ends the wait is said of what the user named; what was asked for is in the store, and goes on."""
        from octavia_provider.client.embedded import DoesNotRun

        try:
            yield
        except KeyboardInterrupt:
            console.echo(f"{self._of}: what was begun goes on. Try: octaviactl events --follow", err=True)
            raise
        except NotFound:
            raise self._gone() from None
        except (Unreachable, DoesNotRun) as error:
            message = f"{error.message.removesuffix('.')}; what was begun goes on as soon as a control plane runs"
            hint = (error.hint if isinstance(error, DoesNotRun) else "") or "octaviactl start"
            raise Unreachable(message, subject=error.subject, hint=hint) from None

    def _gone(self) -> NotFound:
        return NotFound("it is gone, or being deleted", subject=self._of, hint="octaviactl events")

    def say(self, words: str) -> None:
        """A line of progress."""
        if not self._quiet:
            console.echo(words)

    def _tell(self) -> None:
        if self._quiet:
            return
        for event in self._events.latest(self._client, self._filter, 20):
            if event["sequence"] <= self._told:
                continue
            if event["id"] not in self._seen:
                console.echo(*line(event))
            self._seen.add(event["id"])
            self._told = event["sequence"]


def deadline() -> Any:
    """Of one call."""
    from octavia_provider.client.deadline import Deadline

    return Deadline(120.0)


def put(client: Client, path: str) -> None:
    """Ask for something."""
    client.request("PUT", path, deadline=deadline())


def is_pending(client: Client, owner: Owner) -> bool:
    """Whether something is still being done to it."""
    kind, id_ = owner
    return client.get(kind, id_, deadline=deadline()).object["provisioning_status"] in PENDING


def owner_of(amphora: Amphora) -> Owner:
    """Whose it is."""
    if amphora["role"] == GROUP:
        return "amphora_group", amphora["amphora_group_id"]
    return "load_balancer", amphora["loadbalancer_id"]


def list_amphorae(client: Client, owner: Owner | None = None) -> list[Amphora]:
    """All, or those of one owner; of a group its hosts."""
    of = {"load_balancer": "loadbalancer_id", "amphora_group": "amphora_group_id"}
    role = {"role": GROUP} if owner and owner[0] == "amphora_group" else {}
    query = f"?{urlencode({of[owner[0]]: owner[1], **role})}" if owner else ""
    return list(client.request("GET", f"/v2/octavia/amphorae{query}", deadline=deadline()).json()["amphorae"])


def find_amphora(client: Client, word: str) -> Amphora:
    """By its id, or the first digits of it."""
    _require_word(word, "amphora")
    found = [one for one in list_amphorae(client) if one["id"].startswith(word)]
    if len(found) > 1:
        raise click.BadParameter(f"{word!r} are the first digits of {len(found)} amphorae", param_hint="amphora")
    if not found:
        raise NotFound(f"there is no amphora {word}.", hint="octaviactl status")
    return found[0]


def find_balancer(client: Client, word: str) -> Mapping[str, Any]:
    """By its name, its id, or the first digits of it."""
    _require_word(word, "load balancer")
    found = [one for one in list_balancers(client) if means(word, one["id"], one["name"])]
    if len(found) > 1:
        raise click.BadParameter(f"{word!r} is the name of {len(found)} load balancers", param_hint="load balancer")
    if not found:
        raise NotFound(f"there is no load balancer {word}.", hint=_group_hint(client, word))
    return found[0]


def _group_hint(client: Client, word: str) -> str:
    for group in client.list("amphora_group", deadline=deadline()):
        if means(word, group["id"], group["name"]):
            hosts = [one["id"] for one in list_amphorae(client, ("amphora_group", group["id"]))]
            return f"octaviactl status; {word} is an amphora group, whose amphorae ({', '.join(hosts) or 'none yet'}) are failed over by --amphora"
    return "octaviactl status"


def _require_word(word: str, what: str) -> None:
    if not word:
        raise click.BadParameter("is empty; octaviactl status shows names and ids", param_hint=what)


def balancer_ids(client: Client) -> list[str]:
    """The ids of all load balancers."""
    return [one["id"] for one in list_balancers(client)]


def list_balancers(client: Client) -> Iterator[Mapping[str, Any]]:
    """All load balancers."""
    from octavia_provider.client.deadline import Deadline

    yield from client.list("load_balancer", deadline=Deadline(120.0))
