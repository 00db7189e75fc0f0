# SPDX-License-Identifier: Apache-2.0
"""A door on TCP for clients that know no Unix sockets: what comes to a loopback address goes on to the control plane.

It admits whom the socket admits, and no other user of the machine: the kernel knows whose the other end of a loopback
connection is (/proc/net/tcp, proc_net_tcp(5)). Web pages are turned away, and so is whoever calls it by a name that is not
its own: a page whose name was made to lead here (DNS rebinding) is of the same origin to its browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from octavia_provider.model.errors import Forbidden, Refused, TransientError

from .errors import explain, fault
from .events import IDLE_SECONDS, STREAM
from .requests import DECODED, MANY, MAX_WAIT

_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "TE", "Trailer", "Content-Length", "Expect")
_ESTABLISHED = "01"  # the only state in which a socket has an owner for certain: one that was closed is shown as root's
_PATIENCE = 30.0  # beyond what a request may wait
_LASTING = aiohttp.ClientTimeout(total=None, sock_read=4 * IDLE_SECONDS)
_OWN_NAMES = "it answers to localhost and its address, with its port; octaviactl listen --name adds others"
_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:(?P<port>[0-9]{1,5}))?", re.ASCII)
_SELF = ("localhost", "127.0.0.1", "::1")
_TYPED = "none"  # Sec-Fetch-Site of an address that somebody typed (Fetch Metadata, section 2.4)


def loopback(host: str) -> str:
    """The address that a host names; ``Refused`` where others than this machine could reach it."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise Refused(f"{host!r} is no address", hint="127.0.0.1:9876, for one") from None
    if not address.is_loopback:
        hint = "a loopback address here, and `ssh -L` from other machines"
        raise Refused(f"{host} can be reached from elsewhere, and the API asks nobody who they are", hint=hint)
    return str(address)


def create_door(find: Callable[[], Path], names: Iterable[str] = ()) -> web.Application:
    """An application that hands requests on. ``find`` (called in a thread) answers the path of the control plane's socket.

    ``names``: by what else it may be called (``name`` or ``name:port``), beside ``localhost`` and its own address.
    """
    called = frozenset(map(_name, names))
    app = web.Application(client_max_size=MANY)
    session: web.AppKey[aiohttp.ClientSession] = web.AppKey("session", aiohttp.ClientSession)
    streams: set[aiohttp.ClientResponse] = set()

    async def connected(app: web.Application) -> AsyncIterator[None]:
        path = await asyncio.to_thread(find)
        connector = aiohttp.UnixConnector(path=str(path), limit=0)
        timeout = aiohttp.ClientTimeout(total=MAX_WAIT + _PATIENCE)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as made:
            app[session] = made
            yield

    async def end_streams(_app: web.Application) -> None:
        for stream in [*streams]:
            stream.close()

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if not _is_called(request, called):
                return fault(421, f"this API is not called {request.headers.get('Host', '')!r}: {_OWN_NAMES}")
            _refuse_web_pages(request)
            await asyncio.to_thread(_admit, request)
            return await _handed_on(request, request.app[session], find, streams)
        except Exception as error:  # noqa: BLE001 - no traceback reaches a user
            return explain(error, request)

    app.cleanup_ctx.append(connected)
    app.on_shutdown.append(end_streams)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


async def _handed_on(
    request: web.Request, session: aiohttp.ClientSession, find: Callable[[], Path],
    streams: set[aiohttp.ClientResponse],
) -> web.StreamResponse:  # fmt: skip
    url = URL(f"http://{request.host}{request.rel_url.raw_path_qs}", encoded=True)
    headers = _passed(request.headers)
    body = await request.read()
    timeout = _LASTING if STREAM in headers.get("Accept", "") else None
    if headers.get("Content-Encoding", "").strip().lower() in DECODED:
        del headers["Content-Encoding"]  # it was decoded here
    for again in (True, False):
        try:
            async with session.request(
                request.method,
                url,
                headers=headers,
                data=body or None,
                allow_redirects=False,
                timeout=timeout or session.timeout,
            ) as there:
                if there.content_type == STREAM:
                    streams.add(there)
                    try:
                        return await _streamed(request, there)
                    finally:
                        streams.discard(there)
                return web.Response(status=there.status, headers=_passed(there.headers), body=await there.read())
        except aiohttp.ClientConnectorError:
            if not again:
                break
            await asyncio.to_thread(find)  # it ended, as it does when there is nothing to serve: start it
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError(f"the control plane did not answer: {error or type(error).__name__}") from None
    raise TransientError("the control plane does not run", hint="octaviactl logs")


