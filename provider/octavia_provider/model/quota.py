# SPDX-License-Identifier: Apache-2.0
"""Quotas: how many objects of each kind a project may have (octavia-api v2, ``quotas``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from . import common, formats
from .attributes import Unique, attribute, computed, inputs

UNLIMITED = -1
MOST = 2_000_000_000  # octavia/common/constants.py: MAX_QUOTA


def _limit(what: str) -> Any:
    return attribute(f"How many {what}; -1: no limit.", default=UNLIMITED, minimum=UNLIMITED, maximum=MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
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

    name: str = field(default="", repr=False)
    project_id: str | None = attribute(
        "The project whose quota it is. The control plane's own project when not given.",
        max_length=64, format=formats.project_id, replaces=True, filled=True, always=True,
        why="a quota holds the limits of one project",
    )  # fmt: skip
    created_at: str | None = computed(
        "When it was created (UTC, ISO 8601). None while the limits are the default ones."
    )
    loadbalancer: int = _limit("load balancers")
    listener: int = _limit("listeners")
    pool: int = _limit("pools")
    member: int = _limit("members")
    healthmonitor: int = _limit("health monitors")
    l7policy: int = _limit("L7 policies")
    l7rule: int = _limit("L7 rules")


def limit_for(kind: str) -> str | None:
    """The attribute that limits a kind: ``load_balancer`` → ``loadbalancer``; None where nothing does."""
    name = kind.replace("_", "")
    return name if name in inputs(Quota) and name != "projectid" else None
