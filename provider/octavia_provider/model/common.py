# SPDX-License-Identifier: Apache-2.0
"""What every kind has: name, administrative state, tags; and what the control plane adds."""

from typing import Annotated, ClassVar

from pydantic import Field

from .base import Model
from .metadata import Always, Null, Output, Unique, Unordered
from .naming import NAME_LENGTH
from .scalars import Label, Text


class Resource(Model):
    """The common part. ``KIND`` is the word for the kind in every layer; ``LABEL`` how people call it.

    ``KEY`` is what names it in a URL: its id, or the attribute that is unique (``UNIQUE``) and stands for an id.
    ``WORD`` is what a body calls it, where that is not the collection's word.
    """

    KIND: ClassVar[str]
    LABEL: ClassVar[str]
    COLLECTION: ClassVar[str]
    UNIQUE: ClassVar[Unique | None] = None
    KEY: ClassVar[str] = "id"
    WORD: ClassVar[str] = ""

    id: str = ""
    name: Text = Field(
        "", max_length=NAME_LENGTH, description="A name for people. Made from the resource's name when not given."
    )
    project_id: Annotated[str | None, Always(), Output()] = Field(None, description="The project that owns the object.")
    created_at: Annotated[str | None, Always(), Output()] = Field(
        None, description="When it was created (UTC, ISO 8601)."
    )
    updated_at: Annotated[str | None, Output(volatile=True)] = Field(
        None, description="When it was last changed (UTC, ISO 8601)."
    )
    provisioning_status: Annotated[str, Output(volatile=True)] = Field(
        "",
        description="Where the last change stands: ACTIVE, PENDING_CREATE, PENDING_UPDATE, PENDING_DELETE or ERROR.",
    )
    provisioning_error: Annotated[str | None, Output(volatile=True)] = Field(
        None, description="Why the object is in ERROR, in the words of what refused it."
    )
    control_plane_id: Annotated[str, Output()] = Field("", description="The control plane that made the object.")


AdminStateUp = Annotated[
    bool, Null(False), Field(description="Whether it is in service. Off: configured, but takes no traffic.")
]
"""The switch that every kind has."""
Description = Annotated[Text, Field(max_length=255, description="A description for people.")]
"""Free text for people."""
Tags = Annotated[
    tuple[Label, ...],
    Unordered(),
    Field(description="Labels, to filter by."),
]
"""Labels for people and filters; their order means nothing."""
OperatingStatus = Annotated[
    str,
    Output(volatile=True),
    Field(description="What the amphorae see: ONLINE, DRAINING, OFFLINE, DEGRADED, ERROR or NO_MONITOR."),
]
"""What the heartbeats tell."""
