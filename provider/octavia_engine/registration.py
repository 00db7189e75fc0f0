# SPDX-License-Identifier: Apache-2.0
"""One resource on its way from what the program asks to what there is (Pulumi's step generator, for one goal)."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from octavia_engine import decisions, propertypath, traffic_effects, urns, values
from octavia_engine.deployment import Deployment, Skipped, StepFailed
from octavia_engine.events import Step
from octavia_engine.goals import Goal
from octavia_engine.provider import SOME, Diff, Provider, ProviderError
from octavia_engine.providers import Providers
from octavia_engine.snapshot import Change
from octavia_engine.state import ResourceState, now
from octavia_engine.values import Props
from octavia_provider.model.errors import Conflict


@dataclass
class _Made:
    """What a provider's Create gave: a whole object, or one that is not well (then ``error`` says why)."""

    id: str
    outputs: Props
    inputs: Props
    error: ProviderError | None = None

    @property
    def reasons(self) -> list[str]:
        return self.error.partial.reasons if self.error and self.error.partial else []


class Registration:
    """A goal being carried out; :meth:`run` for RegisterResource, :meth:`read` for ReadResource."""

    def __init__(self, deployment: Deployment, goal: Goal) -> None:
        self.d, self.goal = deployment, goal
        names = deployment.names
        is_root = goal.type == urns.STACK_TYPE
        engine_made = urns.is_provider(goal.type) and goal.name.startswith("default") and not goal.parent
        self.parent = goal.parent or ("" if is_root or engine_made else names.root)
        self.urn = urns.urn(names.stack, names.project, self.parent, goal.type, goal.name)
        self._provider: Provider | None = None
        self._seed = os.urandom(32)

    # --- the ways in -------------------------------------------------------------------------------------------

    async def run(self) -> ResourceState:
        """Bring the resource to the goal; its new state."""
        old = await self._enter()
        state = await self._state()
        if self._imports(old):
            old = await self._import(state)
        if old is not None and not self.d.preview:
            old = await self._ascertained(old)
        recreating = old is not None and old.pending_replacement
        fresh = old is None or old.external or recreating
        await self._check(state, {} if fresh or old is None else old.inputs)
        if old is None:
            for line in traffic_effects.ignored(self.goal.type, self.goal.ignore_changes):
                self.d.warn(self.urn, line)
            return await self._create(state)
        if recreating or old.external:
            because = self.d.condemned_for.get(self.urn, [])
            return await self._replace(state, old, Diff(SOME, because), delete_first=recreating)
        return await self._change(state, old)

    async def read(self) -> ResourceState:
        """Read an object that others own; its state."""
        await self._enter()
        state = await self._state()
        state.external, state.id = True, self.goal.id
        state.inputs = self.goal.inputs
        if values.has_unknown(state.id):  # of something that a preview has not made
            self._store(state, self.d.olds.get(self.urn))
            return state
        provider = self._required()
        async with self.d.step(Step("read", self.urn, new=state)):
            found = await provider.read(state)
        if found is None:
            raise self._fail(f"there is no {self.goal.type} with the id {self.goal.id}")
        state.id, state.outputs = found[0], values.mark_secret(found[1], self.goal.additional_secret_outputs)
        state.created = state.modified = now()
        self._store(state, self.d.olds.get(self.urn))
        return state

    async def _enter(self) -> ResourceState | None:
        """Claim the URN; what existed under it, or under an alias."""
        if self.urn in self.d.seen:
            raise Conflict("two resources have this type and name", subject=self.urn, hint="give one another name")
        self.d.seen.add(self.urn)
        old = self._find_old()
        gate = self.d.condemned.get(old.urn if old else self.urn)
        if gate is not None:
            await asyncio.shield(gate)
            old = self.d.old(self.urn)
        if self.d.cancelled:
            raise Skipped("the run was cancelled", subject=self.urn)
        return old

    def _find_old(self) -> ResourceState | None:
        found = self.d.old(self.urn)
        if found is not None:
            return found
        parents = [self.d.former[self.parent]] if self.parent in self.d.former else []
        names = self.d.names
        for urn in self.goal.former_urns(names.stack, names.project, self.parent, parents):
            found = self.d.old(urn)
            if found is not None and urn not in self.d.seen:
                self.d.seen.add(urn)
                self.d.former[self.urn] = urn
                key = self.d.olds[self.urn] = self.d.olds.pop(urn)
                self.d.snapshots.note({"do": "rename", "urn": urn, "to": self.urn})
                renamed = self.d.snapshots.states[key] = found.copy(urn=self.urn)
                return renamed
        return None

    async def _ascertained(self, old: ResourceState) -> ResourceState:
        """What existed, as gone when a delete whose end nobody saw did take it away."""
        snapshots = self.d.snapshots
        doubts = snapshots.pending_deletes(old)
        if not doubts:
            return old
        if not old.pending_replacement:
            found = await self._required().read(old)
            old = old.copy(pending_replacement=found is None)
        _, change = snapshots.put(old, key=self.d.olds[self.urn])
        snapshots.note(change, *map(snapshots.settle, doubts))
        return old

    async def _state(self) -> ResourceState:
        """The goal as a state without id and outputs, its provider at hand."""
        goal = self.goal
        self._provider, reference = await self.d.provider_for(goal)
        state = ResourceState(
            urn=self.urn,
            type=goal.type,
            custom=goal.custom,
            parent=self.parent,
            provider=reference,
            inputs=goal.inputs,
            protect=goal.protect,
            retain_on_delete=goal.retain_on_delete,
            deleted_with=goal.deleted_with,
            import_id=goal.import_id,
            dependencies=goal.dependencies,
            property_dependencies=goal.property_dependencies,
            ignore_changes=goal.ignore_changes,
            replace_on_changes=goal.replace_on_changes,
            additional_secret_outputs=goal.additional_secret_outputs,
            custom_timeouts=goal.custom_timeouts,
        )
        if state.needs() & self.d.failed:
            raise Skipped("something it depends on failed", subject=self.urn)
        if not self.d.preview and values.has_unknown(goal.inputs):
            if self.d.failed:
                raise Skipped("something it depends on failed", subject=self.urn)
            raise self._fail("an input is not known, and this is no preview")
        return state

    # --- questions to the provider -----------------------------------------------------------------------------

    def _fail(self, *messages: str) -> StepFailed:
        for message in messages:
            self.d.error(self.urn, message)
        return StepFailed("; ".join(messages), subject=self.urn)

    def _required(self) -> Provider:
        if self._provider is None:
            raise Conflict("components have no provider; only custom resources are read or imported", subject=self.urn)
        return self._provider

    async def _check(self, state: ResourceState, olds: Props) -> None:
        """``state.inputs`` checked, with defaults. Raises StepFailed with every failure shown."""
        news = propertypath.keep_old(self.goal.inputs, olds, self.goal.ignore_changes) if olds else self.goal.inputs
        if self._provider is None:
            state.inputs = news
            return
        state.inputs, failures = await self._provider.check(state, olds, news, self._seed)
        if failures:
            raise self._fail(*(f"{item.path}: {item.reason}" if item.path else item.reason for item in failures))

    async def _diff(self, old: ResourceState, state: ResourceState) -> Diff:
        goal = self.goal
        if goal.deleted_with and goal.deleted_with in self.d.replaced:
            return Diff(SOME, replace_keys=["deletedWith"])
        if await self._provider_changed(old, state):
            return Diff(SOME, replace_keys=["provider"])
        if self._provider is None:
            return decisions.compare(old.inputs, state.inputs)
        diff = await self._provider.diff(old, state.inputs, goal.ignore_changes)
        return decisions.settled(diff, old, state.inputs, goal.replace_on_changes)

    async def _provider_changed(self, old: ResourceState, state: ResourceState) -> bool:
        """Whether the resource is out of reach for its new provider, which that provider's DiffConfig says."""
        if old.provider == state.provider or not (old.provider and state.provider):
            return old.provider != state.provider
        urn = urns.split_reference(state.provider)[0]
        if self.d.former.get(urn) == urns.split_reference(old.provider)[0]:
            return False
        before, after = self.d.state_of_provider(old.provider), self.d.new(urn)
        if before is None or after is None or before.type != after.type:
            return True
        return (await self.d.plugin(state.provider).diff_config(before, after)).replace

    # --- steps -------------------------------------------------------------------------------------------------

    def _imports(self, old: ResourceState | None) -> bool:
        wanted = self.goal.import_id
        return bool(wanted) and (old is None or old.external or wanted not in (old.import_id, old.id))

    async def _import(self, state: ResourceState) -> ResourceState:
        """Take an existing object over: what was read becomes the old state."""
        provider = self._required()
        asked = state.copy(id=self.goal.import_id, inputs={}, outputs={})
        async with self.d.step(Step("import", self.urn, new=asked)):
            found = await provider.read(asked)
            if found is None:
                raise self._fail(f"there is no {self.goal.type} with the id {self.goal.import_id} to import")
            if found[2] is None:
                raise self._fail(f"the provider cannot import a {self.goal.type}: it reads no inputs")
            outputs = values.mark_secret(found[1], self.goal.additional_secret_outputs)
            moment = now()
            read = state.copy(id=found[0], inputs=found[2], outputs=outputs, created=moment, modified=moment)
            before = self.d.olds.get(self.urn)
            key, change = self.d.snapshots.put(read, of=before)
            self.d.olds[self.urn] = key
            self.d.snapshots.note(change)
            await self.d.snapshots.sync()
        return read

    async def _create(self, state: ResourceState) -> ResourceState:
        step = Step("create", self.urn, new=state)
        if self._provider is None:
            async with self.d.step(step):
                state.created = state.modified = now()
                self._store(state, None)
            return state
        async with self.d.step(step):
            made = await self._make(state, [], None)
            return self._whole(state, made)

    async def _make(self, state: ResourceState, also: list[int], of: int | None) -> _Made:
        """Create the object and store it, even when it is not well. ``also``: old states that wait for deletion now."""
        provider, snapshots = self._required(), self.d.snapshots
        earlier = snapshots.pending_creates(self.urn)
        made, settled = await self.d.mutate("creating", state, lambda: self._create_call(provider, state))
        outputs = values.mark_secret(made.outputs, self.goal.additional_secret_outputs)
        state.id, state.inputs, state.outputs = made.id, made.inputs, outputs
        state.init_errors = made.reasons
        state.created = state.modified = now()
        changes = [*settled, *map(snapshots.settle, earlier), *self._put(state, of)]
        changes += [snapshots.put(snapshots.states[key].copy(delete=True), key=key)[1] for key in also]
        snapshots.note(*changes)
        await snapshots.sync()
        return made

    async def _create_call(self, provider: Provider, state: ResourceState) -> _Made:
        try:
            ident, outputs = await provider.create(state, preview=self.d.preview)
        except ProviderError as error:
            if error.partial is None:
                raise
            part = error.partial
            return _Made(part.id, part.outputs, part.inputs or state.inputs, error)
        return _Made(ident, outputs, state.inputs)

    def _whole(self, state: ResourceState, made: _Made) -> ResourceState:
        """The state of a whole object. Raises StepFailed, shown, when it is not well."""
        if made.error is not None:
            raise self._fail(*made.reasons)
        return state

    async def _change(self, state: ResourceState, old: ResourceState) -> ResourceState:
        diff = await self._diff(old, state)
        match decisions.decide(diff, old):
            case decisions.SAME:
                return await self._same(state, old, diff)
            case decisions.UPDATE:
                return await self._update(state, old, diff)
            case _:
                return await self._plan_replacement(state, old, diff)

    async def _same(self, state: ResourceState, old: ResourceState, diff: Diff) -> ResourceState:
        """Nothing to do for the object; options and dependencies may have changed all the same."""
        step = Step("same", self.urn, old=old, new=state, diff=diff)
        state.id, state.created, state.modified = old.id, old.created, old.modified
        outputs = values.annotate_secrets(old.outputs, state.inputs)
        state.outputs = values.mark_secret(outputs, self.goal.additional_secret_outputs)
        if isinstance(self._provider, Providers):
            await self._provider.same(old)
        self.d.count(step)
        self.d.display.finished(step, 0.0, None)
        self._store(state, self.d.olds[self.urn])
        return state

    async def _update(self, state: ResourceState, old: ResourceState, diff: Diff) -> ResourceState:
        state.id, state.created, state.modified = old.id, old.created, old.modified
        state.import_id = self.goal.import_id or old.import_id
        key = self.d.olds[self.urn]
        async with self.d.step(Step("update", self.urn, old=old, new=state, diff=diff)):
            if self._provider is None:
                state.outputs, state.modified = old.outputs, now()
                self._store(state, key)
                return state
            made = await self._alter(state, old, key)
            return self._whole(state, made)

    async def _alter(self, state: ResourceState, old: ResourceState, key: int) -> _Made:
        """Update the object and store the result, even when it is not well."""
        provider, snapshots = self._required(), self.d.snapshots
        try:
            made, settled = await self.d.mutate("updating", state, lambda: self._update_call(provider, old, state))
        except ProviderError as error:
            if error.lost:  # the next run carries on with it, whatever the inputs are by then
                snapshots.note(snapshots.put(old.copy(init_errors=[str(error)]), key=key)[1])
            raise
        state.inputs, state.init_errors, state.modified = made.inputs, made.reasons, now()
        state.outputs = values.mark_secret(made.outputs, self.goal.additional_secret_outputs)
        snapshots.note(*settled, *self._put(state, key))
        await snapshots.sync()
        return made

    async def _update_call(self, provider: Provider, old: ResourceState, state: ResourceState) -> _Made:
        try:
            outputs = await provider.update(old, state, preview=self.d.preview)
        except ProviderError as error:
            if error.partial is None:
                raise
            part = error.partial
            return _Made(old.id, part.outputs, part.inputs or state.inputs, error)
        return _Made(old.id, outputs, state.inputs)

    async def _plan_replacement(self, state: ResourceState, old: ResourceState, diff: Diff) -> ResourceState:
        """Which goes first? Defaults are worked out anew: they had been carried over from the old object."""
        if state.protect and old.protect:
            raise self._fail("it is protected and would have to be replaced; remove `protect` in the program first")
        if self.goal.import_id:
            keys = ", ".join(diff.replace_keys)
            raise self._fail(f"it was imported and {keys} would replace it; remove `import` from the program first")
        await self._check(state, {})
        asked = self.goal.delete_before_replace
        delete_first = diff.delete_before_replace if asked is None else asked
        if delete_first:
            from octavia_engine.removal import Removal

            await Removal(self.d).before_replacement(self.urn, old, diff)
        return await self._replace(state, old, diff, delete_first=delete_first)

    async def _replace(
        self, state: ResourceState, old: ResourceState, diff: Diff, *, delete_first: bool
    ) -> ResourceState:
        """Create the replacement. The old object is gone already, or waits to be deleted at the end of the run."""
        self.d.replaced.add(self.urn)
        key = self.d.olds[self.urn]
        step = Step("create-replacement", self.urn, old=old, new=state, diff=diff)
        async with self.d.step(step):
            gone = delete_first or old.external
            made = await self._make(state, [] if gone else [key], key if gone else None)
        whole = Step("replace", self.urn, old=old, new=state, diff=diff)
        self.d.count(whole)
        self.d.display.finished(whole, 0.0, None)
        return self._whole(state, made)

    # --- books -------------------------------------------------------------------------------------------------

    def _put(self, state: ResourceState, of: int | None) -> list[Change]:
        """The change that stores the state as this URN's new one."""
        key, change = self.d.snapshots.put(state, of=of)
        self.d.news[self.urn] = key
        return [change]

    def _store(self, state: ResourceState, of: int | None) -> None:
        self.d.snapshots.note(*self._put(state, of))
