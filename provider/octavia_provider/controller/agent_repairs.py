# SPDX-License-Identifier: Apache-2.0
"""What agents have repaired by themselves, from what their heartbeats count."""

from __future__ import annotations

from collections.abc import Iterator

from octavia_amphora.wire.heartbeat import BalancerBeat
from octavia_provider.model.events import Reason

REASONS = {
    Reason.HaproxyRestarted: "haproxy had ended; the agent has started it again",
    Reason.HaproxyHung: "haproxy did not answer; the agent has ended it",
    Reason.KeepalivedRestarted: "keepalived had ended or was stopped; the agent has started it again",
}
"""In the order of ``Repairs`` on the wire, and what is said."""


class AgentRepairs:
    """Of all amphorae: the counts of the last heartbeat, which begin anew with each start of an agent."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, tuple[int, tuple[int, ...]]]] = {}

    def new(self, amphora_id: str, boot: int, beat: BalancerBeat) -> Iterator[tuple[Reason, int]]:
        """Reasons, and how often since the last heartbeat. The first one that is heard says nothing: it may be told already."""
        of = self._known.setdefault(amphora_id, {})
        before, of[beat.load_balancer_id] = of.get(beat.load_balancer_id), (boot, beat.repairs)
        if before is None or before == (boot, beat.repairs):
            return
        counts = before[1] if before[0] == boot else ()
        counts += (0,) * len(beat.repairs)
        for reason, earlier, now in zip(REASONS, counts, beat.repairs, strict=False):
            if now > earlier:
                yield reason, now - earlier

    def forget(self, amphora_id: str) -> None:
        """It is gone."""
        self._known.pop(amphora_id, None)
