# SPDX-License-Identifier: Apache-2.0
"""What control planes have made in a project, by their tags: for ``octaviactl leftovers`` and ``octaviactl purge``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from octavia_provider.model.errors import Conflict, OctaviaError, TransientError

from . import names
from .nova import server_groups
from .session import Json, Session
from .settings import SessionSettings

Kind = Literal["server", "port", "security_group", "server_group"]
ORDER: tuple[Kind, ...] = ("server", "port", "security_group", "server_group")
"""In which they can be deleted."""
PATHS = {
    "server": ("nova", "/servers"), "port": ("neutron", "/ports"), "security_group": ("neutron", "/security-groups"),
    "server_group": ("nova", "/os-server-groups"),
}  # fmt: skip
GONE_SECONDS, PAUSE = 120.0, 0.5
"""Nova deletes a server within that; how long is waited between two looks."""
_GROUP = names.server_group("")


@dataclass(frozen=True, slots=True)
class Found:
    """Something in OpenStack. ``control_plane``: whose it is; None: a server group of a load balancer of which nothing else is there,
    stock Octavia's maybe, which names them alike and cannot tag them either."""

    kind: Kind
    id: str
    name: str
    control_plane: str | None = None
    load_balancer: str | None = None
    amphora: str | None = None
    created_at: str = ""

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.kind.replace('_', ' ')} {self.name or self.id}"


@dataclass(frozen=True, slots=True)
class Known:
    """What a store knows: the id of its control plane, its load balancers and groups, its amphorae."""

    control_plane: str
    load_balancers: frozenset[str] = frozenset()
    amphorae: frozenset[str] = frozenset()

    def knows(self, found: Found) -> bool:
        """Whether it is there on purpose."""
        if found.amphora is not None:
            return found.amphora in self.amphorae
        return found.load_balancer in self.load_balancers


async def look(cloud: str | None) -> list[Found]:
    """All that control planes have made in the project of the user of ``cloud``."""
    async with opened(cloud) as session:
        return await everything(session)


async def take_away(cloud: str | None, found: Sequence[Found]) -> list[str]:
    """Delete them; what could not be deleted, in words."""
    async with opened(cloud) as session:
        return await delete(session, found)


@asynccontextmanager
async def opened(cloud: str | None) -> AsyncIterator[Session]:
    """A session for one command; ``Refused`` where openstacksdk is not installed."""
    given: dict[str, Any] = {"cloud": cloud} if cloud else {}
    session = Session(SessionSettings(**given))
    try:
        await session.sign_in()
        yield session
    finally:
        await session.close()


async def everything(session: Session) -> list[Found]:
    """All that control planes have made in the project of ``session``, and their VIPs' ports in those of users, in the order in which it
    can be deleted: five lists."""
    project = session.project_id
    servers, ports, vips, groups, named = await asyncio.gather(
        session.listed("nova", "/servers/detail", "servers"),
        session.listed("neutron", "/ports", "ports", project_id=project),
        session.listed("neutron", "/ports", "ports", device_owner=names.OWNER),
        session.listed("neutron", "/security-groups", "security_groups", project_id=project),
        server_groups(session),
    )
    tagged = [
        *(_found("server", one, one.get("created") or "") for one in servers),
        *(
            _found("port", one, one["created_at"])
            for one in {one["id"]: one for one in (*ports, *filter(names.is_vip_port, vips))}.values()
        ),
        *(_found("security_group", one, one["created_at"]) for one in groups),
    ]
    found = [one for one in tagged if one.control_plane is not None]
    owners = {one.load_balancer: one.control_plane for one in found}
    for one in named:
        if one["name"].startswith(_GROUP):
            balancer = one["name"].removeprefix(_GROUP)
            found.append(Found("server_group", one["id"], one["name"], owners.get(balancer), balancer))
    return found


def left(found: Collection[Found], known: Known | None) -> list[Found]:
    """What the store does not know: of its own control plane, of others, of nobody."""
    return [one for one in found if known is None or not (_of(one, known) and known.knows(one))]


def _of(one: Found, known: Known) -> bool:
    """Whose server group it is, its load balancer says; nothing else of it need be there yet."""
    return one.control_plane in (known.control_plane, None)


def _found(kind: Kind, one: Json, created_at: str) -> Found:
    """Neutron's can have been made and not tagged yet: their description says the same. Of a server whose cell is down Nova gives no
    more than the id: it is nobody's."""
    tags = one.get("tags") or str(one.get("description") or "").split()
    owner, balancer, amphora = (
        names.tagged(tags, name) for name in ("octavia-control-plane", "octavia-load-balancer", "octavia-amphora")
    )
    return Found(kind, one["id"], one.get("name") or one["id"], owner, balancer, amphora, created_at)


async def delete(session: Session, found: Sequence[Found]) -> list[str]:
    """Delete them, kind by kind: ports are free when servers are gone, groups when ports are. What could not be deleted, in words."""
    failed: list[str] = []
    for kind in ORDER:
        these = [one for one in found if one.kind == kind]
        failed += [why for why in await asyncio.gather(*(_delete(session, one) for one in these)) if why]
    return failed


async def _delete(session: Session, one: Found) -> str:
    service, path = PATHS[one.kind]
    try:
        deadline = time.monotonic() + GONE_SECONDS
        while not await _deleted(session, service, f"{path}/{one.id}", wait=one.kind == "server"):
            if time.monotonic() > deadline:
                raise TransientError(
                    f"is still there after {GONE_SECONDS:g} s", hint=f"openstack {one.kind} show {one.id}"
                )
            await asyncio.sleep(PAUSE)
    except OctaviaError as error:
        return f"{one.words}: {error}"
    return ""


async def _deleted(session: Session, service: str, path: str, *, wait: bool) -> bool:
    """Ask for it, and whether it is gone. Neutron refuses while something uses it, which ends by itself."""
    try:
        await session.delete(service, path)
    except Conflict:
        return False
    return not wait or await session.find(service, path) is None
