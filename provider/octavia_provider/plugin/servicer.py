# SPDX-License-Identifier: Apache-2.0
"""The calls of ``pulumirpc.ResourceProvider`` (pulumi: proto/pulumi/provider.proto).

Each decodes, calls the resource's handler and encodes. Errors are returned as one line (``failures``). Calls run in a
thread pool because they wait for the control plane; Check and Diff are pure, and a preview starts no control plane.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from octavia_provider import __version__
from octavia_provider.client.deadline import Deadline
from octavia_provider.kit import terminal
from octavia_provider.model import ignoring, kinds
from octavia_provider.model.errors import PermanentError
from octavia_provider.model.near import did_you_mean
from octavia_provider.pulumirpc import proto

from . import config, failures, functions, language, property_names, stock, values
from .failures import InitFailed
from .handler import DiffResult, ResourceHandler
from .inputs import Failure, Naming
from .resources import HANDLERS_BY_TYPE
from .session import DEFAULT_TIMEOUT, ProviderSession

pb: Any = proto.stub("provider_pb2")
plugin_pb: Any = proto.stub("plugin_pb2")
Base: Any = proto.stub("provider_pb2_grpc").ResourceProviderServicer


class Servicer(Base):  # type: ignore[misc]
    """The gRPC service of the provider."""

    def __init__(self, session: ProviderSession) -> None:
        self._session = session

    # ── the plugin ───────────────────────────────────────────────────────────────────────────────────────────────────
    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """The first call: the engine's address, and the features we accept."""
        if request.engine_address:
            self._session.reporter.dial(request.engine_address)
        return pb.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True, supports_autonaming_configuration=True
        )

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """An engine attaches to a provider that already runs (PULUMI_DEBUG_PROVIDERS)."""
        self._session.reset_for_engine()
        self._session.reporter.dial(request.address)
        return Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """Our version."""
        return plugin_pb.PluginInfo(version=__version__)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """The committed schema.json."""
        from . import schema

        with _abort_on_error(context):
            return pb.GetSchemaResponse(schema=schema.committed())

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """End every wait; incomplete objects are reported with their ids. The engine also calls this at the end of every
        run: it has saved all responses by then."""
        self._session.cancelled.set()
        self._session.confirm()
        return Empty()

    # ── configuration ────────────────────────────────────────────────────────────────────────────────────────────────
    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Validate the provider's configuration."""
        with _abort_on_error(context):
            found = config.check(values.decode(request.news))
            return pb.CheckResponse(inputs=request.news, failures=_failures(found))

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Another control plane replaces all resources; no other option affects them."""
        with _abort_on_error(context):
            olds = request.old_inputs if request.old_inputs.fields else request.olds
            before, after = values.decode(olds), values.decode(request.news)
            changed = config.diff(before, after)
            kinds = {name: _kind(before.get(name), after.get(name), replace=replace) for name, replace in changed}
            return pb.DiffResponse(
                changes=pb.DiffResponse.DIFF_SOME if changed else pb.DiffResponse.DIFF_NONE,
                replaces=[name for name, replace in changed if replace],
                diffs=[name for name, _ in changed],
                detailedDiff={name: pb.PropertyDiff(kind=kind, inputDiff=True) for name, kind in kinds.items()},
                hasDetailedDiff=True,
            )

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Store the configuration; no call is made yet."""
        with _abort_on_error(context):
            self._session.configure(values.decode(request.args), request.id)
            kinds.prepare()
            return pb.ConfigureResponse(
                acceptSecrets=True, acceptResources=True, acceptOutputs=True, supportsPreview=True,
                supports_autonaming_configuration=True,
            )  # fmt: skip

    # ── resources ────────────────────────────────────────────────────────────────────────────────────────────────────
    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Validate the inputs of a resource; add an auto-name."""
        with _abort_on_error(context):
            handler = _handler(request)
            self._session.record_checked(request.urn)
            olds, news = values.decode(request.olds), values.decode(request.news)
            inputs, found = handler.check(news, olds, _naming(request))
            if self._session.drives_octavia:
                found += stock.refusals(handler.kind_name, handler.kind, inputs, self._session)
            if not found:
                self._session.warn_ineffective(request.urn, handler.ineffective_inputs(inputs))
                self._session.warn_once(request.urn, handler.warnings(inputs, datetime.now(UTC)))
            return pb.CheckResponse(inputs=values.encode(inputs), failures=_failures(found))

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Compare inputs: replacements, and the effects on traffic."""
        with _abort_on_error(context):
            handler = _handler(request)
            self._session.record_known_id(request.urn, request.id)
            old_inputs, olds = _olds(request)
            found = handler.diff(
                old_inputs, olds, values.decode(request.news), request.ignoreChanges, self._fixed(handler)
            )
            problems = ignoring.problems(handler.kind, request.ignoreChanges, underscores=language.uses_snake_case())
            self._session.warn_once(request.urn, problems)
            self._session.report_effects(request.urn, found.effects)
            return _diff_response(handler, found)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Create a resource."""
        with _abort_on_error(context, request):
            handler = _handler(request)
            news = values.decode(request.properties)
            if request.preview:
                self._session.report_effects(request.urn, [("made", handler.effect_of_create(news))])
                return pb.CreateResponse(properties=values.encode(handler.preview_create(news)))
            call = self._call(request)
            try:
                id, properties = handler.create(call, news)  # noqa: A001
            except InitFailed as partial:
                self._session.record_created(call, partial.id)
                raise
            self._session.record_created(call, id)
            return pb.CreateResponse(id=id, properties=values.encode(properties))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Read a resource for refresh, import or ``get``."""
        with _abort_on_error(context, request):
            handler = _handler(request)
            olds, inputs = values.decode(request.properties), values.decode(request.inputs)
            if olds:
                self._session.record_known_id(request.urn, request.id)
            found = handler.read(self._call(request), request.id, olds, inputs)
            if found is None:
                return pb.ReadResponse()
            if found.reasons:
                raise InitFailed(found.id, found.properties, found.inputs, found.reasons)
            return pb.ReadResponse(
                id=found.id, properties=values.encode(found.properties), inputs=values.encode(found.inputs)
            )

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Update a resource in place, or retry what failed."""
        with _abort_on_error(context, request):
            handler = _handler(request)
            self._session.record_known_id(request.urn, request.id)
            old_inputs, olds = _olds(request)
            news = values.decode(request.news)
            if request.preview:
                properties = handler.preview_update(old_inputs, olds, news)
            else:
                properties = handler.update(
                    self._call(request), request.id, old_inputs, olds, news, ignore=request.ignoreChanges
                )
            return pb.UpdateResponse(properties=values.encode(properties))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Delete a resource."""
        with _abort_on_error(context, request):
            handler = _handler(request)
            self._session.record_known_id(request.urn, request.id)
            handler.delete(self._call(request), request.id, values.decode(request.properties))
            return Empty()

    # ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────
    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Call a function. A preview does not start the embedded control plane for it."""
        with _abort_on_error(context), self._warn_on_error(request.tok):
            client = self._session.client(start=not request.preview)
            deadline = Deadline(DEFAULT_TIMEOUT, self._session.cancelled)
            result, found = functions.invoke(request.tok, values.decode(request.args), client, deadline)
            if found:
                self._session.warn_failure(request.tok, "; ".join(f"{f.path}: {f.reason}" for f in found))
            return pb.InvokeResponse(**{"return": values.encode(result)}, failures=_failures(found))

    @contextmanager
    def _warn_on_error(self, token: str) -> Iterator[None]:
        """Log a function's error as a warning too: SDKs hide it under a traceback of their own."""
        try:
            yield
        except Exception as error:
            self._session.warn_failure(token, failures.message(error))
            raise

    def _fixed(self, handler: ResourceHandler) -> Collection[str]:
        return stock.fixed(handler.kind_name) if self._session.drives_octavia else ()

    def _call(self, request: Any) -> Any:
        return self._session.call(request.urn, request.name, request.timeout)


