# SPDX-License-Identifier: Apache-2.0
"""Quotas: how many objects of each kind a project may have (octavia-api v2, ``quotas``)."""

from typing import Annotated, ClassVar

from pydantic import Field

from . import common
from .metadata import Always, Filled, Output, Replaces, Unique, inputs
from .scalars import ProjectId

UNLIMITED = -1
MOST = 2_000_000_000  # octavia/common/constants.py: MAX_QUOTA


Limit = Annotated[int, Field(ge=UNLIMITED, le=MOST)]
_NO_LIMIT = "; -1: no limit."


class Quota(common.Resource):
    """The quota of a project: how many objects of each kind it may have. Deleting it puts all limits back."""

    KIND: ClassVar[str] = "quota"
    LABEL: ClassVar[str] = "quota"
    COLLECTION: ClassVar[str] = "quotas"
    KEY: ClassVar[str] = "project_id"
    UNIQUE: ClassVar[Unique | None] = Unique(
        key=lambda v: v["project_id"], at="project_id",
        message=lambda v, _: f"project {v['project_id']} has a quota already", doc="A project has one quota.",
    )  # fmt: skip

    name: str = Field("", repr=False)
    project_id: Annotated[ProjectId | None, Filled(), Always(), Replaces("a quota holds the limits of one project")] = (
        Field(
            None,
            max_length=64,
            description="The project whose quota it is. The control plane's own project when not given.",
        )
    )
    created_at: Annotated[str | None, Output()] = Field(
        None, description="When it was created (UTC, ISO 8601). None while the limits are the default ones."
    )
    loadbalancer: Limit = Field(UNLIMITED, description="How many load balancers" + _NO_LIMIT)
    listener: Limit = Field(UNLIMITED, description="How many listeners" + _NO_LIMIT)
    pool: Limit = Field(UNLIMITED, description="How many pools" + _NO_LIMIT)
    member: Limit = Field(UNLIMITED, description="How many members" + _NO_LIMIT)
    healthmonitor: Limit = Field(UNLIMITED, description="How many health monitors" + _NO_LIMIT)
    l7policy: Limit = Field(UNLIMITED, description="How many L7 policies" + _NO_LIMIT)
    l7rule: Limit = Field(UNLIMITED, description="How many L7 rules" + _NO_LIMIT)


def limit_for(kind: str) -> str | None:
    """The attribute that limits a kind: ``load_balancer`` → ``loadbalancer``; None where nothing does."""
    name = kind.replace("_", "")
    return name if name in inputs(Quota) and name != "projectid" else None
