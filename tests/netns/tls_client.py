# SPDX-License-Identifier: Apache-2.0
"""A TLS client that tells what was negotiated."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from pem import Pair

from .installation import until


@dataclass(frozen=True)
class Seen:
    """One request and its answer."""

    status: int
    headers: dict[str, str]
    body: str
    version: str | None
    cipher: str
    alpn: str | None
    serial: str
    common_name: str
    resumed: bool = False
    session: Any = field(default=None, repr=False)

    @property
    def said(self) -> Any:
        """What the member said."""
        return json.loads(self.body)


def context(
    *, trust: Pair | None = None, client: Pair | None = None, alpn: Sequence[str] = ("http/1.1",),
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, ciphers: str = "",
) -> ssl.SSLContext:  # fmt: skip
    """A client's context; ``trust`` verifies the server and its name."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version, made.maximum_version = oldest, newest
    if trust is None:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    else:
        made.load_verify_locations(cadata=trust.pem)
    if client is not None:
        with tempfile.NamedTemporaryFile("w") as pair:
            pair.write(client.pem + client.key_pem)
            pair.flush()
            made.load_cert_chain(pair.name)
    if ciphers:
        made.set_ciphers(ciphers)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def ask(
    url: str,
    name: str | None = "a.test",
    *,
    using: ssl.SSLContext | None = None,
    session: Any = None,
    path: str = "/",
    **options: Any,
) -> Seen:
    """One request on a connection of its own; ``ssl.SSLError`` or ``OSError`` where it comes to nothing."""
    parts = urlsplit(url)
    made = using or context(**options)
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=10) as plain,
        made.wrap_socket(plain, server_hostname=name, session=session) as link,
    ):
        if link.version() is None:  # closed before the handshake began, which wrap_socket takes for "not connected yet"
            raise ConnectionResetError("closed before the handshake")
        served = x509.load_der_x509_certificate(link.getpeercert(binary_form=True) or b"")
        version, cipher, alpn = link.version(), (link.cipher() or ("",))[0], link.selected_alpn_protocol()
        answer = b"HTTP/2 0"  # where HTTP/2 is agreed upon, curl goes on from here
        if alpn != "h2":
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: {name or 'x'}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := link.recv(65536):
                answer += data
        if not answer:
            raise ConnectionResetError("closed without an answer")
        head, _, body = answer.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        return Seen(
            status=int(first.split()[1]),
            headers={k.lower(): v for k, _, v in (line.partition(": ") for line in lines)},
            body=body,
            version=version,
            cipher=cipher,
            alpn=alpn,
            serial=f"{served.serial_number:x}",
            common_name=str(served.subject.rfc4514_string()).removeprefix("CN="),
            resumed=bool(link.session_reused),
            session=link.session,
        )


def refused(url: str, name: str | None = "a.test", **options: Any) -> str:
    """Why it comes to nothing; empty when it does not."""
    try:
        ask(url, name, **options)
    except OSError as error:
        return str(error)
    return ""


def curl(url: str, name: str, trust: Pair, *options: str) -> tuple[str, str]:
    """The HTTP version and the body, as curl sees them."""
    parts = urlsplit(url)
    with tempfile.TemporaryDirectory() as folder:
        authority = Path(folder, "ca.pem")
        authority.write_text(trust.pem)
        resolve = f"{name}:{parts.port}:{parts.hostname}"
        command = ["curl", "-sS", "--cacert", str(authority), "--resolve", resolve, "-w", "\n%{http_version}", *options]
        done = subprocess.run(
            [*command, f"https://{name}:{parts.port}/"], capture_output=True, text=True, timeout=20, check=False
        )
    assert done.returncode == 0, done.stderr
    body, _, version = done.stdout.rpartition("\n")
    return version, body


@dataclass
class Handshakes:
    """Full handshakes and requests without pause, until it is stopped; ``serials`` are those served, in order."""

    url: str
    trust: Pair
    names: tuple[str, ...] = ("a.test",)
    workers: int = 2
    client: Pair | None = None
    count: int = 0
    serials: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)

    def __enter__(self) -> Handshakes:  # noqa: PYI034
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(self.workers)]
        for thread in self._threads:
            thread.start()
        self.more(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)

    def more(self, count: int = 20) -> None:
        """Wait for so many more."""
        goal = self.count + count
        until(lambda: self.count >= goal or self.failures, what=f"{count} more handshakes")

    def _run(self) -> None:
        using = context(trust=self.trust, client=self.client)
        while not self._stop.is_set():
            for name in self.names:
                try:
                    seen = ask(self.url, name, using=using)
                except OSError as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    continue
                if seen.status != 200:
                    self.failures.append(f"{seen.status} {seen.body[:80]}")
                with contextlib.suppress(ValueError):
                    if seen.serial not in self.serials:
                        self.serials.append(seen.serial)
                self.count += 1
