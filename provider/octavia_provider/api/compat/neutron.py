# SPDX-License-Identifier: Apache-2.0
"""What OpenStack's clients ask Octavia's neighbours before they ask Octavia: Neutron for the networks and subnets that a
name or an id stands for, Keystone for projects. To read only, and no more of it than those look-ups need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from octavia_provider.api import list_query
from octavia_provider.api.context import CONTEXT
from octavia_provider.api.errors import answer
from octavia_provider.api.requests import path_id
from octavia_provider.model.errors import Forbidden, NotFound
from octavia_provider.model.local import LocalNetwork, ipv6_subnet_id
from octavia_provider.ports import Record

Shown = dict[str, Any]


def routes(router: web.UrlDispatcher, base: str) -> None:
    """Neutron's collections, of one version."""
    for collection, show in _COLLECTIONS.items():
        router.add_get(f"{base}/{collection}", _list(collection, show))
        router.add_get(f"{base}/{collection}/{{id}}", _one(collection, show))


def projects(router: web.UrlDispatcher, prefix: str) -> None:
    """Keystone's, which its client asks for without a version where there is no catalogue."""
    router.add_get(f"{prefix}/projects", _project)
    router.add_get(f"{prefix}/projects/{{id}}", _project)


def _networks(record: Record) -> Iterator[Shown]:
    yield {
        **_common(record),
        "id": record.id,
        "name": record.spec["name"],
        "status": "ACTIVE",
        "admin_state_up": True,
        "shared": False,
        "router:external": False,
        "subnets": [subnet["id"] for subnet in _subnets(record)],
    }


def _subnets(record: Record) -> Iterator[Shown]:
    """The IPv4 subnet is known by its network's id and name, the IPv6 one by ``<name>-ipv6``."""
    both = ((4, record.id, "", "cidr"), (6, ipv6_subnet_id(record.id), "-ipv6", "ipv6_cidr"))
    for version, id_, suffix, cidr in both:
        if record.spec.get(cidr) is not None:
            yield {
                **_common(record),
                "id": id_,
                "name": f"{record.spec['name']}{suffix}",
                "network_id": record.id,
                "ip_version": version,
                "cidr": record.spec[cidr],
                "gateway_ip": None,
                "enable_dhcp": False,
                "allocation_pools": [],
            }


def _ports(_record: Record) -> Iterator[Shown]:
    """There are none to be named."""
    return iter(())


_COLLECTIONS: dict[str, Callable[[Record], Iterator[Shown]]] = {
    "networks": _networks, "subnets": _subnets, "ports": _ports,
}  # fmt: skip


def _common(record: Record) -> Shown:
    owned = {"project_id": record.project_id, "tenant_id": record.project_id, "tags": []}
    return {**owned, "created_at": record.created_at, "updated_at": record.updated_at}


async def _all(request: web.Request, show: Callable[[Record], Iterator[Shown]]) -> list[Shown]:
    records = await request.app[CONTEXT].store.read(lambda tx: tx.find(LocalNetwork.KIND))
    return [shown for record in records if not record.deleting for shown in show(record)]


def _list(collection: str, show: Callable[[Record], Iterator[Shown]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(list_query.page(await _all(request, show), collection, request.url))

    return handle


def _one(collection: str, show: Callable[[Record], Iterator[Shown]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        id_ = path_id(request)
        found = [shown for shown in await _all(request, show) if shown["id"] == id_]
        if not found:
            raise NotFound(f"{collection[:-1]} {id_} does not exist in this control plane")
        return answer({collection[:-1]: list_query.select(found[0], request.query)})

    return handle


async def _project(_request: web.Request) -> web.StreamResponse:
    """OpenStack's command line takes a project as it is named where it is forbidden to look it up."""
    raise Forbidden("this control plane keeps no list of projects; name one by its id")
