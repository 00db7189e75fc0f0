# SPDX-License-Identifier: Apache-2.0
"""One run over a stack: the state shared by all registrations.

Everything runs in one event loop, so code between two awaits is never interrupted. When a resource fails, its dependents
are skipped and the rest continues; resources that were removed from the program are not deleted in that run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from octavia_engine import events, urns, values
from octavia_engine.events import Display, Step, Summary
from octavia_engine.goals import Goal
from octavia_engine.project import Config
from octavia_engine.provider import PluginProvider, Provider, ProviderError
from octavia_engine.providers import Providers
from octavia_engine.snapshot import Change
from octavia_engine.snapshot_manager import SnapshotManager
from octavia_engine.state import ResourceState
from octavia_engine.values import Props
from octavia_provider.model.errors import NotFound, OctaviaError, PermanentError

T = TypeVar("T")
CREATES_ONCE = frozenset({"octavia"})
"""Packages whose Create is idempotent: called again for the same provider and URN, it adopts what an interrupted call left."""


class StepFailed(PermanentError):
    """A step of a resource failed; the error has been displayed."""


class Skipped(StepFailed):
    """A resource was skipped, because a dependency failed or the run was cancelled."""


@dataclass(frozen=True)
class StackNames:
    """The project and the stack."""

    project: str
    stack: str

    @property
    def root(self) -> str:
        """The URN of the stack resource."""
        return urns.root_urn(self.stack, self.project)


class Deployment:
    """The shared state of one run. ``preview`` changes nothing and calls providers in preview mode."""

    def __init__(
        self,
        names: StackNames,
        snapshots: SnapshotManager,
        providers: Providers,
        config: Config,
        display: Display,
        *,
        preview: bool,
        parallel: int,
        creates_once: frozenset[str] = CREATES_ONCE,
    ) -> None:
        self.names, self.snapshots, self.providers, self.config = names, snapshots, providers, config
        self.display, self.preview, self.creates_once = display, preview, creates_once
        self.summary = Summary()
        self.olds: dict[str, int] = {}
        """URN → key of the old state; without states that are pending deletion."""
        self.news: dict[str, int] = {}
        """URN → key of the state registered in this run."""
        self.registered_urns: set[str] = set()
        self.failed: set[str] = set()
        self.replaced: set[str] = set()
        self.urns_before_alias: dict[str, str] = {}
        """New URN → the old URN, for resources found by an alias."""
        self.dependent_replacements: dict[str, asyncio.Future[None]] = {}
        """URNs deleted because a resource they depend on is replaced; recreated when the program registers them."""
        self.dependent_replace_keys: dict[str, list[str]] = {}
        """URN → the properties that cause its dependent replacement."""
        self.cancelled = False
        self.idle = asyncio.Event()
        """Set while no step is running."""
        self.idle.set()
        self._running = 0
        self._slots = asyncio.Semaphore(parallel)
        self._defaults: dict[tuple[str, str], asyncio.Task[str]] = {}
        self._started = time.monotonic()
        for key, state in snapshots.states.items():
            if not state.delete:
                self.olds[state.urn] = key
        root = self.olds.get(names.root)
        self.summary.old_outputs = snapshots.states[root].outputs if root is not None else {}
        self.summary.outputs = self.summary.old_outputs

    # --- what exists -------------------------------------------------------------------------------------------

    def old(self, urn: str) -> ResourceState | None:
        """The old state of that URN."""
        key = self.olds.get(urn)
        return None if key is None else self.snapshots.states.get(key)

    def new(self, urn: str) -> ResourceState | None:
        """The state of that URN registered in this run."""
        key = self.news.get(urn)
        return None if key is None else self.snapshots.states[key]

    def state_of_provider(self, reference: str) -> ResourceState | None:
        """The provider resource of a reference, new or old (also one that waits to be deleted)."""
        urn, ident = urns.split_reference(reference)
        for found in (self.new(urn), self.old(urn), *self.snapshots.states.values()):
            if found is not None and found.urn == urn and found.id == ident:
                return found
        return None

    async def provider_of(self, state: ResourceState) -> Provider | None:
        """The provider that manages an existing state, started when it is not; None for components."""
        if not state.custom:
            return None
        if urns.is_provider(state.type):
            return self.providers
        owner = self.state_of_provider(state.provider)
        if owner is None:
            raise NotFound(f"its provider {state.provider} is not in the stack", subject=state.urn)
        return await self.providers.ensure(owner)

    async def provider_for(self, goal: Goal) -> tuple[Provider | None, str]:
        """The provider of a goal and its reference; registers the default provider if needed."""
        if not goal.custom:
            return None, ""
        if urns.is_provider(goal.type):
            return self.providers, ""
        reference = goal.provider or await self.default_provider(urns.package_of(goal.type), goal.version)
        return self.plugin(reference), reference

    def plugin(self, reference: str) -> PluginProvider:
        """The configured provider of a reference."""
        return self.providers.get(reference)

    async def default_provider(self, package: str, version: str) -> str:
        """The reference of the package's default provider, registered on first use."""
        key = (package, version)
        if key not in self._defaults:
            self._defaults[key] = asyncio.create_task(self._register_default(package, version))
        return await asyncio.shield(self._defaults[key])

    async def _register_default(self, package: str, version: str) -> str:
        inputs: Props = {}
        for name, (text, hidden) in self.config.of_package(package).items():
            inputs[name] = values.secret(text) if hidden else text
        if version:
            inputs |= {"version": version, "__internal": {}}
        suffix = "_" + version.replace(".", "_").replace("-", "_").replace("+", "_") if version else ""
        goal = Goal(type=f"{urns.PROVIDER_PREFIX}{package}", name=f"default{suffix}", custom=True, inputs=inputs)
        state = await self.register(goal)
        return urns.reference(state.urn, state.id)

    # --- what the program asks ---------------------------------------------------------------------------------

    async def register(self, goal: Goal) -> ResourceState:
        """Run the step for a goal. Raises StepFailed after displaying the error."""
        from octavia_engine.registration import Registration

        registration = Registration(self, goal)
        return await self._report_failure(registration.urn, registration.run())

    async def read(self, goal: Goal) -> ResourceState:
        """Read an external resource. Raises StepFailed after displaying the error."""
        from octavia_engine.registration import Registration

        registration = Registration(self, goal)
        return await self._report_failure(registration.urn, registration.read())

    async def _report_failure(self, urn: str, work: Awaitable[ResourceState]) -> ResourceState:
        """Display a resource's error once, and mark it failed so that its dependents are skipped."""
        try:
            return await work
        except Skipped:
            self.failed.add(urn)
            raise
        except StepFailed:
            self.failed.add(urn)
            raise
        except OctaviaError as error:
            self.failed.add(urn)
            self.error(urn, str(error))
            raise StepFailed(str(error), subject=urn) from error

    def error(self, urn: str, message: str) -> None:
        """Display an error and count it: the run fails."""
        self.summary.errors += 1
        self.display.diagnostic(events.ERROR, urn, message)

    def warn(self, urn: str, message: str) -> None:
        """Show a warning."""
        self.display.diagnostic(events.WARNING, urn, message)

    async def register_outputs(self, urn: str, outputs: Props) -> None:
        """The outputs of a component or of the stack."""
        key = self.news.get(urn)
        if key is None:
            raise NotFound("outputs came for a resource that is not registered", subject=urn)
        state = self.snapshots.states[key]
        if not self.preview:  # the state holds no unknowns: outputs left unknown by a failure keep their old value
            before = self.summary.old_outputs if urn == self.names.root else state.outputs
            outputs = {
                name: before.get(name) if values.has_unknown(value) else value
                for name, value in outputs.items()
                if not values.has_unknown(value) or name in before
            }
        if urn == self.names.root:
            self.summary.outputs = outputs
        _, change = self.snapshots.put(state.copy(outputs=outputs), key=key)
        self.snapshots.record(change)

    async def invoke(self, token: str, args: Props, provider: str, version: str) -> tuple[Props, list[Any]]:
        """Call a provider's function."""
        reference = provider or await self.default_provider(urns.package_of(token), version)
        return await self.plugin(reference).invoke(token, args, preview=self.preview)

    # --- steps -------------------------------------------------------------------------------------------------

    def count(self, step: Step) -> None:
        """Count a step for the summary."""
        if step.counted:
            self.summary.changes[step.op] += 1
            self.summary.retained += step.retained

    @asynccontextmanager
    async def step(self, step: Step) -> AsyncIterator[None]:
        """Run a step: acquires a slot, and displays start and end."""
        async with self._slots:
            if self.cancelled:
                raise Skipped("the run was cancelled", subject=step.urn)
            self.display.started(step)
            began = time.monotonic()
            self._running += 1
            self.idle.clear()
            try:
                yield
            except BaseException as error:
                self.display.finished(step, time.monotonic() - began, str(error) or type(error).__name__)
                raise
            finally:
                self._running -= 1
                if self._running == 0:
                    self.idle.set()
            self.count(step)
            self.display.finished(step, time.monotonic() - began, None)

    async def mutate(self, kind: str, state: ResourceState, call: Callable[[], Awaitable[T]]) -> tuple[T, list[Change]]:
        """Make a mutating call with a pending operation recorded around it; returns the changes that end the operation.

        When the outcome is unknown, a create or delete stays pending; an update is repeated in any case.
        """
        operation = self.snapshots.begin(kind, state)
        await self.snapshots.sync()
        try:
            result = await call()
        except ProviderError as error:
            if not error.outcome_unknown or kind == "updating":
                self.snapshots.record(self.snapshots.end(operation))
            raise
        return result, [self.snapshots.end(operation)]

    async def finish(self) -> None:
        """End the run: sync the journal and complete the summary."""
        await self.snapshots.sync()
        self.summary.seconds = time.monotonic() - self._started
        self.summary.cancelled = self.cancelled
