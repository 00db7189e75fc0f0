# SPDX-License-Identifier: Apache-2.0
"""The member: a server of a pool (octavia-api v2, ``pools/{id}/members``)."""

from typing import Annotated, ClassVar

from pydantic import Field

from . import common
from .listener import RELOAD
from .metadata import Cost, Reference, Replaces, Unique
from .scalars import Id, MemberAddress, Port

NO_RELOAD = "none: told to haproxy at run time, connections live on"


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

    pool_id: Annotated[
        Id,
        Reference("pool"),
        Replaces("in another pool it is another server, with connections, health and counters of its own"),
    ] = Field(description="The pool it belongs to.")
    address: Annotated[MemberAddress, Cost(NO_RELOAD)] = Field(
        description="Where it is reached. Unique within the pool, with the port."
    )
    protocol_port: Annotated[Port, Cost(NO_RELOAD)] = Field(description="The port it serves on.")
    subnet_id: Annotated[Id | None, Cost("none")] = Field(
        None,
        description="The subnet that its address is in. In the embedded cloud members of every network are reached by way of the "
        "VIP's; a subnet that is given must exist, and is not looked at otherwise.",
    )
    request_sriov: Annotated[bool, Cost(RELOAD)] = Field(
        False, description="Whether it is reached by an interface of its own, without a virtual switch (OpenStack)."
    )
    weight: Annotated[int, Cost(NO_RELOAD)] = Field(
        1,
        ge=0,
        le=256,
        description="Its share of the traffic, against the others' weights; 0 drains it: no new connections, old ones end.",
    )
    backup: Annotated[bool, Cost(RELOAD)] = Field(False, description="Gets traffic only when no other member is up.")
    monitor_address: Annotated[MemberAddress | None, Cost(RELOAD)] = Field(
        None, description="Where its health is checked, if not at `address`."
    )
    monitor_port: Annotated[Port | None, Cost(RELOAD)] = Field(
        None, description="The port its health is checked on, if not `protocol_port`."
    )
    admin_state_up: common.AdminStateUp = True
    tags: common.Tags = ()
    operating_status: common.OperatingStatus = ""
