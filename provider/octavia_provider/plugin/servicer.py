# SPDX-License-Identifier: Apache-2.0
"""The calls of ``pulumirpc.ResourceProvider`` (pulumi: proto/pulumi/provider.proto).

Each decodes, asks the hooks, encodes. Errors leave as one line (``failures``). Calls run in a pool of threads, because
they wait for the control plane; Check and Diff touch nothing and a preview starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from octavia_provider import __version__
from octavia_provider.client.deadline import Deadline
from octavia_provider.kit import terminal
from octavia_provider.model import ignoring
from octavia_provider.model.errors import PermanentError
from octavia_provider.model.near import did_you_mean
from octavia_provider.pulumirpc import proto

from . import config, failures, functions, language, spelling, values
from .failures import InitFailed
from .hooks import Difference, Hooks
from .inputs import Failure, Naming
from .resources import HOOKS
from .session import TIMEOUT, ProviderSession

pb: Any = proto.stub("provider_pb2")
plugin_pb: Any = proto.stub("plugin_pb2")
Base: Any = proto.stub("provider_pb2_grpc").ResourceProviderServicer


class Servicer(Base):  # type: ignore[misc]
    """The provider, as the engine sees it."""

    def __init__(self, session: ProviderSession) -> None:
        self._session = session

    # ── the plugin ───────────────────────────────────────────────────────────────────────────────────────────────────
    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """The first call: where the engine is, and what we take."""
        if request.engine_address:
            self._session.reporter.dial(request.engine_address)
        return pb.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True, supports_autonaming_configuration=True
        )

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """An engine takes up a provider that runs already (PULUMI_DEBUG_PROVIDERS)."""
        self._session.attached()
        self._session.reporter.dial(request.address)
        return Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """Our version."""
        return plugin_pb.PluginInfo(version=__version__)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """The schema as it was emitted from the model."""
        from . import schema

        with _told(context):
            return pb.GetSchemaResponse(schema=schema.committed())

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802
        """Every wait ends; what is half made is reported with its id. The engine calls it at the end of every run too:
        what was answered until now is in its state."""
        self._session.cancelled.set()
        self._session.confirm()
        return Empty()

    # ── configuration ────────────────────────────────────────────────────────────────────────────────────────────────
    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Validate the provider's configuration."""
        with _told(context):
            found = config.check(values.decode(request.news))
            return pb.CheckResponse(inputs=request.news, failures=_failures(found))

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Another control plane means other resources; all else changes nothing for them."""
        with _told(context):
            olds = request.old_inputs if request.old_inputs.fields else request.olds
            before, after = values.decode(olds), values.decode(request.news)
            changed = config.changed(before, after)
            kinds = {name: _kind(before.get(name), after.get(name), replace=replace) for name, replace in changed}
            return pb.DiffResponse(
                changes=pb.DiffResponse.DIFF_SOME if changed else pb.DiffResponse.DIFF_NONE,
                replaces=[name for name, replace in changed if replace],
                diffs=[name for name, _ in changed],
                detailedDiff={name: pb.PropertyDiff(kind=kind, inputDiff=True) for name, kind in kinds.items()},
                hasDetailedDiff=True,
            )

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Take the configuration; nothing is called yet."""
        with _told(context):
            self._session.configure(values.decode(request.args), request.id)
            return pb.ConfigureResponse(
                acceptSecrets=True, acceptResources=True, acceptOutputs=True, supportsPreview=True,
                supports_autonaming_configuration=True,
            )  # fmt: skip

    # ── resources ────────────────────────────────────────────────────────────────────────────────────────────────────
    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Validate the inputs of a resource, and name it where it has no name."""
        with _told(context):
            hooks = _hooks(request)
            self._session.checked(request.urn)
            olds, news = values.decode(request.olds), values.decode(request.news)
            inputs, found = hooks.check(news, olds, _naming(request))
            if not found:
                self._session.warn(request.urn, hooks.notes(inputs))
                self._session.tell_once(request.urn, hooks.warnings(inputs, datetime.now(UTC)))
            return pb.CheckResponse(inputs=values.encode(inputs), failures=_failures(found))

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Compare inputs; say what must be replaced, and tell what the rest costs."""
        with _told(context):
            hooks = _hooks(request)
            self._session.saw(request.urn, request.id)
            old_inputs, olds = _olds(request)
            found = hooks.diff(old_inputs, olds, values.decode(request.news), request.ignoreChanges)
            meant = ignoring.problems(hooks.kind, request.ignoreChanges, underscores=language.uses_underscores())
            self._session.tell_once(request.urn, meant)
            self._session.tell_effects(request.urn, found.effects)
            return _diff_response(hooks, found)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Make a resource."""
        with _told(context, request):
            hooks = _hooks(request)
            news = values.decode(request.properties)
            if request.preview:
                self._session.tell_effects(request.urn, [("made", hooks.effect_of_create(news))])
                return pb.CreateResponse(properties=values.encode(hooks.preview_create(news)))
            call = self._call(request)
            try:
                id, properties = hooks.create(call, news)  # noqa: A001
            except InitFailed as half_made:
                self._session.made(call, half_made.id)
                raise
            self._session.made(call, id)
            return pb.CreateResponse(id=id, properties=values.encode(properties))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Look at a resource: refresh, import, ``get``."""
        with _told(context, request):
            hooks = _hooks(request)
            olds, inputs = values.decode(request.properties), values.decode(request.inputs)
            if olds:
                self._session.saw(request.urn, request.id)
            found = hooks.read(self._call(request), request.id, olds, inputs)
            if found is None:
                return pb.ReadResponse()
            if found.reasons:
                raise InitFailed(found.id, found.properties, found.inputs, found.reasons)
            return pb.ReadResponse(
                id=found.id, properties=values.encode(found.properties), inputs=values.encode(found.inputs)
            )

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Change a resource in place, or go on with what failed."""
        with _told(context, request):
            hooks = _hooks(request)
            self._session.saw(request.urn, request.id)
            old_inputs, olds = _olds(request)
            news = values.decode(request.news)
            if request.preview:
                properties = hooks.preview_update(old_inputs, olds, news)
            else:
                properties = hooks.update(
                    self._call(request), request.id, old_inputs, olds, news, ignore=request.ignoreChanges
                )
            return pb.UpdateResponse(properties=values.encode(properties))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Delete a resource."""
        with _told(context, request):
            hooks = _hooks(request)
            self._session.saw(request.urn, request.id)
            hooks.delete(self._call(request), request.id, values.decode(request.properties))
            return Empty()

    # ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────
    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Look something up. In a preview the embedded control plane is not started for it."""
        with _told(context), self._aloud(request.tok):
            client = self._session.client(start=not request.preview)
            deadline = Deadline(TIMEOUT, self._session.cancelled)
            result, found = functions.invoke(request.tok, values.decode(request.args), client, deadline)
            if found:
                self._session.tell_failure(request.tok, "; ".join(f"{f.path}: {f.reason}" for f in found))
            return pb.InvokeResponse(**{"return": values.encode(result)}, failures=_failures(found))

    @contextmanager
    def _aloud(self, token: str) -> Iterator[None]:
        """SDKs bury what goes wrong in a function under a traceback of their own: it is told beside that too."""
        try:
            yield
        except Exception as error:
            self._session.tell_failure(token, failures.message(error))
            raise

    def _call(self, request: Any) -> Any:
        return self._session.call(request.urn, request.name, request.timeout)


@contextmanager
def _told(context: grpc.ServicerContext, request: Any = None) -> Iterator[None]:
    """What goes wrong inside ends the call with one line for people."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - nothing may reach the user as a traceback
        hooks = HOOKS.get(_type(request)) if request is not None else None
        failures.abort(context, error, hooks.kind if hooks else None)