async def _streamed(request: web.Request, there: aiohttp.ClientResponse) -> web.StreamResponse:
    """What comes bit by bit is handed on as it comes, until one of both ends."""
    response = web.StreamResponse(status=there.status, headers=_passed(there.headers))
    await response.prepare(request)
    with contextlib.suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
        async for some in there.content.iter_any():
            await response.write(some)
        await response.write_eof()
    return response


def _passed(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    passed = CIMultiDict(headers)
    for name in _HOP:
        passed.popall(name, None)
    return passed


def _name(text: str) -> tuple[str, int | None]:
    """A name and its port, in one spelling; ``ValueError`` where it is none. None: no port is said."""
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        raise ValueError(f"{text!r} is no name")
    return found["name"].strip("[]").rstrip("."), int(found["port"]) if found["port"] else None


def check_name(text: str) -> str:
    """A name by which it may be called; ``Refused`` where it is none."""
    try:
        _name(text)
    except ValueError:
        raise Refused(f"{text!r} is no name", hint="api.example or api.example:9876, for one") from None
    return text


def _is_called(request: web.Request, others: frozenset[tuple[str, int | None]]) -> bool:
    """Whether the request names one of its own names, with its port or none; and in its target no other one."""
    hosts = request.headers.getall("Host", [])
    if request.transport is None or len(hosts) != 1:
        return False
    own, own_port = request.transport.get_extra_info("sockname")[:2]
    named = {(name, port) for name in (*_SELF, own) for port in (None, own_port)}
    named |= others | {(name, own_port) for name, port in others if port is None}
    try:
        target = urlsplit(request.raw_path).netloc if "://" in request.raw_path else ""  # RFC 9112, section 3.2.2
        return all(_name(name) in named for name in (*hosts, target or hosts[0]))
    except ValueError:
        return False


def _refuse_web_pages(request: web.Request) -> None:
    """What a browser sends for a page says so: Origin with what writes, Sec-Fetch-Site with everything."""
    if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", _TYPED) != _TYPED:
        raise Forbidden("this API is not for web pages")


def _admit(request: web.Request) -> None:
    if request.transport is None:
        raise Forbidden("the caller is gone")
    peer, own = request.transport.get_extra_info("peername"), request.transport.get_extra_info("sockname")
    uid = _owner(peer[:2], own[:2])
    if uid not in (os.geteuid(), 0):
        who = "a caller whose user is not known" if uid is None else f"the caller has uid {uid}"
        raise Forbidden(f"this control plane serves the user with uid {os.geteuid()}, and {who}")


def _owner(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The user whose socket is connected from ``local`` to ``remote``, both of this machine."""
    for table, mapped in (("tcp", False), ("tcp6", False), ("tcp6", True)):
        wanted = [_spelled(local, mapped=mapped), _spelled(remote, mapped=mapped), _ESTABLISHED]
        with Path(f"/proc/net/{table}").open(encoding="ascii") as lines:
            for line in lines:
                fields = line.split()
                if fields[1:4] == wanted:
                    return int(fields[7])
    return None


def _spelled(end: tuple[str, int], *, mapped: bool) -> str:
    """An address and a port as the kernel writes them: 32-bit words in the machine's own order."""
    host, port = end
    packed = ipaddress.ip_address(f"::ffff:{host}" if mapped and ":" not in host else host).packed
    words = (packed[i : i + 4] for i in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"
