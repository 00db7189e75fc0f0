# SPDX-License-Identifier: Apache-2.0
"""The member: a server of a pool (octavia-api v2, ``pools/{id}/members``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import common, formats
from .attributes import Unique, attribute
from .listener import RELOAD

NO_RELOAD = "none: told to haproxy at run time, connections live on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(common.Resource):
    """A member: one server of a pool. Weight, draining, joining and leaving cost no reload."""

    KIND: ClassVar[str] = "member"
    LABEL: ClassVar[str] = "member"
    COLLECTION: ClassVar[str] = "members"

    UNIQUE: ClassVar[Unique | None] = Unique(
        key=lambda v: f"{v['pool_id']}/{v['address']}/{v['protocol_port']}", at="address",
        message=lambda v, other: f"{v['address']}:{v['protocol_port']} is in this pool already, as member {other}",
        doc="An address and port stand in a pool once.",
    )  # fmt: skip

    pool_id: str = attribute(
        "The pool it belongs to.", required=True, format=formats.uuid_string, replaces=True, reference="pool",
        why="in another pool it is another server, with connections, health and counters of its own",
    )  # fmt: skip
    address: str = attribute(
        "Where it is reached. Unique within the pool, with the port.",
        required=True, format=formats.member_address, cost=NO_RELOAD,
    )  # fmt: skip
    protocol_port: int = attribute("The port it serves on.", required=True, minimum=1, maximum=65535, cost=NO_RELOAD)
    subnet_id: str | None = attribute(
        "The subnet that its address is in. In the embedded cloud members of every network are reached by way of the "
        "VIP's; a subnet that is given must exist, and is not looked at otherwise.",
        format=formats.uuid_string, cost="none",
    )  # fmt: skip
    request_sriov: bool = attribute(
        "Whether it is reached by an interface of its own, without a virtual switch (OpenStack).",
        default=False,
        cost=RELOAD,
    )
    weight: int = attribute(
        "Its share of the traffic, against the others' weights; 0 drains it: no new connections, old ones end.",
        default=1, minimum=0, maximum=256, cost=NO_RELOAD,
    )  # fmt: skip
    backup: bool = attribute("Gets traffic only when no other member is up.", default=False, cost=RELOAD)
    monitor_address: str | None = attribute(
        "Where its health is checked, if not at `address`.", format=formats.member_address, cost=RELOAD
    )
    monitor_port: int | None = attribute(
        "The port its health is checked on, if not `protocol_port`.", minimum=1, maximum=65535, cost=RELOAD
    )
    admin_state_up: bool = common.admin_state_up()
    tags: tuple[str, ...] = common.tags()
    operating_status: str = common.operating_status()
