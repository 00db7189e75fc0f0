# SPDX-License-Identifier: Apache-2.0
"""Read what exists into the state: drift becomes visible to the next preview, what is gone leaves the state.

A Read that fails changes nothing: only a provider's word that an object is gone removes it.
"""

from __future__ import annotations

import asyncio

from octavia_engine import decisions, urns, values
from octavia_engine.deployment import Deployment, Skipped
from octavia_engine.events import Step
from octavia_engine.provider import NONE, Provider, ProviderError
from octavia_engine.state import ResourceState, now
from octavia_provider.model.errors import OctaviaError


class Refresh:
    """Refreshes every resource of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.d = deployment
        self._gone: dict[str, str] = {}

    async def everything(self) -> None:
        """All at once, as far as the run's parallelism goes."""
        states = dict(self.d.snapshots.states)
        await asyncio.gather(*(self._one(key, state) for key, state in states.items()))
        self._forget()

    async def _one(self, key: int, state: ResourceState) -> None:
        if not state.custom or urns.is_provider(state.type) or state.pending_replacement:
            return
        try:
            provider = await self.d.provider_of(state)
            if provider is not None:
                await self._read(key, state, provider)
        except Skipped:
            return
        except OctaviaError as error:
            self.d.error(state.urn, str(error))

    async def _read(self, key: int, state: ResourceState, provider: Provider) -> None:
        fresh = state.copy(init_errors=[], modified=now())
        async with self.d.step(Step("refresh", state.urn, old=state, new=fresh)):
            try:
                found = await provider.read(state)
            except ProviderError as error:
                if error.partial is None:
                    raise
                found = error.partial.id, error.partial.outputs, error.partial.inputs
                fresh.init_errors = error.partial.reasons
                self.d.warn(state.urn, "; ".join(error.partial.reasons))
        if found is None:
            self._gone[state.urn] = state.parent
            self.d.snapshots.states.pop(key)
            self.d.snapshots.note(self.d.snapshots.drop(key))
            self._tell(Step("delete", state.urn, old=state))
            return
        fresh.id = found[0]
        fresh.outputs = values.annotate_secrets(found[1], state.outputs)
        fresh.inputs = state.inputs if not found[2] else values.annotate_secrets(found[2], state.inputs)
        diff = await provider.diff(fresh, state.inputs, state.ignore_changes)
        moved = values.plain(fresh.outputs) != values.plain(state.outputs)
        # as Pulumi: what the next `up` would not change is no drift, though its outputs may have moved by themselves;
        # of what others own, no `up` changes anything
        drifted = moved if state.external else diff.changes != NONE
        if not (moved or drifted):
            fresh.modified = state.modified
        self.d.snapshots.note(self.d.snapshots.put(fresh, key=key)[1])
        if drifted:
            seen = decisions.compare(state.inputs, fresh.inputs)
            self._tell(Step("update", state.urn, old=state, new=fresh, diff=seen if seen.changed_keys else diff))
        else:
            self.d.count(Step("same", state.urn, new=fresh))

    def _tell(self, step: Step) -> None:
        self.d.count(step)
        self.d.display.finished(step, 0.0, None)

    def _forget(self) -> None:
        """Nothing refers to what is gone any more."""
        gone = {
            urn: parent
            for urn, parent in self._gone.items()
            if all(s.urn != urn for s in self.d.snapshots.states.values())
        }
        for key, state in list(self.d.snapshots.states.items()):
            if not state.needs() & set(gone):
                continue
            properties = {
                name: [u for u in found if u not in gone] for name, found in state.property_dependencies.items()
            }
            kept = state.copy(
                dependencies=[urn for urn in state.dependencies if urn not in gone],
                property_dependencies=properties,
                deleted_with="" if state.deleted_with in gone else state.deleted_with,
                parent=gone.get(state.parent, state.parent),
            )
            self.d.snapshots.note(self.d.snapshots.put(kept, key=key)[1])
