# SPDX-License-Identifier: Apache-2.0
"""One provider instance: Pulumi's ResourceProvider calls with plain data instead of messages.

Values are adapted to what the plugin accepts. Outputs of a plugin without secrets support are marked secret again where
the inputs were.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from octavia_engine import urns, values
from octavia_engine.plugins import Plugin
from octavia_engine.state import ResourceState
from octavia_engine.values import Props
from octavia_provider.model.errors import OctaviaError
from octavia_provider.pulumirpc.proto import stub

NONE, SOME, UNSURE = "none", "some", "unknown"
KINDS = ("add", "add-replace", "delete", "delete-replace", "update", "update-replace")
INTERNAL = "__internal"
"""An input of provider resources that only the engine uses; plugins never see it."""
_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True)
class Failure:
    """A property that Check refused: its path, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class PropertyDiff:
    """How one property differs: one of KINDS, and whether it was compared with the old inputs (not outputs)."""

    kind: str
    input_diff: bool = True


@dataclass
class Diff:
    """What a provider's Diff says. ``detailed`` is None when the provider gave none."""

    changes: str = NONE
    replace_keys: list[str] = field(default_factory=list)
    changed_keys: list[str] = field(default_factory=list)
    delete_before_replace: bool = False
    detailed: dict[str, PropertyDiff] | None = None

    @property
    def replace(self) -> bool:
        """Whether the change cannot be made in place."""
        return bool(self.replace_keys) or any(d.kind.endswith("-replace") for d in (self.detailed or {}).values())


@dataclass
class PartialState:
    """The object of an ``ErrorResourceInitFailed``: it exists but its initialization failed."""

    id: str
    outputs: Props
    inputs: Props
    reasons: list[str]


