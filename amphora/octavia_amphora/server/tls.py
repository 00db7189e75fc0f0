# SPDX-License-Identifier: Apache-2.0
"""TLS of the agent's API: our own certificate and its renewal, and who may call."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octavia_amphora.apply.disk import remove, write
from octavia_amphora.apply.errors import PushRefused
from octavia_amphora.wire.messages import AgentConfig, Refusal

HANDSHAKE_TURNS = 8
"""A handshake in memory is over after fewer."""


class ServerTls:
    """What the agent listens with: ``context``, whose certificate is replaced while it is in use."""

    def __init__(self, settings: AgentConfig) -> None:
        self._settings = settings
        self.context = self._current = self._made()
        self.context.sni_callback = self._choose

    def _made(self) -> ssl.SSLContext:
        made = _server(Path(self._settings.certificate), Path(self._settings.key))
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(self._settings.authority)
        return made

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        """A context that listens cannot forget an authority: each handshake goes on with the one of now."""
        connection.context = self._current

    @property
    def renewable(self) -> bool:
        """Whether key and certificate are one file: two could not be replaced at once."""
        return self._settings.certificate == self._settings.key

    def renew(self, pem: str) -> None:
        """Show this certificate from the next handshake on; connections that are open go on. ``PushRefused`` when the control
        plane would not believe it: then nobody could reach the agent any more."""
        path = Path(self._settings.certificate)
        candidate = path.with_name(f"{path.name}.new")
        write(candidate, pem.encode())
        try:
            _prove(candidate, Path(self._settings.authority), self._settings.amphora_id)
            candidate.replace(path)
        finally:
            remove(candidate)
        for context in {self.context, self._current}:
            context.load_cert_chain(path)

    @property
    def can_trust_others(self) -> bool:
        """Whether the file of the authorities is where we may write."""
        return os.access(Path(self._settings.authority).parent, os.W_OK)

    def trust(self, pem: str) -> None:
        """Believe these authorities and no other from the next handshake on; ``PushRefused`` where they are none."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)
        except (ssl.SSLError, ValueError) as error:
            raise PushRefused(Refusal("refused", f"these are no certificates: {error}")) from error
        write(Path(self._settings.authority), pem.encode(), durable=True)
        self._current = self._made()


def _server(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer; a client certificate of our authority, made for clients, is required by who listens with it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(certificate, key)
    return made


def _prove(pair: Path, authority: Path, name: str) -> None:
    """A handshake in memory with a client that checks as the control plane does."""
    try:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(authority)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        asking = client.wrap_bio(to_client, to_server, server_hostname=name)
        showing = _server(pair, pair).wrap_bio(to_server, to_client, server_side=True)
        for _ in range(HANDSHAKE_TURNS):
            for side in (asking, showing):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        asking.do_handshake()  # raises where it is not over
    except (ssl.SSLError, ValueError) as error:
        raise PushRefused(Refusal("refused", f"this certificate would not be believed: {error}")) from error


def is_controller(certificate: Mapping[str, Any] | None, controller: str) -> bool:
    """Whether a verified certificate (``ssl.SSLSocket.getpeercert``) carries the control plane's URI name (RFC 5280)."""
    names = (certificate or {}).get("subjectAltName", ())
    return ("URI", controller) in names
