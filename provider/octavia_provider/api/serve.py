# SPDX-License-Identifier: Apache-2.0
"""Serving the application: on a Unix socket that admits its own user alone, on TCP, or on both."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from octavia_provider.model.errors import Conflict, Forbidden, Refused

from .authorization import on_unix_socket
from .context import CONTEXT
from .errors import fault
from .protocol import Runner

log = structlog.get_logger(__name__)
PATH_BYTES = 90  # the kernel allows 107 (unix(7)); temporary names beside it need some
SHUTDOWN_SECONDS = 5.0
BACKLOG = 1024  # a Unix socket has no SYN to repeat: a caller beyond it is turned away (EAGAIN)
# asyncio accepts so many at a time, and where descriptors are short it fails (and complains) so often before it pauses
ACCEPTS = 16
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: SO_PEERCRED, unix(7)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpPort:
    """Where users are served beside the Unix socket; by TLS where there is a certificate (with its chain) and its key."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None

    def tls(self) -> ssl.SSLContext | None:
        """``Refused`` where the certificate cannot be used."""
        if self.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            subject = f"certificate {self.certificate}"
            raise Refused(f"cannot be used: {error}", subject=subject, hint="--tls-certificate, --tls-key") from None
        return context


class Server:
    """A running server; ``close`` lets requests end and removes the socket that it made."""

    def __init__(self, runner: web.AppRunner, path: Path | None = None) -> None:
        self._runner = runner
        self._path = path
        self._inode = path.stat().st_ino if path else 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, where it serves TCP."""
        host, port = next(found for found in self._runner.addresses if not isinstance(found, str))[:2]
        return str(host), int(port)

    async def close(self) -> None:
        """Stop: waits end at once, other requests have ``SHUTDOWN_SECONDS``."""
        await self._runner.cleanup()
        if self._path is None:
            return
        try:
            if self._path.stat().st_ino == self._inode:  # not that of a successor
                self._path.unlink()
        except FileNotFoundError:
            pass


async def serve_unix(app: web.Application, path: Path, *, uid: int | None = None, tcp: TcpPort | None = None) -> Server:
    """Serve on a Unix socket of mode 0600. Only processes of ``uid`` (default: this one's user) and root are answered.

    ``Conflict`` when another process serves there; a socket that a dead one left is replaced. ``tcp``: for users, whom the
    application tells apart.
    """
    if tcp is not None and app[CONTEXT].users is None:
        raise Refused("has no users, and would do everything for everybody", subject=f"{tcp.host}:{tcp.port}")
    tls = await asyncio.to_thread(tcp.tls) if tcp else None
    app.middlewares.insert(0, _own_user(os.geteuid() if uid is None else uid))
    runner = await _runner(app)
    listening = _listen(path)
    try:
        await web.SockSite(runner, listening, backlog=ACCEPTS).start()
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    server = Server(runner, path)
    if tcp is not None:
        try:
            await _start(runner, tcp.host, tcp.port, tls)
        except BaseException:
            await server.close()
            raise
    return server


async def serve_tcp(app: web.Application, host: str, port: int) -> Server:
    """Serve on TCP; port 0 takes a free one. Authenticates nobody: who can reach the port may do everything."""
    runner = await _runner(app)
    try:
        await _start(runner, host, port, None)
    except Refused:
        await runner.cleanup()
        raise
    return Server(runner)


async def _start(runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except OSError as error:
        raise Refused(f"{host}:{port} cannot be listened on: {error.strerror}", hint="choose another port") from None


async def _runner(app: web.Application) -> web.AppRunner:
    runner = Runner(app, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    return runner


def _listen(path: Path) -> socket.socket:
    subject = f"socket {path}"
    if len(os.fsencode(path)) > PATH_BYTES:
        raise Refused(f"the path is longer than {PATH_BYTES} bytes", subject=subject, hint="a shorter OCTAVIA_HOME")
    if _answers(path):
        raise Conflict("another control plane serves there", subject=subject, hint="octaviactl status")
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(os.fspath(fresh))
        fresh.chmod(0o600)  # before anybody can connect: it does not listen yet
        listening.listen(BACKLOG)
        fresh.replace(path)  # never a moment without a socket where there was one
    except OSError as error:
        listening.close()
        fresh.unlink(missing_ok=True)
        raise Refused(f"cannot be made: {error.strerror}", subject=subject, hint="look at its folder") from None
    listening.setblocking(False)
    return listening


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True


def _own_user(uid: int) -> Middleware:
    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not on_unix_socket(request):
            return await handler(request)  # whoever it is shows a token
        peer = _peer_uid(request)
        if peer in (uid, 0):
            return await handler(request)
        log.warning("caller refused", uid=peer, path=request.path)
        error = Forbidden(
            f"this control plane serves the user with uid {uid}, and the caller has uid {peer}",
            hint="run the command as that user, or give your own user an OCTAVIA_HOME of its own",
        )
        return fault(403, str(error))

    return admit


def _peer_uid(request: web.Request) -> int | None:
    """The user at the other end, as the kernel knows it; None when the connection is gone already."""
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])
