# SPDX-License-Identifier: Apache-2.0
"""What every kind has: name, administrative state, tags; and what the control plane adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from . import formats
from .attributes import Rule, Unique, attribute, computed

NAME_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """The common part. ``KIND`` is the word for the kind in every layer; ``LABEL`` how people call it.

    ``KEY`` is what names it in a URL: its id, or the attribute that is unique (``UNIQUE``) and stands for an id.
    ``WORD`` is what a body calls it, where that is not the collection's word. ``NOTES`` are rules that refuse nothing:
    what Octavia takes and what has no effect, said in a preview.
    """

    KIND: ClassVar[str]
    LABEL: ClassVar[str]
    COLLECTION: ClassVar[str]
    RULES: ClassVar[tuple[Rule, ...]] = ()
    NOTES: ClassVar[tuple[Rule, ...]] = ()
    UNIQUE: ClassVar[Unique | None] = None
    KEY: ClassVar[str] = "id"
    WORD: ClassVar[str] = ""

    id: str = ""
    name: str = attribute(
        "A name for people. Made from the resource's name when not given.",
        default="", max_length=NAME_LENGTH, format=formats.text,
    )  # fmt: skip
    project_id: str | None = computed("The project that owns the object.", always=True)
    created_at: str | None = computed("When it was created (UTC, ISO 8601).", always=True)
    updated_at: str | None = computed("When it was last changed (UTC, ISO 8601).", volatile=True)
    provisioning_status: str = computed(
        "Where the last change stands: ACTIVE, PENDING_CREATE, PENDING_UPDATE, PENDING_DELETE or ERROR.",
        volatile=True, default="",
    )  # fmt: skip
    provisioning_error: str | None = computed(
        "Why the object is in ERROR, in the words of what refused it.", volatile=True
    )
    control_plane_id: str = computed("The control plane that made the object.", default="")


def admin_state_up() -> Any:
    """The switch that every kind has."""
    return attribute("Whether it is in service. Off: configured, but takes no traffic.", default=True, null=False)


def description() -> Any:
    """Free text for people."""
    return attribute("A description for people.", default="", max_length=255, format=formats.text)


def tags() -> Any:
    """Labels for people and filters; their order means nothing."""
    return attribute("Labels, to filter by.", default=(), max_length=255, format=formats.text, unordered=True)


def operating_status() -> Any:
    """What the heartbeats tell."""
    return computed(
        "What the amphorae see: ONLINE, DRAINING, OFFLINE, DEGRADED, ERROR or NO_MONITOR.", volatile=True, default=""
    )
