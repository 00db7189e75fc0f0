# SPDX-License-Identifier: Apache-2.0
"""HTTP members for tests: ``members.py PORT…``. Each answers ``/`` with its port.

``/login`` sets the cookie ``SID`` to what the query says in hexadecimal digits. ``/hold`` sends half an answer, and the rest when somebody asks the same port for ``/release``. ``stop PORT`` and
``start PORT`` on the standard input take a member away and bring it back; each is answered with a line.
"""

from __future__ import annotations

import asyncio
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Member: %d\r\n\r\n"


class Member:
    def __init__(self, port: int) -> None:
        self.port = port
        self.server: asyncio.Server | None = None
        self.released = asyncio.Event()
        self.open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self.server:
            self.server.close()
        for writer in list(self.open):
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                path = request.split()[1]
                body = str(self.port).encode()
                if path == b"/hold":
                    # Closed afterwards: haproxy keeps a server with idle connections for its pool-purge-delay, 5 s.
                    writer.write(
                        HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % (len(body) * 2, self.port)
                    )
                    writer.write(body)
                    await self.released.wait()
                    writer.write(body)
                else:
                    if path == b"/release":
                        self.released.set()
                    path, _, value = path.partition(b"?")
                    cookie = b"Set-Cookie: SID=" + bytes.fromhex(value.decode()) + b"\r\n" if path == b"/login" else b""
                    writer.write((HEAD % (len(body), self.port)).replace(b"X-Member", cookie + b"X-Member") + body)
                await writer.drain()
                if b"Connection: close" in request:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


async def main() -> None:
    members = {port: Member(port) for port in map(int, sys.argv[1:])}
    for member in members.values():
        await member.start()
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        verb, port = line.decode().split()
        await getattr(members[int(port)], verb)()
        print("done", flush=True)


asyncio.run(main())
