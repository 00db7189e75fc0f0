# SPDX-License-Identifier: Apache-2.0
"""The configuration of one load balancer, as it is pushed: haproxy's sections, with the servers kept apart.

The control plane renders the text; the servers stay data, so that the agent can tell haproxy at run time what changed
among them and still write a complete ``haproxy.cfg`` for the next reload. ``compose`` makes that file, and the
control plane uses the same function for previews and for finding the object behind a line.

What haproxy has no words for stays data altogether: UDP (``Frontend.datagrams``, ``Backend.datagrams``), the packet
filter (``Frontend.allowed``), and checks that the agent makes itself (``Backend.probe``). The agent, which alone knows
what is alive, makes nftables rules of the first two (``nftables.ruleset``).


Certificates with their keys, authorities and revocation lists are *files*: named, known by the digests of their contents, and
nowhere else in the configuration. The agent keeps the contents in memory-backed storage alone; what it writes to
disk, and what a digest is made of, is :func:`bare`. The text names them by their bare names (``ca-file NAME``): the
agent's global section says where they are (``crt-base``, ``ca-base``, and ``OCTAVIA_FILES`` for ``crt-list``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec

from .interfaces import Interface
from .vrrp import Vrrp

Admin = Literal["ready", "maint"]
FileKind = Literal["certificate", "ca", "crl"]
T = TypeVar("T")


class Server(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ``server`` line of a backend. ``name`` is the member's id; ``options`` are the keywords after the address.

    ``weight`` 0 drains: no new connections. ``options`` holds no weight and no admin state. ``check_address`` and
    ``check_port``: where the agent probes it, if not where it serves. ``backup``: of a UDP pool (haproxy's stand in
    ``options``).
    """

    name: str
    address: str
    port: int
    weight: int = 1
    admin: Admin = "ready"
    options: str = ""
    check_address: str = ""
    check_port: int = 0
    backup: bool = False


ProbeType = Literal["ping", "tcp", "http", "tls-hello", "udp-connect", "grpc"]


