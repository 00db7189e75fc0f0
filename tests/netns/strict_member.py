# SPDX-License-Identifier: Apache-2.0
"""A member that holds checks to the standards, and keeps what came: ``SEEN`` as JSON from port 81.

Ports 80 and 8080 speak HTTP/1 in the clear, 8443 and 9443 by TLS what ``ALPN`` names (where ``PAIR`` has a certificate with
its key), 8082 HTTP/2 in the clear. With ``PROXY`` every one of them wants the PROXY protocol first. A request that
a server has to refuse is answered with 400 (RFC 9112, section 3.2; RFC 9113, section 8.3.1), all others with 200.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
import tempfile
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

SEEN: list[dict[str, Any]] = []
HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")
NEEDS_LENGTH = ("POST", "PUT", "PATCH")


def judge(seen: dict[str, Any]) -> int:
    """The status, for what was seen; it is kept."""
    hosts = seen["hosts"]
    bad = len(hosts) > 1 or (seen["version"] != "1.0" and not hosts) or not all(map(HOST.fullmatch, hosts))
    bad = bad or (seen["method"] in NEEDS_LENGTH and seen["version"] != "2" and seen["length"] is None)
    seen["status"] = 400 if bad else 200
    SEEN.append(seen)
    return int(seen["status"])


async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: dict[str, Any]) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")[:-2]
    method, path, version = first.split(" ")
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    hosts = [value for name, value in fields if name == "host"]
    seen = {"method": method, "path": path, "version": version.removeprefix("HTTP/"), "hosts": hosts, **link}
    status = judge({**seen, "length": dict(fields).get("content-length")})
    body = json.dumps(SEEN) if link["port"] == 81 else os.environ["NAME"]
    shown = "" if method == "HEAD" else body
    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{shown}".encode())


async def http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: dict[str, Any]) -> None:
    talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    talk.initiate_connection()
    writer.write(talk.data_to_send())
    while data := await reader.read(65536):
        for event in talk.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                given = [(str(name), str(value)) for name, value in event.headers]
                fields = dict(given)
                hosts = [value for name, value in given if name in (":authority", "host")]
                status = judge({
                    "method": fields[":method"], "path": fields.get(":path"), "version": "2", "hosts": hosts[:1],
                    "length": None, **link,
                })  # fmt: skip
                talk.send_headers(event.stream_id, [(":status", str(status))])
                talk.send_data(event.stream_id, os.environ["NAME"].encode(), end_stream=True)
        writer.write(talk.data_to_send())


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: dict[str, Any]) -> None:
    try:
        if link["port"] in SECURE:
            secured = writer.get_extra_info("ssl_object")
            link.update(alpn=secured.selected_alpn_protocol(), sni=getattr(secured, "asked", None))
            if link["alpn"] is None and "http/1.1" not in ALPN:
                return  # it speaks HTTP/2 alone
        await (http2 if link["alpn"] == "h2" or link["port"] == 8082 else http1)(reader, writer, link)
    except (OSError, asyncio.IncompleteReadError, h2.exceptions.ProtocolError):
        pass
    finally:
        writer.close()


async def accepted(connection: socket.socket, port: int) -> None:
    loop = asyncio.get_running_loop()
    link: dict[str, Any] = {"port": port, "sni": None, "alpn": None, "proxy": False}
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader, lambda r, w: serve(r, w, link))
    try:
        if os.environ.get("PROXY") and port != 81:
            line = b""
            while not line.endswith(b"\r\n"):
                byte = await loop.sock_recv(connection, 1)  # what follows is TLS's
                line += byte
                if not byte or not line.startswith(b"PROXY "[: len(line)]):
                    connection.close()
                    return
            link["proxy"] = True
        await loop.connect_accepted_socket(lambda: protocol, connection, ssl=CONTEXT if port in SECURE else None)
    except OSError:
        connection.close()


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as pair:
        pair.write(os.environ["PAIR"])
        pair.flush()
        made.load_cert_chain(pair.name)
    made.set_alpn_protocols(ALPN)
    made.sni_callback = lambda link, name, _: setattr(link, "asked", name)
    return made


async def listen(port: int) -> None:
    made = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
    made.setblocking(False)
    tasks = set()
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(made)
        connection.setblocking(False)
        tasks.add(task := asyncio.ensure_future(accepted(connection, port)))
        task.add_done_callback(tasks.discard)


async def main() -> None:
    await asyncio.gather(*map(listen, (80, 81, 8080, 8082, *(SECURE if ALPN else ()))))


SECURE = (8443, 9443)
ALPN = os.environ.get("ALPN", "").split(",") if os.environ.get("PAIR") else []
CONTEXT = context() if ALPN else None
asyncio.run(main())
