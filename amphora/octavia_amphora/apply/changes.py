# SPDX-License-Identifier: Apache-2.0
"""What leads from one configuration to another in haproxy's runtime API, where that can say it. Pure.

What it cannot say (any line outside the servers, a server's options, servers of a backend that is not dynamic) is a
reload. What it says, it says as the file would: a new server with checks is up until its first check fails, as at a
start of haproxy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from octavia_amphora.haproxy.servers import Location, is_checked
from octavia_amphora.wire.config import Backend, Configuration, Server, without_udp
from octavia_amphora.wire.haproxy_versions import DYNAMIC_COOKIES, Version, has

# What a server in the file has by default, and one added at run time has not: haproxy 2.6 gives that one a pool of
# idle connections of size 0, so each request opens a connection (measured: a third of the requests a second).
POOL_OPTIONS = "pool-max-conn -1 pool-purge-delay 5s"


@dataclass(frozen=True, slots=True)
class Command:
    """One command and how haproxy's answer begins when it did it.

    ``removes``: the server is removed when it is idle. ``moves``: the server has its new address a moment later;
    ``after_move``: what must not come before that.
    """

    text: str
    expected: tuple[str, ...] = ("",)
    removes: tuple[str, str] | None = None
    moves: Location | None = None
    after_move: bool = False

    def succeeded(self, answer: str) -> bool:
        """Whether this answer says that it is done (an empty expectation means an empty answer)."""
        return any(answer.startswith(start) if start else not answer for start in self.expected)


def commands(
    old: Configuration, new: Configuration, pending_removals: frozenset[tuple[str, str]], version: Version | None = None
) -> list[Command] | None:
    """The commands, in order; None when only a reload leads there.

    ``leaving``: (backend, server) still known to haproxy though in no configuration; their names are not free.
    ``version`` of haproxy: what more than the oldest it can do.
    """
    old, new = without_udp(old), without_udp(new)
    if old.base != new.base or _static_parts(old) != _static_parts(new) or old.backends.keys() != new.backends.keys():
        return None
    found: list[Command] = []
    for name, backend in new.backends.items():
        before = old.backends[name]
        if before is backend or before == backend:
            continue
        if (before.text, before.dynamic) != (backend.text, backend.dynamic):
            return None
        steps = list(_backend_commands(before, backend, pending_removals, dynamic=_is_dynamic(backend, version)))
        if None in steps:
            return None
        found.extend(step for step in steps if step is not None)
    return found


def _static_parts(configuration: Configuration) -> dict[str, tuple[object, ...]]:
    """The frontends without their lists of certificates, which ``certificates`` changes at run time."""
    return {n: (f.text, f.binds, bool(f.certificates)) for n, f in configuration.frontends.items()}


def _is_dynamic(backend: Backend, version: Version | None) -> bool:
    """Whether this haproxy can add and remove its servers. Their cookies are what the oldest could not be told."""
    sets_cookies = any(line.split()[:1] == ["cookie"] for line in backend.text.splitlines())
    return backend.dynamic or (sets_cookies and has(version, DYNAMIC_COOKIES))


def _backend_commands(
    old: Backend, new: Backend, pending_removals: frozenset[tuple[str, str]], *, dynamic: bool
) -> Iterator[Command | None]:
    """Additions first: a backend must not be without servers in between. None: not sayable."""
    addable = dynamic and "default-server" not in new.text.split()
    for name, server in new.servers.items():
        if name in old.servers:
            continue
        if not addable or (new.name, name) in pending_removals:
            yield None
            return
        yield from _add_server(new, server)
    for name, server in new.servers.items():
        before = old.servers.get(name)
        if before is not None and before != server:
            yield from _change_server(new.name, before, server)
    for name in old.servers.keys() - new.servers.keys():
        yield from _remove_server(new, name) if dynamic else (None,)


def _add_server(backend: Backend, server: Server) -> Iterator[Command]:
    at = f"{backend.name}/{server.name}"
    words = [f"add server {at} {_address(server)}:{server.port} weight {server.weight} {POOL_OPTIONS}", server.options]
    yield Command(" ".join(words).rstrip(), ("New server registered",))
    if is_checked(backend, server):
        yield Command(f"enable health {at}")
    if "agent-check" in server.options.split():
        yield Command(f"enable agent {at}")
    if server.admin == "ready":
        yield Command(f"set server {at} state ready")


def _change_server(backend: str, old: Server, new: Server) -> Iterator[Command | None]:
    at = f"{backend}/{new.name}"
    if old.options != new.options:
        yield None
        return
    if new.admin == "maint" != old.admin:
        yield Command(f"set server {at} state maint")
    moves = (old.address, old.port) != (new.address, new.port)
    if moves:
        yield _move(Location(backend, new.name, new.address, new.port))
    if old.weight != new.weight:
        yield Command(f"set server {at} weight {new.weight}")
    if new.admin == "ready" != old.admin:
        yield Command(f"set server {at} state ready", after_move=moves)


def batches(commands: Sequence[Command]) -> Iterator[list[Command]]:
    """The commands in order, cut where a move has to be done before the next."""
    batch: list[Command] = []
    for command in commands:
        if command.after_move and batch:
            yield batch
            batch = []
        batch.append(command)
    if batch:
        yield batch


def _remove_server(backend: Backend, name: str) -> Iterator[Command]:
    at = f"{backend.name}/{name}"
    yield Command(f"set server {at} state maint")
    yield removal(backend.name, name)


def removal(backend: str, name: str) -> Command:
    """Take away a server in maintenance. haproxy says no while connections are left; then it is collected later."""
    return Command(f"del server {backend}/{name}", ("Server deleted", "No such server"), removes=(backend, name))


def returning(new: Configuration, pending_removals: frozenset[tuple[str, str]]) -> list[tuple[str, str]]:
    """The servers that are still to be taken away and are wanted again, maybe with other options."""
    wanted = without_udp(new).backends
    return sorted((b, s) for b, s in pending_removals if b in wanted and s in wanted[b].servers)


def close_idle_connections(backend: str, name: str) -> Command:
    """haproxy closes them when a server in maintenance moves; it keeps a server that has any for some seconds."""
    return _move(Location(backend, name, "127.0.0.1", 1))


def _move(to: Location) -> Command:
    answers = ("IP changed", "port changed", "no need to change")
    return Command(f"set server {to.backend}/{to.server} addr {to.address} port {to.port}", answers, moves=to)


def _address(server: Server) -> str:
    return f"[{server.address}]" if ":" in server.address else server.address
