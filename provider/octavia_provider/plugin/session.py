# SPDX-License-Identifier: Apache-2.0
"""The state of one plugin process: configuration, clients, and the ids that the engine has sent."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from octavia_provider.client import keystone
from octavia_provider.client.client import Client, Ownership
from octavia_provider.client.deadline import Deadline
from octavia_provider.kit import logs
from octavia_provider.model.effects import TOLD, Effect, Severity
from octavia_provider.model.errors import PermanentError
from octavia_provider.pulumirpc import struct

from . import config, language
from .engine_log import Reporter
from .handler import CallContext
from .inputs import Failure

log = logs.Logger()

DEFAULT_TIMEOUT = 300.0
"""Seconds for a create, read, update or delete without a custom timeout."""
CONFIRM_SECONDS = 2.0
"""Seconds for the confirm request at the end of a run."""


class ProviderSession:
    """Shared by all calls of one process; safe to use from many threads."""

    def __init__(self) -> None:
        self.reporter = Reporter()
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._configured = False
        self._config: Mapping[str, Any] = {}
        self._provider = ""
        self._clients: dict[bool, Client] = {}
        self._ids_by_urn: dict[str, set[str]] = {}
        self._created_ids: set[str] = set()
        self._confirmed: set[str] = set()
        self._checked: set[str] = set()
        self._effects_reported: set[str] = set()
        self._engine_reports = bool(os.environ.get(TOLD))  # the embedded engine reports effects and failures itself
        self._warned: set[tuple[str, str]] = set()

    def configure(self, settings: Mapping[str, Any], provider: str) -> None:
        """Store the configuration and the uuid of the provider resource ("" when it has none yet)."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
            self._confirmed = set()
            self._configured, self._config = True, settings
            self._provider = "" if provider in struct.UNKNOWNS else provider
            if config.signs_in(settings):
                keystone.prepare()
        for client in clients:
            client.close()

    def close(self) -> None:
        """Close all connections."""
        self.configure({}, "")
        self.reporter.close()

    def client(self, *, start: bool = True) -> Client:
        """The client of the configured control plane; ``start``: it may start the embedded one."""
        with self._lock:
            if not self._configured:
                raise PermanentError("Configure was not called before the first resource.", subject="provider")
            start = start or config.drives_octavia(self._config) or config.signs_in(self._config)
            # where nothing is started, there is one client
            if start not in self._clients:
                tell = partial(self.reporter.info, "")
                self._clients[start] = config.connect(self._config, start=start, tell=tell)
            return self._clients[start]

    @property
    def drives_octavia(self) -> bool:
        """Whether the resources are made by an Octavia that somebody else runs."""
        with self._lock:
            return config.drives_octavia(self._config)

    def call(self, urn: str, name: str, timeout: float) -> CallContext:
        """The context of one call to the control plane; ``timeout`` in seconds, 0 for the default."""
        return CallContext(
            urn=urn, name=name or urn.rpartition("::")[2], client=self.client(),
            deadline=Deadline(timeout or DEFAULT_TIMEOUT, self.cancelled), owner=self._owner(urn),
            report=lambda message: self.reporter.status(urn, message),
        )  # fmt: skip

    def record_known_id(self, urn: str, id: str) -> None:  # noqa: A002
        """The engine sent this id for this URN: it is in the state, so it is no leftover of a crash."""
        if id and id not in struct.UNKNOWNS:
            with self._lock:
                self._ids_by_urn.setdefault(urn, set()).add(id.rpartition("/")[2])

    def record_created(self, call: CallContext, id: str) -> None:  # noqa: A002
        """We are about to return this id to the engine, which saves it unless it is killed at this moment."""
        with self._lock:
            self._created_ids.add(id.rpartition("/")[2])
            if call.owner is not None:
                self._confirmed.update(call.owner.known)

    def reset_for_engine(self) -> None:
        """Another engine attached: whether the one before saved our responses is unknown."""
        self.cancelled.clear()
        with self._lock:
            self._created_ids.clear()

    def confirm(self) -> None:
        """The run ended normally, so the engine has saved all ids: tell the control plane that they are no leftovers,
        whatever their URNs become. One short request, and none when nothing was created.
        """
        with self._lock:
            ids = self._created_ids.union(*self._ids_by_urn.values()) - self._confirmed
            provider = self._provider
            if not ids or not provider or not self._clients:
                return
        try:
            self.client(start=False).confirm(provider, sorted(ids), seconds=CONFIRM_SECONDS)
        except Exception as error:  # noqa: BLE001 - the run is over; the next one confirms the ids it sends
            log.debug("not confirmed", error=repr(error))
            return
        with self._lock:
            self._confirmed |= ids

    def record_checked(self, urn: str) -> None:
        """The program registered this resource; a refresh registers none."""
        with self._lock:
            self._checked.add(urn)

    def warn_once(self, urn: str, lines: Iterable[str]) -> None:
        """Log warnings, each once per resource."""
        with self._lock:
            fresh = [line for line in lines if (urn, line) not in self._warned]
            self._warned.update((urn, line) for line in fresh)
        for line in fresh:
            self.reporter.warn(urn, line)

    def warn_failure(self, token: str, message: str) -> None:
        """Log a failed function as a warning: the program may catch it, while an error would fail the run."""
        if not self._engine_reports:
            self.reporter.warn("", language.translate_names(f"{token}: {message}"))

    def report_effects(self, urn: str, found: Sequence[tuple[str, Effect]]) -> None:
        """Log a change's effects on traffic, worst first; once per resource, not for the reversed diffs of a refresh, and
        not when the engine reports them itself.
        """
        with self._lock:
            if not found or self._engine_reports or urn in self._effects_reported or urn not in self._checked:
                return
            self._effects_reported.add(urn)
        for name, effect in found:
            log_line = self.reporter.info
            if effect.severity >= Severity.ENDS:
                log_line = self.reporter.warn
            elif effect.severity == Severity.NONE:
                log_line = self.reporter.debug
            log_line(urn, language.translate_names(f"effect on traffic: {name}: {effect.text}"))

    def warn_ineffective(self, urn: str, notes: Sequence[Failure]) -> None:
        """Warn about inputs that have no effect, each once per resource."""
        self.warn_once(urn, (f"{note.path}: {note.reason}" for note in notes))

    def _owner(self, urn: str) -> Ownership | None:
        with self._lock:
            if not self._provider:
                return None
            others = set().union(*self._ids_by_urn.values()) - self._confirmed  # each is sent once
            return Ownership(
                provider=self._provider, urn=urn, known=sorted(others.union(self._ids_by_urn.get(urn, ())))
            )
