# SPDX-License-Identifier: Apache-2.0
"""How an agent's load balancers are served: folders, haproxy, times."""

from __future__ import annotations

from dataclasses import dataclass

from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.haproxy.user import HaproxyUser


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What all load balancers of an amphora share. Times are in seconds; ``settle`` is for a start or a reload.

    ``finish``: how long a push waits for what removed servers are still answering.
    """

    amphora_id: str
    state_directory: str
    run_directory: str
    haproxy: str = "haproxy"
    haproxy_user: HaproxyUser | None = None
    start_timeout: float = 15.0
    drain_timeout: float = 10.0
    idle_timeout: float = 1.0
    max_restart_pause: float = 10.0

    def paths(self, load_balancer_id: str) -> Paths:
        """Where the files of a load balancer are."""
        return Paths.for_load_balancer(self.state_directory, self.run_directory, load_balancer_id, self.haproxy_user)
