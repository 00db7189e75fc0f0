# SPDX-License-Identifier: Apache-2.0
"""The composition root: settings → objects. The only place that names a concrete cloud, store, agent client and CA."""

from __future__ import annotations

import asyncio
import datetime as dt
import fcntl
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from octavia_amphora.shortage import raise_open_files_limit
from octavia_provider import __version__
from octavia_provider.agents import AgentClient
from octavia_provider.clouds.netns import NetnsCloud, ranges
from octavia_provider.clouds.netns.driver import driver as embedded_driver
from octavia_provider.clouds.netns.holder.confinement import give_up
from octavia_provider.clouds.netns.networks import NetnsNetworks, NetworkSettings
from octavia_provider.control_plane import Facts, Parts, control_plane
from octavia_provider.controller.controller import LEASE_SECONDS
from octavia_provider.controller.membership import Membership
from octavia_provider.controller.orphans import look, require_none
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.kit import console, home_cloud, homes, logfile, paths
from octavia_provider.model.errors import Conflict, Forbidden, OctaviaError, Refused, TransientError
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import LOCAL_PROJECT, CloudDriver, ControlPlane, Store
from octavia_provider.render.overlay import Overlay
from octavia_provider.settings import Settings
from octavia_provider.store import Copies, SqlStore, installed, open_store

if TYPE_CHECKING:
    from octavia_provider.api import Server
    from octavia_provider.controller.controller import Controller

log = structlog.get_logger(__name__)
OPENSTACK_HINT = "put the store that made them back, or `octaviactl adopt --restore`: the store's copy; `octaviactl leftovers --delete` takes them away"


def serve(settings: Settings) -> None:
    """Run a control plane until it is stopped, or idle. ``Conflict`` when one runs already."""
    if settings.name is not None and settings.database is None:
        hint = "octaviactl serve --database URL, or OCTAVIA_DATABASE: docs/how-to/postgresql.md"
        raise Refused("needs a database that control planes can share", subject=f"--name {settings.name}", hint=hint)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    raise_open_files_limit()
    give_up()
    settings.instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one(settings.home, settings.instance):
        log_file = paths.log_file(settings.instance) if settings.log_to == "file" else None
        logfile.configure(log_file, level=settings.log_level)
        try:
            asyncio.run(_serve(settings))
        except OctaviaError as error:
            log.error("ended", error=str(error))  # noqa: TRY400 - said on purpose: its words are enough
            raise
        except Exception as error:
            log.exception("ended", error=str(error))
            raise


