# SPDX-License-Identifier: Apache-2.0
"""What comes of a generation: which forms of its objects are in force."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .deploy import Outcome
from .desired_state import DesiredState


def accepted_forms(
    desired_state: DesiredState, outcome: Outcome | None, healed: Collection[str]
) -> dict[str, Mapping[str, Any] | None]:
    """Id → the spec that has come into force, None where no form of it has; what is as it was is not in it.

    ``healed``: objects whose error, which was the cloud's, has gone.
    """
    accepted: dict[str, Mapping[str, Any] | None] = {}
    refused = outcome.refused | outcome.dropped if outcome else set()
    for id_, record in desired_state.changed().items():
        if id_ not in refused:
            accepted[id_] = record.spec
    for id_ in outcome.dropped if outcome else ():
        accepted[id_] = None
    for id_ in set(healed) - accepted.keys():
        known = desired_state.records.get(id_)
        if known and known.error and known.accepted == known.spec:
            accepted[id_] = known.spec
    return accepted
