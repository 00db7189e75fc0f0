# SPDX-License-Identifier: Apache-2.0
"""Deletes resources: those removed from the program, replaced ones, dependents of a replacement, or all.

Dependents are deleted first, independent resources concurrently. Creates of unknown outcome are removed too: if the
provider's Create is idempotent (``creates_once``), it is called again, which adopts the object, and then deleted.

If one of the resources is protected, none is deleted. (Pulumi deletes the rest.)
"""

from __future__ import annotations

import asyncio

from octavia_engine import decisions, urns
from octavia_engine.deployment import Deployment, Skipped, StepFailed
from octavia_engine.events import Step
from octavia_engine.provider import SOME, Diff, Provider, ProviderError
from octavia_engine.snapshot import Change
from octavia_engine.state import ResourceState
from octavia_engine.values import Props
from octavia_provider.model.errors import OctaviaError

_PROTECTED = (
    "it is protected, so nothing is deleted; take `protect` from it in the program and run `octaviactl up` first"
)


class Removal:
    """Deletes states of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def delete_unregistered(self) -> None:
        """Delete everything that the program did not register, at the end of a successful run."""
        done = set(self._deployment.news.values())
        await self._delete_states(
            {key: state for key, state in self._deployment.snapshots.states.items() if key not in done}
        )

    async def delete_all(self) -> None:
        """Destroy the stack."""
        await self._delete_states(dict(self._deployment.snapshots.states))

    async def _delete_states(self, states: dict[int, ResourceState]) -> None:
        """Delete these states, each as soon as its dependents are deleted; none if one is protected."""
        unfinished = self._removable_creates()
        if self._report_protected([*states.values(), *unfinished.values()]):
            return
        waits_for = _deletion_order(states, unfinished)
        urns_of_all = {state.urn for state in states.values()}
        tasks: dict[int, asyncio.Task[bool]] = {}

        async def delete_after_dependents(key: int) -> bool:
            # all tasks are created before any runs, so every task that it waits for exists
            gone = await asyncio.gather(*(asyncio.shield(tasks[other]) for other in waits_for[key]))
            if not all(gone):
                return False
            if key in unfinished:
                return await self._remove_unfinished(unfinished[key], urns_of_all)
            return await self._delete_one(key, states[key], urns_of_all)

        for key in waits_for:
            tasks[key] = asyncio.create_task(delete_after_dependents(key))
        await asyncio.gather(*tasks.values())

    def _report_protected(self, states: list[ResourceState]) -> bool:
        """Whether any of these is protected; reports them. Replaced ones do not count: their replacement was allowed
        because the program removed ``protect``, which the old state does not show."""
        found = dict.fromkeys(state.urn for state in states if state.protect and not state.delete)
        for urn in found:
            self._deployment.error(urn, _PROTECTED)
        return bool(found)

    def _removable_creates(self) -> dict[int, ResourceState]:
        """Pending creates that can be removed."""
        return {
            key: state
            for key, state in self._deployment.snapshots.unfinished_creates().items()
            if urns.is_provider(state.type) or urns.package_of(state.type) in self._deployment.creates_once
        }

    async def _remove_unfinished(self, state: ResourceState, deleted_urns: set[str]) -> bool:
        """Remove the objects of pending creates of a URN; return whether none is left. Errors are reported."""
        snapshots = self._deployment.snapshots
        end_changes = [snapshots.end(key) for key in snapshots.pending_creates(state.urn)]
        if urns.is_provider(state.type) or state.retain_on_delete or state.deleted_with in deleted_urns:
            snapshots.record(*end_changes)
            return True
        try:
            provider = await self._deployment.provider_of(state)
            async with self._deployment.step(Step("delete", state.urn, old=state)):
                if provider is not None and not self._deployment.preview:
                    await self._create_and_delete(provider, state, end_changes)
        except Skipped:
            return False
        except OctaviaError as error:
            name = urns.name_of(state.urn)
            hint = f"if it cannot exist any more, octaviactl stack forget {name}"
            self._deployment.error(
                state.urn, f"a run was interrupted while creating it, and it cannot be removed: {error}; {hint}"
            )
            return False
        return True

    async def _create_and_delete(self, provider: Provider, state: ResourceState, end_changes: list[Change]) -> None:
        """Create with the journaled inputs, then delete. In between the state is marked for deletion."""
        snapshots = self._deployment.snapshots
        (ident, outputs), last = await self._deployment.mutate(
            "creating", state, lambda: _create_again(provider, state)
        )
        found = state.copy(id=ident, outputs=outputs, delete=True)
        key, change = snapshots.put(found, last=True)
        snapshots.record(*end_changes, *last, change)
        await snapshots.sync()
        _, gone = await self._deployment.mutate("deleting", found, lambda: provider.delete(found))
        snapshots.record(*gone, snapshots.drop(key))
        await snapshots.sync()

    async def _delete_one(self, key: int, state: ResourceState, deleted_urns: set[str]) -> bool:
        """Delete one state; return whether it is gone. Errors are reported."""
        op = "delete-replaced" if state.delete else "delete"
        try:
            await self._delete(Step(op, state.urn, old=state), key, with_parent=state.deleted_with in deleted_urns)
        except Skipped:
            return False
        except OctaviaError as error:
            self._deployment.error(state.urn, str(error))
            return False
        return True

    async def _delete(self, step: Step, key: int, *, with_parent: bool, keep: ResourceState | None = None) -> None:
        """Delete the object behind ``key``; its state is dropped, or becomes ``keep``."""
        state, snapshots = step.state, self._deployment.snapshots
        final_changes = [*map(snapshots.end, snapshots.pending_deletes(state))]
        final_changes += [snapshots.drop(key) if keep is None else snapshots.put(keep, key=key)[1]]
        state_only = state.external or state.retain_on_delete or state.pending_replacement or with_parent
        provider = None if state_only else await self._deployment.provider_of(state)
        async with self._deployment.step(step):
            if provider is None or self._deployment.preview:
                snapshots.record(*final_changes)
                return
            try:
                _, end_changes = await self._deployment.mutate("deleting", state, lambda: provider.delete(state))
            except ProviderError as error:
                if error.partial is not None:
                    kept = state.copy(init_errors=error.partial.reasons, outputs=error.partial.outputs)
                    snapshots.record(snapshots.put(kept, key=key)[1])
                raise
            snapshots.record(*end_changes, *final_changes)
            await snapshots.sync()

    async def delete_before_replacement(self, urn: str, old: ResourceState, diff: Diff) -> None:
        """Delete ``old`` before its replacement, after its dependents that must be replaced too.

        They stay in the state as *pending replacement* until they are recreated, so a crash in between is detected.
        """
        dependents = await self._dependent_replacements(old)
        protected = [state.urn for state in dependents if state.protect]
        if protected:
            message = f"it would be replaced, which takes along what is protected: {', '.join(map(urns.display_name, protected))}"
            self._deployment.error(
                urn, f"{message}; take `protect` from it in the program and run `octaviactl up` first"
            )
            raise StepFailed(message, subject=urn)
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for state in dependents:
            self._deployment.dependent_replacements[state.urn] = gate
        try:
            for state in reversed(dependents):
                await self._delete_pending_replacement(state.urn, state, Diff(SOME))
            await self._delete_pending_replacement(urn, old, diff)
        finally:
            gate.set_result(None)

    async def _delete_pending_replacement(self, urn: str, state: ResourceState, diff: Diff) -> None:
        kept = state.copy(pending_replacement=True)
        with_parent = (
            state.deleted_with in self._deployment.dependent_replacements
            or state.deleted_with in self._deployment.replaced
        )
        step = Step("delete-replaced", urn, old=state, diff=diff)
        await self._delete(step, self._deployment.olds[urn], with_parent=with_parent, keep=kept)

    async def _dependent_replacements(self, root: ResourceState) -> list[ResourceState]:
        """Dependents of ``root`` that must be replaced if its outputs become unknown; dependencies first."""
        old_urns = set(self._deployment.olds)
        order = [
            state
            for key, state in self._deployment.snapshots.states.items()
            if self._deployment.olds.get(state.urn) == key
        ]
        replaced = {root.urn}
        found: list[ResourceState] = []
        for state in decisions.dependents(root.urn, order):
            if (
                state.urn in self._deployment.registered_urns
                or state.urn not in old_urns
                or not state.custom
                or state.external
            ):
                continue  # registered already in this run: it no longer depends on it
            if state.pending_replacement or await self._would_be_replaced(state, replaced):
                replaced.add(state.urn)
                found.append(state)
        return found

    async def _would_be_replaced(self, state: ResourceState, replaced: set[str]) -> bool:
        if state.provider.rpartition("::")[0] in replaced:
            self._deployment.dependent_replace_keys[state.urn] = ["provider"]
            return True
        inputs = decisions.inputs_with_unknowns(state, replaced)
        if inputs is None:
            return False
        provider = await self._deployment.provider_of(state)
        if provider is None:
            return False
        diff = await provider.diff(state, inputs, [])
        replacing = [path for path, found in (diff.detailed or {}).items() if found.kind.endswith("-replace")]
        self._deployment.dependent_replace_keys[state.urn] = diff.replace_keys or replacing
        return diff.replace


async def _create_again(provider: Provider, state: ResourceState) -> tuple[str, Props]:
    """Create again; return the id and outputs, even of a partial object."""
    try:
        return await provider.create(state, preview=False)
    except ProviderError as error:
        if error.partial is None:
            raise
        return error.partial.id, error.partial.outputs


def _deletion_order(states: dict[int, ResourceState], unfinished: dict[int, ResourceState]) -> dict[int, set[int]]:
    """For each key, the keys that must be deleted first."""
    by_urn: dict[str, list[int]] = {}
    for key, state in states.items():
        by_urn.setdefault(state.urn, []).append(key)
    waits_for: dict[int, set[int]] = {key: set() for key in (*states, *unfinished)}
    for key, state in (states | unfinished).items():
        for urn in state.required_urns():
            for needed in by_urn.get(urn, ()):
                if needed != key:
                    waits_for[needed].add(key)
    for key, state in unfinished.items():  # its Create must not adopt the object of another state
        for other in by_urn.get(state.urn, ()):
            if not _waits_for(waits_for, other, key):
                waits_for[key].add(other)
    return waits_for


def _waits_for(waits_for: dict[int, set[int]], one: int, other: int) -> bool:
    """Whether ``one`` waits for ``other``, directly or not."""
    seen, queue = {one}, [one]
    while queue:
        found = waits_for[queue.pop()] - seen
        seen |= found
        queue += found
    return other in seen
