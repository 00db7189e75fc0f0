# SPDX-License-Identifier: Apache-2.0
"""What a request names of the cloud's networks has to be there for its caller: the control plane itself may see more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiohttp import web

from octavia_provider.model.errors import Invalid, Path, Violation
from octavia_provider.ports import Named

from .authorization import is_user
from .context import CONTEXT
from .graph_create import CreateRequest

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
    """``Invalid`` with all that a user names and cannot see, of what is to be made."""
    users = request.app[CONTEXT].users
    if users is None or users.visibility is None or not is_user(request):
        return
    named = [(one.at((*one.path, *path)), what) for one in wanted for path, what in references(one.kind, one.values)]
    await _require(request, named)


async def require_visible_change(request: web.Request, kind: str, given: Mapping[str, Any]) -> None:
    """The same, of what is to be changed."""
    users = request.app[CONTEXT].users
    if users is not None and users.visibility is not None and is_user(request):
        await _require(request, list(references(kind, given)))


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
