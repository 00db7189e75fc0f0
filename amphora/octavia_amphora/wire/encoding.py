# SPDX-License-Identifier: Apache-2.0
"""The digest of a configuration of which a few servers change at a time.

It is that of ``config.digest``, byte for byte. But the encoding is kept in segments (what stands around servers, and blocks of
servers), with the state of SHA-256 before each: after a delta only the servers in it are encoded, and only what comes after the
first of them is hashed again.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from .config import Backend, BackendDelta, Configuration, Delta, Server, without_contents

BLOCK = 128
"""Servers in a block. Each block keeps a state of SHA-256."""
# Stand where the real ones come: no text can look like them, as quotes within a text are escaped.
_NO_SERVER, _NO_BACKEND = Server("", "", 0), Backend("", "", "")
_encode = msgspec.json.encode
_SERVERS, _BACKENDS = _encode({"": _NO_SERVER})[1:-1], _encode({"": _NO_BACKEND})[1:-1]


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Some servers of a backend, by name: each with the comma before it. ``first``: none stands before them."""

    servers: dict[str, bytes]
    first: bool

    def data(self) -> bytes:
        joined = b"".join(self.servers.values())
        return joined[1:] if self.first else joined


@dataclass(frozen=True, slots=True, eq=False)
class _Text:
    """What does not change with servers."""

    encoded: bytes

    def data(self) -> bytes:
        return self.encoded


_Segment = _Block | _Text
_NOTHING = Delta(since="")


class Encoding:
    """Of one configuration; ``after`` makes that of another and leaves this one as it is."""

    __slots__ = ("_backends", "_configuration", "_head", "_segments", "_states", "_tail", "digest")

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = bare = without_contents(configuration)
        head, tail = _encode(bare), b""
        if bare.backends:
            head, _, tail = _encode(msgspec.structs.replace(bare, backends={"": _NO_BACKEND})).partition(_BACKENDS)
        self._head, self._tail = _Text(head), _Text(tail)
        self._backends = {name: _of_backend(one, first=i == 0) for i, (name, one) in enumerate(bare.backends.items())}
        self._hash([], [hashlib.sha256()])

    def after(self, delta: Delta, configuration: Configuration) -> Encoding:
        """That of ``configuration``, which the delta leads to."""
        if msgspec.structs.replace(delta, since="", backends=()) != _NOTHING:
            return Encoding(configuration)
        backends = dict(self._backends)
        for change in delta.backends:
            known = self._configuration.backends.get(change.name)
            changed = _with_servers(backends[change.name], known, change) if known else None
            if changed is None:
                return Encoding(configuration)
            backends[change.name] = changed
        made: Encoding = object.__new__(Encoding)
        made._configuration = configuration
        made._head, made._tail, made._backends = self._head, self._tail, backends
        made._hash(self._segments, self._states)
        return made

    def _hash(self, segments: Sequence[_Segment], states: Sequence[Any]) -> None:
        """Hash what is not as in ``segments``; ``states`` are those before each of them and after the last."""
        self._segments = (self._head, *itertools.chain(*self._backends.values()), self._tail)
        same = sum(1 for _ in itertools.takewhile(_are_one, zip(segments, self._segments, strict=False)))
        self._states = list(states[: same + 1])
        for segment in self._segments[same:]:
            state = self._states[-1].copy()
            state.update(segment.data())
            self._states.append(state)
        self.digest: str = self._states[-1].hexdigest()


def _are_one(pair: tuple[object, object]) -> bool:
    return pair[0] is pair[1]


def _of_backend(backend: Backend, *, first: bool) -> list[_Segment]:
    """What stands before its servers, blocks of them, and what stands after; all in one where it has none."""
    key = (b"" if first else b",") + _encode(backend.name) + b":"
    if not backend.servers:
        return [_Text(key + _encode(backend))]
    head, _, tail = _encode(msgspec.structs.replace(backend, servers={"": _NO_SERVER})).partition(_SERVERS)
    servers = iter(backend.servers.values())
    blocks = iter(lambda: {one.name: _of_server(one) for one in itertools.islice(servers, BLOCK)}, {})
    return [_Text(key + head), *(_Block(block, i == 0) for i, block in enumerate(blocks)), _Text(tail)]


def _of_server(server: Server) -> bytes:
    return b"," + _encode(server.name) + b":" + _encode(server)


def _with_servers(segments: list[_Segment], known: Backend, change: BackendDelta) -> list[_Segment] | None:
    """The segments of a backend with a few servers changed; None where more is, or where it has none before or after."""
    blocks = [one for one in segments if isinstance(one, _Block)]
    if not blocks or len(change.set_servers) + len(change.remove_servers) > BLOCK or not _is_of_servers(known, change):
        return None
    for name in change.remove_servers:
        place = _place(blocks, name)
        blocks[place] = _Block({n: one for n, one in blocks[place].servers.items() if n != name}, blocks[place].first)
    for server in change.set_servers:
        place = _place(blocks, server.name)
        if place == len(blocks):
            blocks.append(_Block({}, first=False))
        blocks[place] = _Block({**blocks[place].servers, server.name: _of_server(server)}, blocks[place].first)
    blocks = [one for one in blocks if one.servers]
    if not blocks:
        return None
    if not blocks[0].first:
        blocks[0] = _Block(blocks[0].servers, first=True)
    return [segments[0], *blocks, segments[-1]]


def _place(blocks: list[_Block], name: str) -> int:
    """Which block has a server, or where a new one goes."""
    for place, block in enumerate(blocks):
        if name in block.servers:
            return place
    return len(blocks) - (len(blocks[-1].servers) < BLOCK)


def _is_of_servers(known: Backend, change: BackendDelta) -> bool:
    rest = msgspec.structs.replace(change, set_servers=(), remove_servers=())
    return rest in (BackendDelta(known.name), BackendDelta(known.name, known.pool_id))
