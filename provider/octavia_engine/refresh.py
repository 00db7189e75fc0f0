# SPDX-License-Identifier: Apache-2.0
"""Refresh: read every object into the state. Drift becomes visible in the next preview; missing objects leave the state.

A failed Read changes nothing: only a provider's confirmation that an object is gone removes it.
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
        self._deployment = deployment
        self._deleted: dict[str, str] = {}

    async def refresh_all(self) -> None:
        """Refresh all resources concurrently, within the run's parallelism."""
        states = dict(self._deployment.snapshots.states)
        await asyncio.gather(*(self._refresh_one(key, state) for key, state in states.items()))
        self._remove_references()

    async def _refresh_one(self, key: int, state: ResourceState) -> None:
        if not state.custom or urns.is_provider(state.type) or state.pending_replacement:
            return
        try:
            provider = await self._deployment.provider_of(state)
            if provider is not None:
                await self._read(key, state, provider)
        except Skipped:
            return
        except OctaviaError as error:
            self._deployment.error(state.urn, str(error))

    async def _read(self, key: int, state: ResourceState, provider: Provider) -> None:
        fresh = state.copy(init_errors=[], modified=now())
        async with self._deployment.step(Step("refresh", state.urn, old=state, new=fresh)):
            try:
                found = await provider.read(state)
            except ProviderError as error:
                if error.partial is None:
                    raise
                found = error.partial.id, error.partial.outputs, error.partial.inputs
                fresh.init_errors = error.partial.reasons
                self._deployment.warn(state.urn, "; ".join(error.partial.reasons))
        if found is None:
            self._deleted[state.urn] = state.parent
            self._deployment.snapshots.states.pop(key)
            self._deployment.snapshots.record(self._deployment.snapshots.drop(key))
            self._report(Step("delete", state.urn, old=state))
            return
        fresh.id = found[0]
        fresh.outputs = values.annotate_secrets(found[1], state.outputs)
        fresh.inputs = state.inputs if not found[2] else values.annotate_secrets(found[2], state.inputs)
        diff = await provider.diff(fresh, state.inputs, state.ignore_changes)
        outputs_changed = values.plain(fresh.outputs) != values.plain(state.outputs)
        # as in Pulumi: outputs that changed by themselves are no drift if the next `up` would not change them;
        # no `up` changes an external resource
        drifted = outputs_changed if state.external else diff.changes != NONE
        if not (outputs_changed or drifted):
            fresh.modified = state.modified
        self._deployment.snapshots.record(self._deployment.snapshots.put(fresh, key=key)[1])
        if drifted:
            input_diff = decisions.compare(state.inputs, fresh.inputs)
            self._report(
                Step("update", state.urn, old=state, new=fresh, diff=input_diff if input_diff.changed_keys else diff)
            )
        else:
            self._deployment.count(Step("same", state.urn, new=fresh))

    def _report(self, step: Step) -> None:
        self._deployment.count(step)
        self._deployment.display.finished(step, 0.0, None)

    def _remove_references(self) -> None:
        """Remove references to deleted resources."""
        deleted = {
            urn: parent
            for urn, parent in self._deleted.items()
            if all(s.urn != urn for s in self._deployment.snapshots.states.values())
        }
        for key, state in list(self._deployment.snapshots.states.items()):
            if not state.required_urns() & set(deleted):
                continue
            properties = {
                name: [u for u in found if u not in deleted] for name, found in state.property_dependencies.items()
            }
            updated = state.copy(
                dependencies=[urn for urn in state.dependencies if urn not in deleted],
                property_dependencies=properties,
                deleted_with="" if state.deleted_with in deleted else state.deleted_with,
                parent=deleted.get(state.parent, state.parent),
            )
            self._deployment.snapshots.record(self._deployment.snapshots.put(updated, key=key)[1])
