# SPDX-License-Identifier: Apache-2.0
"""One run over a stack: what all registrations share, and what makes their results last.

Everything here happens in one event loop; a decision between two awaits is never interrupted. A failed resource fails
alone: what depends on it is skipped, the rest goes on, and nothing that left the program is deleted in that run.
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
"""Packages whose Create, called again for the same provider and URN, takes up what an interrupted one left."""


class StepFailed(PermanentError):
    """A resource could not be brought to what was asked; it has been shown already."""


class Skipped(StepFailed):
    """A resource was left alone, because what it depends on failed or the run was cancelled."""


@dataclass(frozen=True)
class StackNames:
    """Whose resources these are."""

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
        """URN → key of what existed before; not what is only waiting to be deleted."""
        self.news: dict[str, int] = {}
        """URN → key of what this run has registered."""
        self.registered_urns: set[str] = set()
        self.failed: set[str] = set()
        self.replaced: set[str] = set()
        self.urns_before_alias: dict[str, str] = {}
        """New URN → the URN it had before, where an alias said so."""
        self.dependent_replacements: dict[str, asyncio.Future[None]] = {}
        """URNs deleted before a replacement they depend on: made again when the program registers them."""
        self.dependent_replace_keys: dict[str, list[str]] = {}
        """URN → the properties because of which it is among the condemned."""
        self.cancelled = False
        self.idle = asyncio.Event()
        """No step is under way."""
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
        """What existed before under that URN."""
        key = self.olds.get(urn)
        return None if key is None else self.snapshots.states.get(key)

    def new(self, urn: str) -> ResourceState | None:
        """What this run has registered under that URN."""
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
        """The provider of a goal and the reference to it; a default provider comes into being here."""
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
        """Bring a resource to its goal. Raises StepFailed, after it was shown."""
        from octavia_engine.registration import Registration

        registration = Registration(self, goal)
        return await self._report_failure(registration.urn, registration.run())

    async def read(self, goal: Goal) -> ResourceState:
        """Read an object that others own. Raises StepFailed, after it was shown."""
        from octavia_engine.registration import Registration

        registration = Registration(self, goal)
        return await self._report_failure(registration.urn, registration.read())

    async def _report_failure(self, urn: str, work: Awaitable[ResourceState]) -> ResourceState:
        """What goes wrong with a resource is shown once, with its URN, and kept from what depends on it."""
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
        """Show an error, and let the run end as failed."""
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
        if not self.preview:  # the state holds no unknowns: what a failure left open stays as it was
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
        """While a step runs: it has a place among the parallel ones, and is shown from start to end."""
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
        """A call that changes the world, noted before it is made; the changes that settle it come back with it.

        When nobody knows whether it took effect, a create or delete stays noted as pending; an update is repeated anyhow.
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
        """The run is over: what it did is on disk, the summary complete."""
        await self.snapshots.sync()
        self.summary.seconds = time.monotonic() - self._started
        self.summary.cancelled = self.cancelled