class ProviderError(OctaviaError):
    """A provider's call failed, with the provider's message.

    ``partial`` is set when the object exists all the same; ``outcome_unknown`` when nobody knows (the plugin died or the call
    was cut off).
    """

    def __init__(self, message: str, *, partial: PartialState | None = None, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.partial = partial
        self.outcome_unknown = outcome_unknown


class Provider(Protocol):
    """The calls to a provider, for resources and provider resources alike."""

    async def check(self, state: ResourceState, olds: Props, news: Props, seed: bytes) -> tuple[Props, list[Failure]]:
        """The checked inputs with defaults, and the failures."""

    async def diff(self, old: ResourceState, news: Props, ignore: list[str]) -> Diff:
        """What changes between the old state and new inputs."""

    async def create(self, state: ResourceState, *, preview: bool) -> tuple[str, Props]:
        """Create it; return its id and outputs."""

    async def update(self, old: ResourceState, new: ResourceState, *, preview: bool) -> Props:
        """Update it in place; return its outputs."""

    async def delete(self, state: ResourceState) -> None:
        """Remove it."""

    async def read(self, state: ResourceState) -> tuple[str, Props, Props | None] | None:
        """Its current id, outputs and inputs; None when it is gone."""


class PluginProvider:
    """A provider in a plugin's process, configured or about to be."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.accept_secrets = False
        self.accept_resources = False
        self.handshaken = False
        self.unknown_config = False
        """In a preview, the provider's configuration is unknown, so its resources are not previewed."""
        self._pb = stub("provider_pb2")

    async def call(self, method: str, request: Any) -> Any:
        """One RPC. Raises ProviderError."""
        import grpc

        try:
            return await getattr(self.plugin.provider, method)(request)
        except grpc.aio.AioRpcError as error:
            raise await self._provider_error(method, error) from None

    async def _provider_error(self, method: str, error: Any) -> ProviderError:
        import grpc

        code, message = error.code(), error.details() or str(error.code())
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED):
            ended = await self.plugin.has_ended()
            what = f"the plugin of {self.plugin.package} ended" if ended else message
            return ProviderError(f"{what} during {method}; whether it took effect is not known", outcome_unknown=True)
        partial = self._partial_state(error)
        if partial and partial.reasons:
            message = "; ".join(partial.reasons)
        return ProviderError(message, partial=partial)

    def _partial_state(self, error: Any) -> PartialState | None:
        details = dict(error.trailing_metadata() or ()).get(_DETAILS)
        if not isinstance(details, bytes):
            return None
        for packed in stub("status_pb2").Status.FromString(details).details:
            failed = self._pb.ErrorResourceInitFailed()
            if packed.Unpack(failed):
                outputs, inputs = values.from_struct(failed.properties), values.from_struct(failed.inputs)
                return PartialState(failed.id, outputs, inputs, list(failed.reasons) or [error.details()])
        return None

    async def handshake(self, engine_address: str) -> None:
        """Handshake; plugins without Handshake report what they accept in Configure."""
        import grpc
        from google.protobuf import empty_pb2

        folder = str(self.plugin.path.parent)
        request = self._pb.ProviderHandshakeRequest(
            engine_address=engine_address,
            root_directory=folder,
            program_directory=folder,
            configure_with_urn=True,
            invoke_with_preview=True,
        )
        try:
            answer = await self.plugin.provider.Handshake(request)
            self.accept_secrets, self.accept_resources = answer.accept_secrets, answer.accept_resources
            self.handshaken = True
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise await self._provider_error("Handshake", error) from None
        with_info = await self.call("GetPluginInfo", empty_pb2.Empty())
        self.plugin.version = with_info.version

    def adapt(self, props: Props) -> Props:
        """Values as this plugin accepts them."""
        adapted = values.without_outputs(props)
        if not self.accept_resources:
            adapted = values.without_references(adapted)
        return adapted if self.accept_secrets else values.plain(adapted)  # type: ignore[no-any-return]

    def _read_outputs(self, struct: Any, inputs: Props) -> Props:
        outputs = values.from_struct(struct)
        return outputs if self.accept_secrets else values.annotate_secrets(outputs, inputs)

    @staticmethod
    def resource_fields(state: ResourceState) -> dict[str, Any]:
        """The fields of the resource in every request."""
        return {"urn": state.urn, "name": urns.name_of(state.urn), "type": state.type}

    def _fill(self, request: Any, **structs: Props) -> Any:
        for name, props in structs.items():
            values.fill_struct(getattr(request, name), self.adapt(props))
        return request

    async def check(self, state: ResourceState, olds: Props, news: Props, seed: bytes) -> tuple[Props, list[Failure]]:
        """See :class:`Provider`."""
        if self.unknown_config:
            return news, []
        request = self._pb.CheckRequest(**self.resource_fields(state), randomSeed=seed)
        answer = await self.call("Check", self._fill(request, olds=olds, news=news))
        failures = [Failure(item.property, item.reason) for item in answer.failures]
        return self._read_outputs(answer.inputs, news), failures

    async def diff(self, old: ResourceState, news: Props, ignore: list[str]) -> Diff:
        """See :class:`Provider`."""
        if self.unknown_config:
            return Diff(UNSURE)
        request = self._pb.DiffRequest(**self.resource_fields(old), id=old.id, ignoreChanges=ignore)
        structs = {"olds": old.outputs, "old_inputs": old.inputs, "news": news}
        return diff_from_response(await self.call("Diff", self._fill(request, **structs)))

    async def diff_config(self, old: ResourceState, new: ResourceState) -> Diff:
        """DiffConfig between two provider resources: must resources of the old one be replaced under the new one?"""
        request = self._pb.DiffRequest(**self.resource_fields(new))
        values.fill_struct(request.olds, values.plain(configuration(old.outputs)))
        values.fill_struct(request.old_inputs, values.plain(configuration(old.inputs)))
        values.fill_struct(request.news, values.plain(configuration(new.inputs)))
        return diff_from_response(await self.call("DiffConfig", request))

    async def check_config(self, state: ResourceState, olds: Props, news: Props) -> tuple[Props, list[Failure]]:
        """CheckConfig: the checked configuration, and the failures."""
        request = self._pb.CheckRequest(**self.resource_fields(state))
        values.fill_struct(request.olds, values.plain(configuration(olds)))
        values.fill_struct(request.news, values.plain(configuration(news)))
        answer = await self.call("CheckConfig", request)
        checked = values.annotate_secrets(values.from_struct(answer.inputs), news)
        checked |= {key: news[key] for key in (INTERNAL, "version") if key in news}
        return checked, [Failure(item.property, item.reason) for item in answer.failures]

    async def configure(self, state: ResourceState, inputs: Props, ident: str) -> None:
        """Configure; with unknown values (in a preview) the provider stays unconfigured."""
        inputs = configuration(inputs)
        if values.has_unknown(inputs):
            self.unknown_config = True
            return
        package = urns.package_of(state.type)
        request = self._pb.ConfigureRequest(
            **self.resource_fields(state),
            id=ident,
            acceptSecrets=True,
            acceptResources=True,
            sends_old_inputs=True,
            sends_old_inputs_to_delete=True,
            variables={f"{package}:config:{key}": _text(value) for key, value in inputs.items()},
        )
        values.fill_struct(request.args, inputs)
        answer = await self.call("Configure", request)
        if not self.handshaken:
            self.accept_secrets, self.accept_resources = answer.acceptSecrets, answer.acceptResources

    async def create(self, state: ResourceState, *, preview: bool) -> tuple[str, Props]:
        """See :class:`Provider`."""
        if self.unknown_config:
            return "", state.inputs
        timeout = state.custom_timeouts.get("create", 0)
        request = self._pb.CreateRequest(**self.resource_fields(state), timeout=timeout, preview=preview)
        answer = await self.call("Create", self._fill(request, properties=state.inputs))
        if not answer.id and not preview:
            raise ProviderError("the provider answered Create without an id; nothing is known of the object")
        return answer.id, self._read_outputs(answer.properties, state.inputs)

    async def update(self, old: ResourceState, new: ResourceState, *, preview: bool) -> Props:
        """See :class:`Provider`."""
        if self.unknown_config:
            return new.inputs
        request = self._pb.UpdateRequest(
            **self.resource_fields(new),
            id=old.id,
            timeout=new.custom_timeouts.get("update", 0),
            ignoreChanges=new.ignore_changes,
            preview=preview,
        )
        structs = {"olds": old.outputs, "old_inputs": old.inputs, "news": new.inputs}
        answer = await self.call("Update", self._fill(request, **structs))
        return self._read_outputs(answer.properties, new.inputs)

    async def delete(self, state: ResourceState) -> None:
        """See :class:`Provider`."""
        timeout = state.custom_timeouts.get("delete", 0)
        request = self._pb.DeleteRequest(**self.resource_fields(state), id=state.id, timeout=timeout)
        await self.call("Delete", self._fill(request, properties=state.outputs, old_inputs=state.inputs))

    async def read(self, state: ResourceState) -> tuple[str, Props, Props | None] | None:
        """See :class:`Provider`. With neither inputs nor outputs in ``state`` it is an import."""
        timeout = state.custom_timeouts.get("read", 0)
        request = self._pb.ReadRequest(**self.resource_fields(state), id=state.id, timeout=timeout)
        if state.outputs:
            self._fill(request, properties=state.outputs)
        if state.inputs:
            self._fill(request, inputs=state.inputs)
        answer = await self.call("Read", request)
        if not answer.id:
            return None
        inputs = self._read_outputs(answer.inputs, state.inputs) if answer.HasField("inputs") else None
        return answer.id, self._read_outputs(answer.properties, state.outputs), inputs

    async def invoke(self, token: str, args: Props, *, preview: bool) -> tuple[Props, list[Failure]]:
        """A function's result, or the failures of its arguments."""
        request = self._pb.InvokeRequest(tok=token, preview=preview)
        answer = await self.call("Invoke", self._fill(request, args=args))
        found = values.from_struct(getattr(answer, "return"))
        return found, [Failure(item.property, item.reason) for item in answer.failures]


def configuration(inputs: Props) -> Props:
    """A provider's inputs without the engine's own."""
    return {key: value for key, value in inputs.items() if key != INTERNAL}


def _text(value: Any) -> str:
    """A configuration value in the legacy form: strings unchanged, the rest as JSON."""
    bare = values.plain(value)
    return bare if isinstance(bare, str) else json.dumps(bare)


def diff_from_response(answer: Any) -> Diff:
    """A DiffResponse as :class:`Diff`."""
    detailed = None
    if answer.hasDetailedDiff:
        detailed = {path: PropertyDiff(KINDS[d.kind], d.inputDiff) for path, d in answer.detailedDiff.items()}
    return Diff(
        changes=(UNSURE, NONE, SOME)[answer.changes],
        replace_keys=list(answer.replaces),
        changed_keys=list(answer.diffs),
        delete_before_replace=answer.deleteBeforeReplace,
        detailed=detailed,
    )