@contextmanager
def _abort_on_error(context: grpc.ServicerContext, request: Any = None) -> Iterator[None]:
    """Turn an exception into a gRPC status with one line of text."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - nothing may reach the user as a traceback
        handler = HANDLERS_BY_TYPE.get(_type(request)) if request is not None else None
        failures.abort(context, error, handler.kind if handler else None)


def _type(request: Any) -> str:
    return str(request.type) or str(request.urn).split("::")[2].rpartition("$")[2]


def _handler(request: Any) -> ResourceHandler:
    handler = HANDLERS_BY_TYPE.get(_type(request))
    if handler is None:
        raise PermanentError(
            f"is no resource of octavia {__version__}, which has {', '.join(HANDLERS_BY_TYPE)}{did_you_mean(_type(request), HANDLERS_BY_TYPE)}",
            subject=_type(request),
            hint="use an SDK of the same version as the plugin",
        )  # fmt: skip
    return handler


def _olds(request: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Old inputs and old outputs; without old inputs in the request, the outputs serve as both."""
    outputs = values.decode(request.olds)
    if request.old_inputs.fields:
        return values.decode(request.old_inputs), outputs
    raw, _ = property_names.to_model(_handler(request).kind, outputs)
    return outputs if raw else {}, outputs


def _naming(request: Any) -> Naming:
    mode = pb.CheckRequest.AutonamingOptions.Mode.Name(request.autonaming.mode)
    name = request.name or request.urn.rpartition("::")[2]
    return Naming(resource=name, seed=request.randomSeed, proposed=request.autonaming.proposed_name, mode=mode)


def _failures(found: Sequence[Failure]) -> list[Any]:
    """Engines look a property up by Pulumi's name and print that name. Python programs use other names, so for them the
    path goes into the reason."""
    reasons = [(failure.path, language.translate_names(failure.reason)) for failure in found]
    if language.uses_snake_case():
        reasons = [("", f"{language.translate_names(path)}: {reason}" if path else reason) for path, reason in reasons]
    return [pb.CheckFailure(property=path, reason=terminal.escape_text(reason)) for path, reason in reasons]


def _diff_response(handler: ResourceHandler, found: DiffResult) -> Any:
    detailed: dict[str, Any] = {}
    for change in found.changes:
        kind = f"{change.kind}_REPLACE" if change.replaces else change.kind
        detailed[property_names.pulumi_path(handler.kind, change.path)] = pb.PropertyDiff(
            kind=pb.PropertyDiff.Kind.Value(kind), inputDiff=True
        )
    return pb.DiffResponse(
        changes=pb.DiffResponse.DIFF_SOME if found.changes else pb.DiffResponse.DIFF_NONE,
        replaces=found.replaces,
        stables=found.stables,
        deleteBeforeReplace=found.delete_before_replace,
        diffs=list(dict.fromkeys(change.attribute.camel for change in found.changes)),
        detailedDiff=detailed,
        hasDetailedDiff=True,
    )


def _kind(old: Any, new: Any, *, replace: bool) -> Any:
    kind = "ADD" if old is None else ("DELETE" if new is None else "UPDATE")
    return pb.PropertyDiff.Kind.Value(f"{kind}_REPLACE" if replace else kind)
