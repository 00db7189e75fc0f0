# SPDX-License-Identifier: Apache-2.0
"""The steps that bring one resource to its goal (Pulumi's step generator, for one goal)."""

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
class _CallResult:
    """The result of Create or Update: a complete object, or a partial one with ``error``."""

    id: str
    outputs: Props
    inputs: Props
    error: ProviderError | None = None

    @property
    def reasons(self) -> list[str]:
        return self.error.partial.reasons if self.error and self.error.partial else []


class Registration:
    """Executes one goal; :meth:`run` for RegisterResource, :meth:`read` for ReadResource."""

    def __init__(self, deployment: Deployment, goal: Goal) -> None:
        self._deployment, self.goal = deployment, goal
        names = deployment.names
        is_root = goal.type == urns.STACK_TYPE
        engine_made = urns.is_provider(goal.type) and goal.name.startswith("default") and not goal.parent
        self.parent = goal.parent or ("" if is_root or engine_made else names.root)
        self.urn = urns.urn(names.stack, names.project, self.parent, goal.type, goal.name)
        self._provider: Provider | None = None
        self._seed = os.urandom(32)

    # --- entry points ------------------------------------------------------------------------------------------

    async def run(self) -> ResourceState:
        """Bring the resource to the goal; return its new state."""
        old = await self._claim_urn()
        state = await self._new_state()
        if self._needs_import(old):
            old = await self._import(state)
        if old is not None and not self._deployment.preview:
            old = await self._resolve_pending_delete(old)
        recreating = old is not None and old.pending_replacement
        fresh = old is None or old.external or recreating
        await self._check(state, {} if fresh or old is None else old.inputs)
        if old is None:
            for line in traffic_effects.ignore_changes_problems(self.goal.type, self.goal.ignore_changes):
                self._deployment.warn(self.urn, line)
            return await self._create(state)
        if recreating or old.external:
            replace_keys = self._deployment.dependent_replace_keys.get(self.urn, [])
            return await self._replace(state, old, Diff(SOME, replace_keys), delete_first=recreating)
        return await self._apply_diff(state, old)

    async def read(self) -> ResourceState:
        """Read an external resource; return its state."""
        await self._claim_urn()
        state = await self._new_state()
        state.external, state.id = True, self.goal.id
        state.inputs = self.goal.inputs
        if values.has_unknown(state.id):  # the id of a resource that only the preview created
            self._store(state, self._deployment.olds.get(self.urn))
            return state
        provider = self._required_provider()
        async with self._deployment.step(Step("read", self.urn, new=state)):
            found = await provider.read(state)
        if found is None:
            raise self._fail(f"there is no {self.goal.type} with the id {self.goal.id}")
        state.id, state.outputs = found[0], values.mark_secret(found[1], self.goal.additional_secret_outputs)
        state.created = state.modified = now()
        self._store(state, self._deployment.olds.get(self.urn))
        return state

    async def _claim_urn(self) -> ResourceState | None:
        """Claim the URN; return the old state of it or of an alias."""
        if self.urn in self._deployment.registered_urns:
            raise Conflict("two resources have this type and name", subject=self.urn, hint="give one another name")
        self._deployment.registered_urns.add(self.urn)
        old = self._find_old()
        gate = self._deployment.dependent_replacements.get(old.urn if old else self.urn)
        if gate is not None:
            await asyncio.shield(gate)
            old = self._deployment.old(self.urn)
        if self._deployment.cancelled:
            raise Skipped("the run was cancelled", subject=self.urn)
        return old

    def _find_old(self) -> ResourceState | None:
        found = self._deployment.old(self.urn)
        if found is not None:
            return found
        parents = (
            [self._deployment.urns_before_alias[self.parent]]
            if self.parent in self._deployment.urns_before_alias
            else []
        )
        names = self._deployment.names
        for urn in self.goal.former_urns(names.stack, names.project, self.parent, parents):
            found = self._deployment.old(urn)
            if found is not None and urn not in self._deployment.registered_urns:
                self._deployment.registered_urns.add(urn)
                self._deployment.urns_before_alias[self.urn] = urn
                key = self._deployment.olds[self.urn] = self._deployment.olds.pop(urn)
                self._deployment.snapshots.record({"do": "rename", "urn": urn, "to": self.urn})
                renamed = self._deployment.snapshots.states[key] = found.copy(urn=self.urn)
                return renamed
        return None

    async def _resolve_pending_delete(self, old: ResourceState) -> ResourceState:
        """The old state, marked deleted if a delete of unknown outcome did remove the object."""
        snapshots = self._deployment.snapshots
        pending = snapshots.pending_deletes(old)
        if not pending:
            return old
        if not old.pending_replacement:
            found = await self._required_provider().read(old)
            old = old.copy(pending_replacement=found is None)
        _, change = snapshots.put(old, key=self._deployment.olds[self.urn])
        snapshots.record(change, *map(snapshots.end, pending))
        return old

    async def _new_state(self) -> ResourceState:
        """The goal as a state without id and outputs; resolves its provider."""
        goal = self.goal
        self._provider, reference = await self._deployment.provider_for(goal)
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
        if state.required_urns() & self._deployment.failed:
            raise Skipped("something it depends on failed", subject=self.urn)
        if not self._deployment.preview and values.has_unknown(goal.inputs):
            if self._deployment.failed:
                raise Skipped("something it depends on failed", subject=self.urn)
            raise self._fail("an input is not known, and this is no preview")
        return state

    # --- provider calls ----------------------------------------------------------------------------------------

    def _fail(self, *messages: str) -> StepFailed:
        for message in messages:
            self._deployment.error(self.urn, message)
        return StepFailed("; ".join(messages), subject=self.urn)

    def _required_provider(self) -> Provider:
        if self._provider is None:
            raise Conflict("components have no provider; only custom resources are read or imported", subject=self.urn)
        return self._provider

    async def _check(self, state: ResourceState, olds: Props) -> None:
        """Check ``state.inputs`` and fill in defaults. Raises StepFailed after displaying every failure."""
        news = propertypath.keep_old(self.goal.inputs, olds, self.goal.ignore_changes) if olds else self.goal.inputs
        if self._provider is None:
            state.inputs = news
            return
        state.inputs, failures = await self._provider.check(state, olds, news, self._seed)
        if failures:
            raise self._fail(*(f"{item.path}: {item.reason}" if item.path else item.reason for item in failures))

    async def _diff(self, old: ResourceState, state: ResourceState) -> Diff:
        goal = self.goal
        if goal.deleted_with and goal.deleted_with in self._deployment.replaced:
            return Diff(SOME, replace_keys=["deletedWith"])
        if await self._provider_changed(old, state):
            return Diff(SOME, replace_keys=["provider"])
        if self._provider is None:
            return decisions.compare(old.inputs, state.inputs)
        diff = await self._provider.diff(old, state.inputs, goal.ignore_changes)
        return decisions.resolve_diff(diff, old, state.inputs, goal.replace_on_changes)

    async def _provider_changed(self, old: ResourceState, state: ResourceState) -> bool:
        """Whether the new provider requires a replacement, according to its DiffConfig."""
        if old.provider == state.provider or not (old.provider and state.provider):
            return old.provider != state.provider
        urn = urns.split_reference(state.provider)[0]
        if self._deployment.urns_before_alias.get(urn) == urns.split_reference(old.provider)[0]:
            return False
        before, after = self._deployment.state_of_provider(old.provider), self._deployment.new(urn)
        if before is None or after is None or before.type != after.type:
            return True
        return (await self._deployment.plugin(state.provider).diff_config(before, after)).replace

    # --- steps -------------------------------------------------------------------------------------------------

    def _needs_import(self, old: ResourceState | None) -> bool:
        import_id = self.goal.import_id
        return bool(import_id) and (old is None or old.external or import_id not in (old.import_id, old.id))

    async def _import(self, state: ResourceState) -> ResourceState:
        """Import an existing object: the result of Read becomes the old state."""
        provider = self._required_provider()
        import_state = state.copy(id=self.goal.import_id, inputs={}, outputs={})
        async with self._deployment.step(Step("import", self.urn, new=import_state)):
            found = await provider.read(import_state)
            if found is None:
                raise self._fail(f"there is no {self.goal.type} with the id {self.goal.import_id} to import")
            if found[2] is None:
                raise self._fail(f"the provider cannot import a {self.goal.type}: it reads no inputs")
            outputs = values.mark_secret(found[1], self.goal.additional_secret_outputs)
            moment = now()
            read = state.copy(id=found[0], inputs=found[2], outputs=outputs, created=moment, modified=moment)
            old_key = self._deployment.olds.get(self.urn)
            key, change = self._deployment.snapshots.put(read, of=old_key)
            self._deployment.olds[self.urn] = key
            self._deployment.snapshots.record(change)
            await self._deployment.snapshots.sync()
        return read

    async def _create(self, state: ResourceState) -> ResourceState:
        step = Step("create", self.urn, new=state)
        if self._provider is None:
            async with self._deployment.step(step):
                state.created = state.modified = now()
                self._store(state, None)
            return state
        async with self._deployment.step(step):
            result = await self._create_object(state, [], None)
            return self._require_initialized(state, result)

    async def _create_object(self, state: ResourceState, delete_later: list[int], old_key: int | None) -> _CallResult:
        """Create the object and store it, even a partial one. ``delete_later``: old states that become pending deletes."""
        provider, snapshots = self._required_provider(), self._deployment.snapshots
        pending = snapshots.pending_creates(self.urn)
        result, end_changes = await self._deployment.mutate(
            "creating", state, lambda: self._create_call(provider, state)
        )
        outputs = values.mark_secret(result.outputs, self.goal.additional_secret_outputs)
        state.id, state.inputs, state.outputs = result.id, result.inputs, outputs
        state.init_errors = result.reasons
        state.created = state.modified = now()
        changes = [*end_changes, *map(snapshots.end, pending), *self._store_change(state, old_key)]
        changes += [snapshots.put(snapshots.states[key].copy(delete=True), key=key)[1] for key in delete_later]
        snapshots.record(*changes)
        await snapshots.sync()
        return result

    async def _create_call(self, provider: Provider, state: ResourceState) -> _CallResult:
        try:
            ident, outputs = await provider.create(state, preview=self._deployment.preview)
        except ProviderError as error:
            if error.partial is None:
                raise
            part = error.partial
            return _CallResult(part.id, part.outputs, part.inputs or state.inputs, error)
        return _CallResult(ident, outputs, state.inputs)

    def _require_initialized(self, state: ResourceState, result: _CallResult) -> ResourceState:
        """The state of a complete object. Raises StepFailed, displayed, when its initialization failed."""
        if result.error is not None:
            raise self._fail(*result.reasons)
        return state

    async def _apply_diff(self, state: ResourceState, old: ResourceState) -> ResourceState:
        diff = await self._diff(old, state)
        match decisions.choose_step(diff, old):
            case decisions.SAME:
                return await self._same(state, old, diff)
            case decisions.UPDATE:
                return await self._update(state, old, diff)
            case _:
                return await self._plan_replacement(state, old, diff)

    async def _same(self, state: ResourceState, old: ResourceState, diff: Diff) -> ResourceState:
        """The object is unchanged; options and dependencies may have changed."""
        step = Step("same", self.urn, old=old, new=state, diff=diff)
        state.id, state.created, state.modified = old.id, old.created, old.modified
        outputs = values.annotate_secrets(old.outputs, state.inputs)
        state.outputs = values.mark_secret(outputs, self.goal.additional_secret_outputs)
        if isinstance(self._provider, Providers):
            await self._provider.same(old)
        self._deployment.count(step)
        self._deployment.display.finished(step, 0.0, None)
        self._store(state, self._deployment.olds[self.urn])
        return state

    async def _update(self, state: ResourceState, old: ResourceState, diff: Diff) -> ResourceState:
        state.id, state.created, state.modified = old.id, old.created, old.modified
        state.import_id = self.goal.import_id or old.import_id
        key = self._deployment.olds[self.urn]
        async with self._deployment.step(Step("update", self.urn, old=old, new=state, diff=diff)):
            if self._provider is None:
                state.outputs, state.modified = old.outputs, now()
                self._store(state, key)
                return state
            made = await self._update_object(state, old, key)
            return self._require_initialized(state, made)

    async def _update_object(self, state: ResourceState, old: ResourceState, key: int) -> _CallResult:
        """Update the object and store the result, even a partial one."""
        provider, snapshots = self._required_provider(), self._deployment.snapshots
        try:
            result, end_changes = await self._deployment.mutate(
                "updating", state, lambda: self._update_call(provider, old, state)
            )
        except ProviderError as error:
            if error.outcome_unknown:  # forces an Update in the next run, whatever the inputs are then
                snapshots.record(snapshots.put(old.copy(init_errors=[str(error)]), key=key)[1])
            raise
        state.inputs, state.init_errors, state.modified = result.inputs, result.reasons, now()
        state.outputs = values.mark_secret(result.outputs, self.goal.additional_secret_outputs)
        snapshots.record(*end_changes, *self._store_change(state, key))
        await snapshots.sync()
        return result

    async def _update_call(self, provider: Provider, old: ResourceState, state: ResourceState) -> _CallResult:
        try:
            outputs = await provider.update(old, state, preview=self._deployment.preview)
        except ProviderError as error:
            if error.partial is None:
                raise
            part = error.partial
            return _CallResult(old.id, part.outputs, part.inputs or state.inputs, error)
        return _CallResult(old.id, outputs, state.inputs)

    async def _plan_replacement(self, state: ResourceState, old: ResourceState, diff: Diff) -> ResourceState:
        """Decide the order, and check the inputs again: defaults were carried over from the old object."""
        if state.protect and old.protect:
            raise self._fail("it is protected and would have to be replaced; remove `protect` in the program first")
        if self.goal.import_id:
            keys = ", ".join(diff.replace_keys)
            raise self._fail(f"it was imported and {keys} would replace it; remove `import` from the program first")
        await self._check(state, {})
        chosen = self.goal.delete_before_replace
        delete_first = diff.delete_before_replace if chosen is None else chosen
        if delete_first:
            from octavia_engine.removal import Removal

            await Removal(self._deployment).delete_before_replacement(self.urn, old, diff)
        return await self._replace(state, old, diff, delete_first=delete_first)

    async def _replace(
        self, state: ResourceState, old: ResourceState, diff: Diff, *, delete_first: bool
    ) -> ResourceState:
        """Create the replacement. The old object is deleted already, or pending deletion at the end of the run."""
        self._deployment.replaced.add(self.urn)
        key = self._deployment.olds[self.urn]
        step = Step("create-replacement", self.urn, old=old, new=state, diff=diff)
        async with self._deployment.step(step):
            old_is_deleted = delete_first or old.external
            result = await self._create_object(state, [] if old_is_deleted else [key], key if old_is_deleted else None)
        replace_step = Step("replace", self.urn, old=old, new=state, diff=diff)
        self._deployment.count(replace_step)
        self._deployment.display.finished(replace_step, 0.0, None)
        return self._require_initialized(state, result)

    # --- snapshot ----------------------------------------------------------------------------------------------

    def _store_change(self, state: ResourceState, old_key: int | None) -> list[Change]:
        """The change that stores the state as this URN's new one."""
        key, change = self._deployment.snapshots.put(state, of=old_key)
        self._deployment.news[self.urn] = key
        return [change]

    def _store(self, state: ResourceState, old_key: int | None) -> None:
        self._deployment.snapshots.record(*self._store_change(state, old_key))
