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
from octavia_provider.api.authorization import own, seen
from octavia_provider.api.context import CONTEXT
from octavia_provider.api.errors import answer
from octavia_provider.api.requests import path_id
from octavia_provider.model.errors import Forbidden, NotFound
from octavia_provider.ports import ListedNetwork, NetworkDirectory

Shown = dict[str, Any]


def routes(router: web.UrlDispatcher, base: str, directory: NetworkDirectory) -> None:
    """Neutron's collections, of one version, for a cloud that has no Neutron of its own."""
    for collection, show in _COLLECTIONS.items():
        router.add_get(f"{base}/{collection}", own(_list(directory, collection, show), "network:get_all"))
        router.add_get(f"{base}/{collection}/{{id}}", own(_one(directory, collection, show), "network:get_one"))


def projects(router: web.UrlDispatcher, prefix: str) -> None:
    """Keystone's, which its client asks for without a version where there is no catalogue."""
    router.add_get(f"{prefix}/projects", _project)
    router.add_get(f"{prefix}/projects/{{id}}", _project)


def _networks(network: ListedNetwork) -> Iterator[Shown]:
    yield {
        **_common(network),
        "id": network.id,
        "name": network.name,
        "status": "ACTIVE",
        "admin_state_up": True,
        "shared": False,
        "router:external": False,
        "subnets": [subnet.id for subnet in network.subnets],
    }


def _subnets(network: ListedNetwork) -> Iterator[Shown]:
    for subnet in network.subnets:
        yield {
            **_common(network),
            "id": subnet.id,
            "name": subnet.name,
            "network_id": network.id,
            "ip_version": subnet.ip_version,
            "cidr": subnet.cidr,
            "gateway_ip": None,
            "enable_dhcp": False,
            "allocation_pools": [],
        }


def _ports(_network: ListedNetwork) -> Iterator[Shown]:
    """There are none to be named."""
    return iter(())


Show = Callable[[ListedNetwork], Iterator[Shown]]
_COLLECTIONS: dict[str, Show] = {"networks": _networks, "subnets": _subnets, "ports": _ports}


def _common(network: ListedNetwork) -> Shown:
    owned = {"project_id": network.project_id, "tenant_id": network.project_id, "tags": []}
    return {**owned, "created_at": network.created_at, "updated_at": network.updated_at}


async def _all(request: web.Request, directory: NetworkDirectory, show: Show) -> list[Shown]:
    networks = await request.app[CONTEXT].store.read(directory.networks)
    return [shown for network in networks for shown in show(network)]


def _list(directory: NetworkDirectory, collection: str, show: Show) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(list_query.page(await _all(request, directory, show), collection, seen(request)))

    return handle


def _one(directory: NetworkDirectory, collection: str, show: Show) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        id_ = path_id(request)
        found = [shown for shown in await _all(request, directory, show) if shown["id"] == id_]
        if not found:
            raise NotFound(f"{collection[:-1]} {id_} does not exist in this control plane")
        return answer({collection[:-1]: list_query.select(found[0], request.query)})

    return handle


async def _project(_request: web.Request) -> web.StreamResponse:
    """OpenStack's command line takes a project as it is named where it is forbidden to look it up."""
    raise Forbidden("this control plane keeps no list of projects; name one by its id")
