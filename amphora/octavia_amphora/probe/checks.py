# SPDX-License-Identifier: Apache-2.0
"""One check of one server: returns when the server is well, raises ``Unwell`` (or OSError, TimeoutError) when not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from octavia_amphora.shortage import is_shortage
from octavia_amphora.wire.config import Probe

from . import grpc, icmp
from .errors import ProbeFailed
from .tls import ALPN

READ_LIMIT = 64 * 1024
_HANDSHAKE, _SERVER_HELLO = 0x16, 2  # RFC 8446, sections 5.1 and 4


# Methods that mean content: where there is none, some servers want to be told (RFC 9110, section 8.6).
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
# "It is the proxy itself that asks", in the versions of the PROXY protocol (its specification, sections 2.1 and 2.2)
_PROXY: Mapping[int, bytes] = {
    0: b"",
    1: b"PROXY UNKNOWN\r\n",
    2: b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
}


@contextlib.asynccontextmanager
async def _connection(
    probe: Probe, address: str, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(address, port, limit=READ_LIMIT)
    try:
        writer.write(_PROXY[probe.proxy])
        yield reader, writer
    finally:
        writer.close()


async def tcp(probe: Probe, address: str, port: int) -> None:
    """A connection comes about."""
    async with _connection(probe, address, port):
        return


async def http(probe: Probe, address: str, port: int) -> None:
    """A request is answered with one of the codes."""
    host = probe.host or _authority(address, port, without=80)
    lines = [f"{probe.method} {probe.path} HTTP/{probe.version}", f"Host: {host}", "Connection: close"]
    if probe.method in _WITH_CONTENT:
        lines.append("Content-Length: 0")
    async with _connection(probe, address, port) as (reader, writer):
        writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        words = (await reader.readline()).split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ProbeFailed("the answer is not HTTP")
    code = int(words[1])
    if not any(low <= code <= high for low, high in probe.codes):
        raise ProbeFailed(f"HTTP status {code}")


def _authority(address: str, port: int, *, without: int) -> str:
    """A server as the Host header and ``:authority`` name it (RFC 9110, section 7.2)."""
    host = f"[{address}]" if ":" in address else address
    return host if port == without else f"{host}:{port}"


async def tls_hello(probe: Probe, address: str, port: int) -> None:
    """A ClientHello is answered with a ServerHello: what it speaks is TLS, whatever its certificate."""
    hello = _client_hello()
    async with _connection(probe, address, port) as (reader, writer):
        writer.write(hello)
        try:
            head = await reader.readexactly(6)
        except asyncio.IncompleteReadError as error:
            raise ProbeFailed("it closed the connection at our ClientHello") from error
    if head[0] != _HANDSHAKE or head[5] != _SERVER_HELLO:
        raise ProbeFailed("it did not answer our ClientHello with a ServerHello")


def _client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # whether it is there is asked, not whether it is strong
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    return sent.read()


async def udp_connect(probe: Probe, address: str, port: int) -> None:
    """An empty datagram is sent: "port unreachable" is a no; an answer, or silence, is a yes (as in Octavia)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as probing:
        probing.connect((address, port))
        probing.send(b"")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(probe.timeout * 0.9):  # silence until then, and not our own timeout
                await asyncio.get_running_loop().sock_recv(probing, 1)


async def ping(_: Probe, address: str, port: int) -> None:  # noqa: ARG001 - every check has the same parameters
    """An ICMP echo is answered."""
    await icmp.echo(address)


async def grpc_health(probe: Probe, address: str, port: int, make_context: TlsContextFactory | None) -> None:
    """grpc.health.v1.Health/Check says SERVING, by TLS where ``secured`` makes a context."""
    scheme, default = ("https", 443) if probe.tls else ("http", 80)
    authority = probe.host or _authority(address, port, without=default)
    async with _connection(probe, address, port) as (reader, writer):
        if probe.tls and make_context:
            await writer.start_tls(make_context(), server_hostname=probe.tls.name or None)
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
                raise ProbeFailed("it does not speak HTTP/2 (ALPN)")
        await grpc.check(reader, writer, scheme, authority, probe.service)


TlsContextFactory = Callable[[], ssl.SSLContext]
Check = Callable[[Probe, str, int], Awaitable[None]]
CHECKS: Mapping[str, Check] = {
    "ping": ping, "tcp": tcp, "http": http, "tls-hello": tls_hello, "udp-connect": udp_connect,
}  # fmt: skip


async def check(probe: Probe, address: str, port: int, make_context: TlsContextFactory | None = None) -> str:
    """One check; empty when the server is well, else why not. ``secured`` makes the context where it is by TLS.

    OSError: we could not ask, which says nothing of it.
    """
    try:
        async with asyncio.timeout(probe.timeout):
            if probe.type == "grpc":
                await grpc_health(probe, address, port, make_context)
            else:
                await CHECKS[probe.type](probe, address, port)
    except TimeoutError:
        return f"no answer within {probe.timeout:g} s"
    except OSError as error:
        if is_shortage(error):
            raise
        return error.strerror or str(error) or type(error).__name__
    except (ProbeFailed, ValueError, asyncio.IncompleteReadError) as error:
        return str(error)
    return ""
