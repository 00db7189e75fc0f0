# SPDX-License-Identifier: Apache-2.0
"""What users keep in a real Barbican, and a way to it that can be closed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

TRIES = 5
"""Barbican 23 answers 500 now and then."""


@dataclass
class Secrets:
    """Of one user, by openstacksdk; ``with`` takes all away that it has made."""

    connection: Any
    made: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for href in reversed(self.made):
            self.delete(href)

    def secret(self, payload: str | bytes, **more: Any) -> str:
        if isinstance(payload, str):
            body = {"payload": payload, "payload_content_type": "text/plain"}
        else:
            encoded = base64.b64encode(payload).decode()
            body = {
                "payload": encoded,
                "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64",
            }
        return self._post("/secrets", {**body, **more}, "secret_ref")

    def container(self, *, type_: str = "certificate", **parts: str) -> str:
        refs = [
            {"name": name, "secret_ref": part if part.startswith("http") else self.secret(part)}
            for name, part in parts.items()
        ]
        return self._post("/containers", {"name": "test", "type": type_, "secret_refs": refs}, "container_ref")

    def let(self, href: str, user_id: str | None, *, project: bool = True) -> None:
        """Have this user alone, or nobody, read it besides who made it and (``project``) its project."""
        access = {"users": [user_id] if user_id else [], "project-access": project}
        self._call("PUT", f"{_path(href)}/acl", {"read": access})

    def readers(self, href: str) -> list[str]:
        return list(self._call("GET", f"{_path(href)}/acl")["read"].get("users", ()))

    def parts(self, href: str) -> list[str]:
        return [one["secret_ref"] for one in self._call("GET", _path(href))["secret_refs"]]

    def consumers(self, href: str) -> list[Any]:
        return list(self._call("GET", _path(href))["consumers"])

    def delete(self, href: str) -> None:
        self._call("DELETE", _path(href), missing=True)

    def _post(self, path: str, body: Any, name: str) -> str:
        href = str(self._call("POST", path, body)[name])
        self.made.append(href)
        return href

    def _call(self, method: str, path: str, body: Any = None, *, missing: bool = False) -> Any:
        for _ in range(TRIES):
            answer = self.connection.key_manager.request(path, method, json=body, microversion="1.1", raise_exc=False)
            if answer.status_code < 500:
                break
        assert answer.status_code < 400 or (missing and answer.status_code == 404), (method, path, answer.text)
        return answer.json() if answer.content else None


def _path(href: str) -> str:
    return "/" + "/".join(href.split("/")[-2:])


class Way:
    """A port of the loopback that leads to Barbican, until it is closed. ``url``: in place of the endpoint in the catalogue."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._to = parts.hostname or "", parts.port or 80
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._port = 0
        self._path = parts.path.rstrip("/")

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._path}"

    def open(self) -> None:
        self._server = self._run(asyncio.start_server(self._lead, "127.0.0.1", self._port, reuse_address=True))
        self._port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Nothing listens there, and what was open is cut off."""
        self._run(self._close())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, outer = await asyncio.open_connection(*self._to)
        except OSError:
            writer.close()
            return
        self._open |= {writer, outer}
        await asyncio.gather(_copy(reader, outer), _copy(inner, writer))
        self._open -= {writer, outer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
