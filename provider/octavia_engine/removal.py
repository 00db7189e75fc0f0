# SPDX-License-Identifier: Apache-2.0
"""Deleting: what left the program, what was replaced, what stands in the way of a replacement, or everything.

Whatever depends on a resource goes before it; independent ones go at the same time. So does what a run began to create
and nobody saw the end of: where the provider makes a create once (``creates_once``), it is created again, which takes
up what is there, and deleted.

Where anything of it is protected, nothing is deleted. (Pulumi deletes the rest.)
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
        self.d = deployment

    async def leftovers(self) -> None:
        """At the end of a run that went well: everything that the program did not register."""
        done = set(self.d.news.values())
        await self._all({key: state for key, state in self.d.snapshots.states.items() if key not in done})

    async def everything(self) -> None:
        """Destroy the stack."""
        await self._all(dict(self.d.snapshots.states))

    async def _all(self, doomed: dict[int, ResourceState]) -> None:
        """Delete these states, each as soon as all that need it are gone; none where one is protected."""
        unfinished = self._unfinished()
        if self._protected([*doomed.values(), *unfinished.values()]):
            return
        waits_for = _order(doomed, unfinished)
        urns_of_all = {state.urn for state in doomed.values()}
        tasks: dict[int, asyncio.Task[bool]] = {}

        async def one(key: int) -> bool:
            # each was created before any runs, so every task that it waits for is there
            gone = await asyncio.gather(*(asyncio.shield(tasks[other]) for other in waits_for[key]))
            if not all(gone):
                return False
            if key in unfinished:
                return await self._take_back(unfinished[key], urns_of_all)
            return await self._one(key, doomed[key], urns_of_all)

        for key in waits_for:
            tasks[key] = asyncio.create_task(one(key))
        await asyncio.gather(*tasks.values())

    def _protected(self, doomed: list[ResourceState]) -> bool:
        """Whether any of these may not be deleted; which ones is shown. What was replaced may be: its replacement was
        allowed because the program took ``protect`` away, which the state of the old object does not know."""
        found = dict.fromkeys(state.urn for state in doomed if state.protect and not state.delete)
        for urn in found:
            self.d.error(urn, _PROTECTED)
        return bool(found)

    def _unfinished(self) -> dict[int, ResourceState]:
        """Pending creates that can be ended here."""
        return {
            key: state
            for key, state in self.d.snapshots.unfinished().items()
            if urns.is_provider(state.type) or urns.package_of(state.type) in self.d.creates_once
        }

    async def _take_back(self, state: ResourceState, doomed: set[str]) -> bool:
        """End the pending creates of a URN; whether nothing of them is left. What goes wrong is shown."""
        snapshots = self.d.snapshots
        settled = [snapshots.settle(key) for key in snapshots.pending_creates(state.urn)]
        if urns.is_provider(state.type) or state.retain_on_delete or state.deleted_with in doomed:
            snapshots.note(*settled)
            return True
        try:
            provider = await self.d.provider_of(state)
            async with self.d.step(Step("delete", state.urn, old=state)):
                if provider is not None and not self.d.preview:
                    await self._create_and_delete(provider, state, settled)
        except Skipped:
            return False
        except OctaviaError as error:
            name = urns.name_of(state.urn)
            way_out = f"if it cannot exist any more, octaviactl stack forget {name}"
            self.d.error(
                state.urn, f"a run was interrupted while creating it, and it cannot be removed: {error}; {way_out}"
            )
            return False
        return True

    async def _create_and_delete(self, provider: Provider, state: ResourceState, settled: list[Change]) -> None:
        """Create with the inputs that the journal has (as Check gave them), then delete. Known in between as doomed."""
        snapshots = self.d.snapshots
        (ident, outputs), last = await self.d.mutate("creating", state, lambda: _create(provider, state))
        found = state.copy(id=ident, outputs=outputs, delete=True)
        key, change = snapshots.put(found, last=True)
        snapshots.note(*settled, *last, change)
        await snapshots.sync()
        _, gone = await self.d.mutate("deleting", found, lambda: provider.delete(found))
        snapshots.note(*gone, snapshots.drop(key))
        await snapshots.sync()

    async def _one(self, key: int, state: ResourceState, doomed: set[str]) -> bool:
        """Delete one state; whether it is gone. What goes wrong is shown."""
        op = "delete-replaced" if state.delete else "delete"
        try:
            await self._delete(Step(op, state.urn, old=state), key, with_parent=state.deleted_with in doomed)
        except Skipped:
            return False
        except OctaviaError as error:
            self.d.error(state.urn, str(error))
            return False
        return True

    async def _delete(self, step: Step, key: int, *, with_parent: bool, keep: ResourceState | None = None) -> None:
        """Delete the object behind ``key``; its state is dropped, or becomes ``keep``."""
        state, snapshots = step.state, self.d.snapshots
        after = [*map(snapshots.settle, snapshots.pending_deletes(state))]
        after += [snapshots.drop(key) if keep is None else snapshots.put(keep, key=key)[1]]
        untouched = state.external or state.retain_on_delete or state.pending_replacement or with_parent
        provider = None if untouched else await self.d.provider_of(state)
        async with self.d.step(step):
            if provider is None or self.d.preview:
                snapshots.note(*after)
                return
            try:
                _, settled = await self.d.mutate("deleting", state, lambda: provider.delete(state))
            except ProviderError as error:
                if error.partial is not None:
                    kept = state.copy(init_errors=error.partial.reasons, outputs=error.partial.outputs)
                    snapshots.note(snapshots.put(kept, key=key)[1])
                raise
            snapshots.note(*settled, *after)
            await snapshots.sync()

    async def before_replacement(self, urn: str, old: ResourceState, diff: Diff) -> None:
        """Delete what must go before ``old`` can be made again: what it would take along, then itself.

        They stay in the state as *pending replacement* until they are made again, so a crash in between is known.
        """
        condemned = await self._condemned(old)
        protected = [state.urn for state in condemned if state.protect]
        if protected:
            message = f"it would be replaced, which takes along what is protected: {', '.join(map(urns.described, protected))}"
            self.d.error(urn, f"{message}; take `protect` from it in the program and run `octaviactl up` first")
            raise StepFailed(message, subject=urn)
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for state in condemned:
            self.d.condemned[state.urn] = gate
        try:
            for state in reversed(condemned):
                await self._set_aside(state.urn, state, Diff(SOME))
            await self._set_aside(urn, old, diff)
        finally:
            gate.set_result(None)

    async def _set_aside(self, urn: str, state: ResourceState, diff: Diff) -> None:
        kept = state.copy(pending_replacement=True)
        with_parent = state.deleted_with in self.d.condemned or state.deleted_with in self.d.replaced
        step = Step("delete-replaced", urn, old=state, diff=diff)
        await self._delete(step, self.d.olds[urn], with_parent=with_parent, keep=kept)

    async def _condemned(self, root: ResourceState) -> list[ResourceState]:
        """What depends on ``root`` and would have to be replaced, were its inputs unknown; dependencies first."""
        old_urns = set(self.d.olds)
        order = [state for key, state in self.d.snapshots.states.items() if self.d.olds.get(state.urn) == key]
        gone = {root.urn}
        found: list[ResourceState] = []
        for state in decisions.dependents(root.urn, order):
            if state.urn in self.d.seen or state.urn not in old_urns or not state.custom or state.external:
                continue  # registered already in this run: it does not depend on it any more
            if state.pending_replacement or await self._would_be_replaced(state, gone):
                gone.add(state.urn)
                found.append(state)
        return found

    async def _would_be_replaced(self, state: ResourceState, condemned: set[str]) -> bool:
        if state.provider.rpartition("::")[0] in condemned:
            self.d.condemned_for[state.urn] = ["provider"]
            return True
        inputs = decisions.suspended(state, condemned)
        if inputs is None:
            return False
        provider = await self.d.provider_of(state)
        if provider is None:
            return False
        diff = await provider.diff(state, inputs, [])
        replacing = [path for path, found in (diff.detailed or {}).items() if found.kind.endswith("-replace")]
        self.d.condemned_for[state.urn] = diff.replace_keys or replacing
        return diff.replace


async def _create(provider: Provider, state: ResourceState) -> tuple[str, Props]:
    """The id and outputs of what is there after a Create, well or not."""
    try:
        return await provider.create(state, preview=False)
    except ProviderError as error:
        if error.partial is None:
            raise
        return error.partial.id, error.partial.outputs


def _order(doomed: dict[int, ResourceState], unfinished: dict[int, ResourceState]) -> dict[int, set[int]]:
    """Which of these wait for which others to be gone."""
    by_urn: dict[str, list[int]] = {}
    for key, state in doomed.items():
        by_urn.setdefault(state.urn, []).append(key)
    waits_for: dict[int, set[int]] = {key: set() for key in (*doomed, *unfinished)}
    for key, state in (doomed | unfinished).items():
        for urn in state.needs():
            for needed in by_urn.get(urn, ()):
                if needed != key:
                    waits_for[needed].add(key)
    for key, state in unfinished.items():  # its Create must not take up what another state speaks of
        for other in by_urn.get(state.urn, ()):
            if not _waits(waits_for, other, key):
                waits_for[key].add(other)
    return waits_for


def _waits(waits_for: dict[int, set[int]], one: int, other: int) -> bool:
    """Whether ``one`` waits for ``other``, directly or not."""
    seen, ahead = {one}, [one]
    while ahead:
        found = waits_for[ahead.pop()] - seen
        seen |= found
        ahead += found
    return other in seen