def _type(request: Any) -> str:
    return str(request.type) or str(request.urn).split("::")[2].rpartition("$")[2]


def _hooks(request: Any) -> Hooks:
    hooks = HOOKS.get(_type(request))
    if hooks is None:
        raise PermanentError(
            f"is no resource of octavia {__version__}, which has {', '.join(HOOKS)}{did_you_mean(_type(request), HOOKS)}",
            subject=_type(request),
            hint="use an SDK of the same version as the plugin",
        )  # fmt: skip
    return hooks


def _olds(request: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Old inputs and old outputs; an engine that sends no old inputs gets them from the outputs."""
    outputs = values.decode(request.olds)
    if request.old_inputs.fields:
        return values.decode(request.old_inputs), outputs
    raw, _ = spelling.to_model(_hooks(request).kind, outputs)
    return outputs if raw else {}, outputs


def _naming(request: Any) -> Naming:
    mode = pb.CheckRequest.AutonamingOptions.Mode.Name(request.autonaming.mode)
    name = request.name or request.urn.rpartition("::")[2]
    return Naming(resource=name, seed=request.randomSeed, proposed=request.autonaming.proposed_name, mode=mode)


def _failures(found: Sequence[Failure]) -> list[Any]:
    """Engines look a property's value up by Pulumi's name, and show it beside ours. A program in Python has other names:
    there all of it is told in the reason."""
    told = [(failure.path, language.spelled(failure.reason)) for failure in found]
    if language.uses_underscores():
        told = [("", f"{language.spelled(path)}: {reason}" if path else reason) for path, reason in told]
    return [pb.CheckFailure(property=path, reason=terminal.text(reason)) for path, reason in told]


def _diff_response(hooks: Hooks, found: Difference) -> Any:
    detailed: dict[str, Any] = {}
    for change in found.changes:
        kind = f"{change.kind}_REPLACE" if change.replaces else change.kind
        detailed[spelling.spell(hooks.kind, change.path)] = pb.PropertyDiff(
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