class ProbeTls(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a check speaks TLS. ``ca``, ``crl``, ``certificate``: names of files; without ``ca`` any certificate is taken.

    ``name``: who is asked for (SNI), and whose name the certificate has to have; empty: nobody's. ``ciphers``: OpenSSL's, for
    TLS 1.2 and older; ``oldest`` and ``newest``: versions, as TLSv1.2.
    """

    ca: str = ""
    crl: str = ""
    certificate: str = ""
    name: str = ""
    ciphers: str = ""
    oldest: str = "TLSv1.2"
    newest: str = "TLSv1.3"


class Probe(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the agent checks the servers of a backend itself. Times in seconds; ``rise`` and ``fall`` as in haproxy.

    ``codes``: inclusive ranges of HTTP status codes. ``service``: whose health a gRPC server is asked for. ``proxy``: the
    version of the PROXY protocol by which connections to a server's own address and port begin; 0 for none. ``tls``: these
    connections are by TLS.
    """

    type: ProbeType
    interval: float
    timeout: float
    rise: int = 2
    fall: int = 3
    method: str = "GET"
    path: str = "/"
    version: str = "1.0"
    host: str = ""
    codes: tuple[tuple[int, int], ...] = ((200, 200),)
    service: str = ""
    proxy: int = 0
    tls: ProbeTls | None = None


class Backend(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ``backend`` section. ``text`` is everything between the section's name and its servers, newline-terminated.

    ``dynamic``: every haproxy from 2.6 on can add and remove its servers at run time. Where it is False (cookies), the
    agent looks at what its own can (``haproxy_versions``).
    ``probe``: the agent checks the servers and tells haproxy. ``datagrams``: of a UDP pool, not haproxy's at all.
    """

    name: str
    pool_id: str
    text: str
    servers: dict[str, Server] = {}
    dynamic: bool = True
    probe: Probe | None = None
    datagrams: bool = False


class Bind(msgspec.Struct, frozen=True, omit_defaults=True):
    """An address and port that a frontend binds; the agent tries it before a reload (``-c`` does not)."""

    address: str
    port: int
    proxy: bool = False


Spreading = Literal["round_robin", "source_ip", "source_ip_port"]


class Datagrams(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the flows of a UDP listener are given to the servers of ``backend`` (empty: there is none, nobody answers).

    ``persistence``: seconds for which a client's new flows go where its last one went, 0 for not at all; clients whose
    addresses share ``prefix4`` or ``prefix6`` bits are one. ``limit``: flows at once, -1 for as many as there are.
    ``sources``: the address, one a family, that servers see; without it, that of the interface.
    """

    backend: str = ""
    spreading: Spreading = "round_robin"
    persistence: int = 0
    prefix4: int = 32
    prefix6: int = 128
    limit: int = -1
    sources: tuple[str, ...] = ()


class Frontend(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ``frontend`` section. ``name`` is the listener's id; ``text`` is its body, ``bind`` lines included.

    ``certificates`` are names of files: what its ``crt-list`` (``crt_list(name)``) holds, the default first. ``names``: the
    names that some of them are for, and (after an exclamation mark) not for; all others are for the names in them.
    ``allowed``: networks whose packets may come to the binds that are not for the PROXY protocol; empty for all.
    ``datagrams``: it is a UDP listener, served by the kernel and not by haproxy.
    """

    name: str
    text: str
    binds: tuple[Bind, ...] = ()
    certificates: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    datagrams: Datagrams | None = None
    names: dict[str, tuple[str, ...]] = {}


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file beside the configuration. ``digest``: SHA-256 (hex) of the content; ``content`` is PEM.

    Without content it is one that the agent has. Its ``repr`` does not show the content, which may be a key.
    """

    name: str
    kind: FileKind
    digest: str
    content: str = ""

    def __repr__(self) -> str:
        return f"File({self.name!r}, {self.kind!r}, {self.digest[:12]!r})"


def file(name: str, kind: FileKind, content: str) -> File:
    """A file with its digest."""
    return File(name, kind, hashlib.sha256(content.encode()).hexdigest(), content)


class Configuration(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of one load balancer. ``base`` holds ``global`` and ``defaults`` (less what is the agent's: see ``compose``).

    Dictionaries keep their order; it is part of the configuration (and of the digest), and heartbeats count by it.
    ``vrrp``: of an amphora of a pair. ``interfaces``: where the agent has to configure them itself; no cloud does it from outside.
    """

    load_balancer_id: str
    base: str
    frontends: dict[str, Frontend] = {}
    backends: dict[str, Backend] = {}
    files: dict[str, File] = {}
    vrrp: Vrrp | None = None
    interfaces: tuple[Interface, ...] = ()


class BackendDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What changed in one backend. ``text`` None: as it was. New servers are appended in the order given.

    ``probe`` not set: as it was; None: the agent checks no longer.
    """

    name: str
    pool_id: str = ""
    text: str | None = None
    dynamic: bool | None = None
    probe: Probe | msgspec.UnsetType | None = msgspec.UNSET
    datagrams: bool | None = None
    set_servers: tuple[Server, ...] = ()
    remove_servers: tuple[str, ...] = ()


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What changed since the configuration whose digest is ``since``. A name that is new is appended.

    ``vrrp`` not set: as it was; None: the amphora is one of a pair no longer. ``interfaces`` not set: as they were.
    """

    since: str
    base: str | None = None
    set_frontends: tuple[Frontend, ...] = ()
    remove_frontends: tuple[str, ...] = ()
    backends: tuple[BackendDelta, ...] = ()
    remove_backends: tuple[str, ...] = ()
    set_files: tuple[File, ...] = ()
    remove_files: tuple[str, ...] = ()
    vrrp: Vrrp | msgspec.UnsetType | None = msgspec.UNSET
    interfaces: tuple[Interface, ...] | msgspec.UnsetType = msgspec.UNSET


def without_udp(configuration: Configuration) -> Configuration:
    """The configuration less what is not haproxy's."""
    if not any(f.datagrams for f in configuration.frontends.values()) and not any(
        b.datagrams for b in configuration.backends.values()
    ):
        return configuration
    return msgspec.structs.replace(
        configuration,
        frontends={n: f for n, f in configuration.frontends.items() if f.datagrams is None},
        backends={n: b for n, b in configuration.backends.items() if not b.datagrams},
    )


def digest(configuration: Configuration) -> str:
    """SHA-256 (hex) of the configuration's canonical encoding, order included; files count by their digests."""
    return hashlib.sha256(msgspec.json.encode(without_contents(configuration))).hexdigest()


def without_contents(configuration: Configuration) -> Configuration:
    """The configuration without the contents of its files: what may be on a disk."""
    if not any(one.content for one in configuration.files.values()):
        return configuration
    files = {name: File(name, one.kind, one.digest) for name, one in configuration.files.items()}
    return msgspec.structs.replace(configuration, files=files)


def crt_list(frontend: str) -> str:
    """The name of a frontend's list of certificates."""
    return f"{frontend}.list"


def crt_line(frontend: Frontend, certificate: str, directory: str = "") -> str:
    """A line of a frontend's list (haproxy 2.6, section 5.1, ``crt-list``)."""
    return " ".join((f"{directory}{certificate}", *frontend.names.get(certificate, ())))


def server_line(server: Server) -> str:
    """``server NAME ADDRESS:PORT weight N [disabled] OPTIONS`` (haproxy 2.6, section 5.2)."""
    address = f"[{server.address}]" if ":" in server.address else server.address
    words = ["    server", server.name, f"{address}:{server.port}", f"weight {server.weight}"]
    if server.admin == "maint":
        words.append("disabled")
    if server.options:
        words.append(server.options)
    return " ".join(words)


def compose(configuration: Configuration, *, global_section: str = "") -> str:
    """The text of ``haproxy.cfg``: the agent's ``global_section``, the base, frontends, backends. haproxy joins ``global``s.

    Who writes which line: the *global section* (one ``global`` section, the agent's) has ``description``, ``stats socket``,
    ``stats timeout``, ``server-state-file``, ``pidfile``, ``hard-stop-after``, ``mworker-max-reloads``,
    ``no strict-limits``, ``user`` and ``group``, and where files and sockets are: ``crt-base``, ``ca-base``,
    ``setenv``. The *base* (``global``, ``defaults`` and what belongs to no object, the control plane's) has all else:
    ``maxconn``, ``log``, tuning, modes, timeouts, and in ``defaults`` both ``load-server-state-from-file global``
    (without it, servers known dead get traffic after a reload) and ``option idle-close-on-response`` (without it, a
    reload breaks idle connections).
    Checks of servers stand in ``Server.options``: a server added at run time takes nothing from ``default-server``.
    """
    configuration = without_udp(configuration)
    parts = [global_section, configuration.base]
    parts.extend(f"\nfrontend {frontend.name}\n{frontend.text}" for frontend in configuration.frontends.values())
    for backend in configuration.backends.values():
        parts.append(f"\nbackend {backend.name}\n{backend.text}")
        parts.extend(f"{server_line(server)}\n" for server in backend.servers.values())
    return "".join(parts)


def difference(old: Configuration, new: Configuration, *, since: str = "") -> Delta:
    """What leads from ``old`` to ``new``; ``apply(old, difference(old, new))`` equals ``new`` if order allows it.

    The caller compares digests and pushes the whole where the order of names differs. ``since`` is the digest of
    ``old`` where the caller knows it.
    """
    frontends = tuple(f for name, f in new.frontends.items() if old.frontends.get(name) != f)
    backends = tuple(
        _backend_difference(old.backends.get(name), b)
        for name, b in new.backends.items()
        if old.backends.get(name) != b
    )
    return Delta(
        since=since or digest(old),
        base=None if old.base == new.base else new.base,
        set_frontends=frontends,
        remove_frontends=tuple(n for n in old.frontends if n not in new.frontends),
        backends=backends,
        remove_backends=tuple(n for n in old.backends if n not in new.backends),
        set_files=tuple(f for n, f in new.files.items() if _digest_of(old.files.get(n)) != f.digest),
        remove_files=tuple(n for n in old.files if n not in new.files),
        vrrp=msgspec.UNSET if old.vrrp == new.vrrp else new.vrrp,
        interfaces=msgspec.UNSET if old.interfaces == new.interfaces else new.interfaces,
    )


def _digest_of(one: File | None) -> str:
    return one.digest if one else ""


def _backend_difference(old: Backend | None, new: Backend) -> BackendDelta:
    if old is None:
        servers = tuple(new.servers.values())
        return BackendDelta(new.name, new.pool_id, new.text, new.dynamic, new.probe, new.datagrams, servers)
    return BackendDelta(
        name=new.name,
        pool_id=new.pool_id,
        text=None if old.text == new.text else new.text,
        dynamic=None if old.dynamic == new.dynamic else new.dynamic,
        probe=msgspec.UNSET if old.probe == new.probe else new.probe,
        datagrams=None if old.datagrams == new.datagrams else new.datagrams,
        set_servers=tuple(s for n, s in new.servers.items() if old.servers.get(n) != s),
        remove_servers=tuple(n for n in old.servers if n not in new.servers),
    )


def apply(old: Configuration, delta: Delta) -> Configuration:
    """``old`` with the delta put in: what stays keeps its place, what is new comes last."""
    frontends = _without(old.frontends, delta.remove_frontends)
    frontends.update({f.name: f for f in delta.set_frontends})
    backends = _without(old.backends, delta.remove_backends)
    for change in delta.backends:
        backends[change.name] = _backend_apply(backends.get(change.name), change)
    files = _without(old.files, delta.remove_files)
    files.update({f.name: f for f in delta.set_files})
    return Configuration(
        load_balancer_id=old.load_balancer_id,
        base=old.base if delta.base is None else delta.base,
        frontends=frontends,
        backends=backends,
        files=files,
        vrrp=old.vrrp if delta.vrrp is msgspec.UNSET else delta.vrrp,
        interfaces=old.interfaces if delta.interfaces is msgspec.UNSET else delta.interfaces,
    )


def _without(known: dict[str, T], names: Iterable[str]) -> dict[str, T]:
    found = dict(known)
    for name in names:
        found.pop(name, None)
    return found


def _backend_apply(old: Backend | None, change: BackendDelta) -> Backend:
    if old is None:
        old = Backend(change.name, change.pool_id, "")
    servers = _without(old.servers, change.remove_servers)
    servers.update({s.name: s for s in change.set_servers})
    return Backend(
        name=old.name,
        pool_id=change.pool_id or old.pool_id,
        text=old.text if change.text is None else change.text,
        servers=servers,
        dynamic=old.dynamic if change.dynamic is None else change.dynamic,
        probe=old.probe if change.probe is msgspec.UNSET else change.probe,
        datagrams=old.datagrams if change.datagrams is None else change.datagrams,
    )
