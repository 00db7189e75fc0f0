# SPDX-License-Identifier: Apache-2.0
"""The amphora group: amphorae that several load balancers share. Beyond Octavia."""

from typing import Annotated, ClassVar

from pydantic import Field

from . import common
from .metadata import Cost, Reference
from .scalars import Id

LARGEST, MOST_LOAD_BALANCERS = 16, 1_000
_MOVED = (
    "none for new connections: another amphora has the load balancers before one goes; connections that are open at a VIP end "
    "when it moves, unless its load balancer has two amphorae"
)


class AmphoraGroup(common.Resource):
    """An amphora group: amphorae that load balancers share. Each load balancer in it has a haproxy of its own on one of them, or, as
    its flavor says, on two."""

    KIND: ClassVar[str] = "amphora_group"
    LABEL: ClassVar[str] = "amphora group"
    COLLECTION: ClassVar[str] = "amphora_groups"
    WORD: ClassVar[str] = "amphora_group"

    description: common.Description = ""
    tags: common.Tags = ()
    size: Annotated[int, Field(ge=1, le=LARGEST), Cost(_MOVED)] = Field(
        2, description="How many amphorae it has. A load balancer with a pair of amphorae needs two."
    )
    capacity: Annotated[int, Field(ge=1, le=MOST_LOAD_BALANCERS), Cost("none: load balancers stay where they are")] = (
        Field(100, description="How many load balancers may be on one amphora.")
    )
    flavor_id: Annotated[Id | None, Reference("flavor"), Cost(_MOVED)] = Field(
        None,
        description="The flavor by which its amphorae are booted. How many of them a load balancer is on is said by its own flavor.",
    )
    operating_status: common.OperatingStatus = ""