@contextmanager
def only_one(home: Path, instance: Path) -> Iterator[None]:
    """No other control plane of this name serves the home meanwhile; ``Conflict`` when one does, ``Forbidden`` where it is not ours."""
    if (problem := homes.problem(home)) is not None:
        raise Forbidden(problem.message, subject=f"the home {home}", hint=problem.hint)
    descriptor = os.open(paths.serve_lock(instance), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict("a control plane runs already.", subject=str(instance), hint="octaviactl status") from None
    else:
        yield
    finally:
        os.close(descriptor)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with embedded(settings, stop=stop.set):
        gc.freeze()  # what was loaded stays: collections need not look through it each time
        log.info("serving", home=str(settings.home), name=settings.name, pid=os.getpid())
        await stop.wait()
        log.info("stopping")


@asynccontextmanager
async def embedded(settings: Settings, *, stop: Callable[[], None]) -> AsyncIterator[Controller]:
    """The control plane of a cloud, running. What it started is ended in reverse; the cloud goes on."""
    templates = Overlay(settings.templates_dir)
    if settings.templates_dir is not None:
        await asyncio.to_thread(templates.load)
        log.info("templates taken", folder=str(settings.templates_dir))
    async with AsyncExitStack() as stack:
        status_cache = StatusCache()
        made = _openstack if settings.cloud == "openstack" else _embedded_cloud
        store, cloud_driver = await made(settings, status_cache, stack)
        authority = await _authority(store)
        agents = AgentClient(cloud_driver.cloud, authority)
        stack.push_async_callback(agents.close)
        # The lock admits one control plane of a name at a time: who starts after a crash takes up the leases of the dead
        # one at once, since they are its own. What that one had on the way has a smaller revision.
        holder = settings.name or f"{settings.cloud} {settings.home}"
        parts = Parts(
            store=store,
            driver=cloud_driver,
            agents=agents,
            authority=authority,
            status_cache=status_cache,
            holder=holder,
            membership=None if settings.database is None else Membership(_process(holder)),
            lease_seconds=LEASE_SECONDS if settings.database is None else settings.lease_seconds,
            templates=templates,
            timing=settings.timing(),
            agent_log_level=settings.agent_log_level,
            certificate_interval=settings.certificate_interval,
        )
        idle_seconds = None if settings.cloud == "openstack" else settings.idle_seconds
        users = await asyncio.to_thread(_users, settings)
        facts = Facts(
            project_id=LOCAL_PROJECT, home=str(settings.home), idle_seconds=idle_seconds,
            public_url=settings.public_url or "", **users,
        )  # fmt: skip
        if settings.database is None:  # a server's databases are copied by its own tools
            copies = Copies(store, paths.database_copy(settings.home))
            copies.start()
            stack.push_async_callback(copies.stop)
        serving = partial(_serve_api, settings)
        yield await stack.enter_async_context(control_plane(parts, facts, serve=serving, stop=stop))


async def _embedded_cloud(
    settings: Settings, status_cache: StatusCache, stack: AsyncExitStack
) -> tuple[SqlStore, CloudDriver]:
    cloud = NetnsCloud(settings.home, shared=settings.database is not None)
    stack.push_async_callback(cloud.close)
    store = await _store(settings.home, settings.database, cloud)
    stack.push_async_callback(store.close)
    networks = NetnsNetworks(NetworkSettings(published=await _loopback_range(store, settings.home)))
    return store, embedded_driver(cloud, networks, store, status_cache.resources_seen)


async def _openstack(
    settings: Settings, _status_cache: StatusCache, stack: AsyncExitStack
) -> tuple[SqlStore, CloudDriver]:
    """What a control plane makes there has the id of its store: what it does not know there, it once made itself."""
    from octavia_provider.clouds.openstack import configuration

    chosen = configuration(settings.os_cloud)
    from octavia_provider.clouds.openstack.driver import driver

    _require_place(settings.home, settings.database)
    url, key = settings.database or f"sqlite:///{paths.database(settings.home)}", paths.key_file(settings.home)
    store = await asyncio.to_thread(open_store, url, key)
    stack.push_async_callback(store.close)
    if settings.database is not None:
        await _claim(store, settings.home, "OpenStack")
    home_cloud.write(settings.home, os_cloud=chosen.cloud, control_plane=store.control_plane_id)
    made = driver(chosen, store.control_plane_id)
    stack.push_async_callback(made.cloud.close)
    try:
        if not await store.read(lambda tx: any(process.alive for process in tx.control_planes())):
            await require_none(await look(made.cloud), store, str(settings.home), hint=OPENSTACK_HINT)
    except TransientError as error:  # it serves what it knows, and looks again
        if settings.log_to == "file":
            log_file = paths.log_file(settings.instance)
            console.echo(f"{error}. It is tried again, with pauses up to 10 s; the log is {log_file}", err=True)
    return store, made


def _users(settings: Settings) -> dict[str, Any]:
    """Who is served on TCP, what they may do, and what they can see."""
    if settings.address is None:
        return {}
    from octavia_provider.keystone.clouds_yaml import credentials
    from octavia_provider.keystone.policy import OsloPolicy
    from octavia_provider.keystone.tokens import KeystoneIdentity
    from octavia_provider.keystone.visibility import NeutronVisibility

    return {
        "policy": OsloPolicy(settings.policy_file),
        "identity": KeystoneIdentity(credentials(settings.os_cloud), memcached_servers=settings.memcached_servers),
        "visibility": NeutronVisibility(settings.os_cloud) if settings.cloud == "openstack" else None,
    }


async def _serve_api(settings: Settings, application: Any) -> Server:
    from octavia_provider import api

    tcp = None
    if settings.address is not None:
        host, port = settings.address
        tcp = api.TcpPort(host=host, port=port, certificate=settings.tls_certificate, key=settings.tls_key)
        if settings.tls_certificate is None:
            log.warning(
                "users are served without TLS: their tokens can be read, unless a proxy is in front", at=settings.listen
            )
    return await api.serve_unix(application, paths.api_socket(settings.instance), tcp=tcp)


async def _loopback_range(store: Store, home: Path) -> str:
    published = await store.read(lambda tx: [lb.spec.get("published_address") for lb in tx.find("load_balancer")])
    return ranges.reserve(home, [address for address in published if address])


async def _store(home: Path, database: str | None, cloud: NetnsCloud) -> SqlStore:
    """The store of this home. ``Conflict`` where it does not know what is there already: it is another, or an older one."""
    _require_place(home, database)
    url, key = database or f"sqlite:///{paths.database(home)}", paths.key_file(home)
    there = await look(cloud)
    if not await asyncio.to_thread(installed, url):
        await require_none(there, None, str(home))
        if key.exists():
            raise Conflict(
                f"has {key.name} and no database that belongs to it. Nothing was touched", subject=str(home),
                hint="put that database back" if database else
                f"put {paths.database(home).name} back, or `octaviactl adopt`: it restores the copy, or starts afresh",
            )  # fmt: skip
    store = await asyncio.to_thread(open_store, url, key)
    try:
        if database is not None:
            await _claim(store, home, f"{home} on {socket.gethostname()}")
        if not await store.read(lambda tx: any(process.alive for process in tx.control_planes())):
            await require_none(
                there, store, str(home)
            )  # else they go on while we look, and look after what is left over
            await cloud.forget_fences()
    except BaseException:
        await store.close()
        raise
    return store


def _process(holder: str) -> ControlPlane:
    """Who we are to the other control planes."""
    return ControlPlane(
        name=holder, machine=socket.gethostname(), pid=os.getpid(), version=__version__,
        started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _require_place(home: Path, database: str | None) -> None:
    """A home keeps its state where it began to."""
    elsewhere = paths.database_url(home)
    if database is None and elsewhere.exists():
        hint = "octaviactl serve --database URL, or OCTAVIA_DATABASE"
        raise Conflict(f"keeps its state in {elsewhere.read_text().strip()}", subject=str(home), hint=hint)
    if database is not None and not database.startswith("postgresql"):
        raise Refused("is no URL of PostgreSQL", subject="--database", hint="postgresql://user@host/database")
    if database is not None and paths.database(home).exists():
        hint = "leave out --database and OCTAVIA_DATABASE, or take another OCTAVIA_HOME"
        raise Conflict(f"keeps its state in {paths.database(home).name} already", subject=str(home), hint=hint)


async def _claim(store: SqlStore, home: Path, mine: str) -> None:
    """A database has one cloud: OpenStack, or namespaces that are on one machine, of one home. Each is told of the other."""
    whose = (await store.write(lambda tx: tx.secret("embedded cloud", mine.encode))).decode()
    if whose != mine:
        raise Conflict(
            f"is that of {whose}, and this is {mine}", subject=f"database {store.url}", hint="a database of its own"
        )
    paths.database_url(home).write_text(f"{store.url}\n")


async def _authority(store: Store) -> CertificateAuthority:
    control_plane_id = store.control_plane_id
    return await store.write(lambda tx: CertificateAuthority.load(tx.secret, control_plane_id))
