# SPDX-License-Identifier: Apache-2.0
"""Provider resources: ``pulumi:providers:<package>``, whose Check, Diff and Create configure a plugin.

A provider is a resource like any other. The provider of provider resources is this registry, as in Pulumi
(``pkg/resource/deploy/providers/registry.go``). Other providers are found by their reference.
"""

from __future__ import annotations

import asyncio
import uuid

from octavia_engine import urns, values
from octavia_engine.plugins import PluginHost
from octavia_engine.provider import Diff, Failure, PluginProvider, configuration
from octavia_engine.state import ResourceState
from octavia_engine.values import Props
from octavia_provider.model.errors import NotFound


class Providers:
    """All provider instances of a run; a :class:`~octavia_engine.provider.Provider` itself."""

    def __init__(self, host: PluginHost) -> None:
        self._host = host
        self._checked: dict[str, PluginProvider] = {}
        self._configured: dict[str, PluginProvider] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}

    def get(self, reference: str) -> PluginProvider:
        """The configured provider of that reference. Raises NotFound."""
        try:
            return self._configured[reference]
        except KeyError:
            raise NotFound("it is not registered in this run", subject=f"provider {reference}") from None

    async def ensure(self, state: ResourceState) -> PluginProvider:
        """The provider of that state, started and configured on first use."""
        reference = urns.reference(state.urn, state.id)
        if reference not in self._configured:
            if reference not in self._loading:
                self._loading[reference] = asyncio.create_task(self._load(state, reference))
            await asyncio.shield(self._loading[reference])
        return self._configured[reference]

    async def _load(self, state: ResourceState, reference: str) -> None:
        provider = await self._start(state)
        await provider.configure(state, state.inputs, state.id)
        self._configured.setdefault(reference, provider)

    async def _start(self, state: ResourceState) -> PluginProvider:
        provider = PluginProvider(await self._host.start(urns.package_of(state.type)))
        await provider.handshake(self._host.engine_address)
        return provider

    async def check(self, state: ResourceState, olds: Props, news: Props, seed: bytes) -> tuple[Props, list[Failure]]:
        """CheckConfig, in a new process that waits to be configured."""
        del seed
        provider = self._checked.get(state.urn) or await self._start(state)
        self._checked[state.urn] = provider
        return await provider.check_config(state, olds, news)

    async def diff(self, old: ResourceState, news: Props, ignore: list[str]) -> Diff:
        """DiffConfig."""
        del ignore  # already applied to the news
        provider = self._checked.get(old.urn) or await self.ensure(old)
        return await provider.diff_config(old, old.copy(inputs=news))

    async def create(self, state: ResourceState, *, preview: bool) -> tuple[str, Props]:
        """Configure under a new id (unknown in a preview)."""
        ident = values.UNKNOWN if preview else str(uuid.uuid4())
        await self._configure(state, state.inputs, ident)
        return ident, configuration(state.inputs)

    async def update(self, old: ResourceState, new: ResourceState, *, preview: bool) -> Props:
        """Configure again, under the same id."""
        del preview
        await self._configure(new, new.inputs, old.id)
        return configuration(new.inputs)

    async def same(self, old: ResourceState) -> None:
        """Configure an unchanged provider."""
        await self._configure(old, old.inputs, old.id)

    async def delete(self, state: ResourceState) -> None:
        """Does nothing: a provider exists only during the run."""

    async def read(self, state: ResourceState) -> tuple[str, Props, Props | None] | None:
        """As it is."""
        return state.id, state.outputs, state.inputs

    async def _configure(self, state: ResourceState, inputs: Props, ident: str) -> None:
        provider = self._checked.pop(state.urn, None) or await self._start(state)
        await provider.configure(state, inputs, ident)
        self._configured[urns.reference(state.urn, ident)] = provider
