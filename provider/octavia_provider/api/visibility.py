# SPDX-License-Identifier: Apache-2.0
"""What a request names of the cloud's networks has to be there for its caller: the control plane itself may see more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import structlog
from aiohttp import web

from octavia_provider.model.errors import Invalid, OctaviaError, Path, Violation
from octavia_provider.ports import Named, NetworkLookup, Networks

from .authorization import is_user
from .context import CONTEXT
from .graph_create import CreateRequest

log = structlog.get_logger(__name__)
LOOK_UP_SECONDS = 5.0
"""For which a POST waits for Neutron's word of what it names."""
_LISTED = ("networks", "subnets", "ports")
_SUBNET, _PORT = ("subnet_id", "subnets"), ("port_id", "ports")
_REFERENCES: Mapping[str, Mapping[str, str]] = {
    "load_balancer": {
        "vip_network_id": "networks", "vip_subnet_id": "subnets", "vip_port_id": "ports",
        "vip_sg_ids": "security-groups", "vip_qos_policy_id": "policies",
    },
    "member": {"subnet_id": "subnets"},
}  # fmt: skip
_NESTED: Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]] = {
    "load_balancer": {"additional_vips": (_SUBNET, _PORT)},
}  # fmt: skip


async def require_visible(request: web.Request, wanted: Iterable[CreateRequest]) -> None:
    """``Invalid`` with all that a user names and cannot see, of what is to be made; without a user, with what a VIP names and the
    cloud does not have."""
    context = request.app[CONTEXT]
    if not is_user(request):
        await _require_there(context.networks, wanted)
        return
    if context.users is None or context.users.visibility is None:
        return
    named = [(one.at((*one.path, *path)), what) for one in wanted for path, what in references(one.kind, one.values)]
    await _require(request, named)


async def require_visible_change(request: web.Request, kind: str, given: Mapping[str, Any]) -> None:
    """The same, of what is to be changed."""
    users = request.app[CONTEXT].users
    if users is not None and users.visibility is not None and is_user(request):
        await _require(request, list(references(kind, given)))


async def _require_there(networks: Networks, wanted: Iterable[CreateRequest]) -> None:
    """Else it would be refused once the load balancer is there. A cloud that does not answer holds up nobody: it is asked again then."""
    if not isinstance(networks, NetworkLookup):
        return
    named = [
        (one.at((*one.path, *path)), what)
        for one in wanted if one.kind == "load_balancer"
        for path, what in references(one.kind, one.values) if what.collection in _LISTED
    ]  # fmt: skip
    try:
        async with asyncio.timeout(LOOK_UP_SECONDS):
            missing = await networks.missing({what for _, what in named}) if named else frozenset()
    except (OctaviaError, TimeoutError) as error:
        log.info("networks.not_looked_up", reason=str(error))
        return
    wrong = [
        Violation(path, f"{_word(what)} {what.id} does not exist in Neutron; openstack {_word(what)} list shows what there is")
        for path, what in named if what in missing
    ]  # fmt: skip
    if wrong:
        raise Invalid(wrong)


def references(kind: str, values: Mapping[str, Any]) -> Iterator[tuple[Path, Named]]:
    """What an object names, with where it does; what is no id is refused by the model."""
    for name, collection in _REFERENCES.get(kind, {}).items():
        given = values.get(name)
        for id_ in given if isinstance(given, list | tuple) else [given]:
            if isinstance(id_, str) and id_:
                yield (name,), Named(collection, id_)
    for name, parts in _NESTED.get(kind, {}).items():
        for index, item in enumerate(values.get(name) or ()):
            for part, collection in parts:
                if isinstance(item, dict) and isinstance(item.get(part), str) and item[part]:
                    yield (name, index, part), Named(collection, item[part])


async def _require(request: web.Request, named: list[tuple[Path, Named]]) -> None:
    users = request.app[CONTEXT].users
    if not named or users is None or users.visibility is None:
        return
    hidden = await users.visibility.hidden(request.headers.get("X-Auth-Token", ""), {what for _, what in named})
    wrong = [Violation(path, f"{_word(what)} {what.id} does not exist") for path, what in named if what in hidden]
    if wrong:
        raise Invalid(wrong)


def _word(what: Named) -> str:
    return "QoS policy" if what.collection == "policies" else what.collection[:-1].replace("-", " ")
