# SPDX-License-Identifier: Apache-2.0
"""Load balancers that another control plane brings about: their statuses and statistics are answered here too.

A heartbeat tells by position in a configuration, which it names by its digest. Who has not pushed that configuration asks
the agent for it, once it has come to rest. What was not heard here is not claimed here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from octavia_amphora.wire.heartbeat import BalancerBeat, states
from octavia_provider.model.errors import OctaviaError
from octavia_provider.model.graph import Graph
from octavia_provider.ports import AgentRefused, Agents, Compute, Store, Transaction

from .desired_state import DesiredState
from .push import InForce
from .status_cache import StatusCache

log = structlog.get_logger(__name__)
Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Followed:
    """By amphora and load balancer, the configuration that heartbeats are read by. ``spawn`` runs a task of its own."""

    def __init__(
        self, store: Store, compute: Compute, agents: Agents, status_cache: StatusCache, spawn: Spawn
    ) -> None:  # fmt: skip
        self._store, self._compute, self._agents = store, compute, agents
        self._status_cache, self._spawn = status_cache, spawn
        self._known: dict[tuple[str, str], InForce] = {}
        self._odd: dict[tuple[str, str], str] = {}
        self._asking: set[tuple[str, str]] = set()

    def hear(self, amphora_id: str, beat: BalancerBeat) -> None:
        """What an amphora says of a load balancer that is not ours."""
        which = (amphora_id, beat.load_balancer_id)
        known = self._known.get(which)
        if known and (seen := states(beat, known.configuration, known.digest)):
            self._odd.pop(which, None)
            self._status_cache.see(amphora_id, known.configuration, seen)
            return
        if not beat.serving:
            self._status_cache.lost(beat.load_balancer_id, amphora_id)
        at_rest = known is None or self._odd.get(which) == beat.digest
        self._odd[which] = beat.digest
        if at_rest and which not in self._asking:
            self._asking.add(which)
            self._spawn(self._ask(which))

    def forget(self, amphora_id: str, load_balancer_id: str) -> None:
        """Nothing is heard of it any more, or it is gone."""
        self._known.pop((amphora_id, load_balancer_id), None)
        self._odd.pop((amphora_id, load_balancer_id), None)
        self._status_cache.unheard(load_balancer_id, amphora_id)

    async def _ask(self, which: tuple[str, str]) -> None:
        amphora_id, load_balancer_id = which
        try:
            instances = await self._compute.instances(load_balancer_id)
            host = next((one for one in instances if one.amphora_id == amphora_id), None)
            found = await self._agents.in_force(host, load_balancer_id) if host else None
            graph = await self._store.read(lambda tx: _graph(tx, load_balancer_id)) if found else None
        except (OctaviaError, AgentRefused, OSError) as error:
            log.info("not followed", amphora=amphora_id, load_balancer=load_balancer_id, reason=str(error))
            return
        finally:
            self._asking.discard(which)
        if found is not None:
            self._known[which] = InForce(found.configuration, found.digest)
        if found is not None and graph is not None:
            self._status_cache.stands_aside(graph, found.configuration)


def _graph(tx: Transaction, load_balancer_id: str) -> Graph | None:
    scope = tx.scope(load_balancer_id)
    if scope is None:
        return None
    desired_state = DesiredState(scope)
    desired_state.read(scope, tx.find(scope_id=load_balancer_id), lambda id_: tx.get("tls_container", id_))
    return None if desired_state.gone else desired_state.graph()
