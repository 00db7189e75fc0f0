# SPDX-License-Identifier: Apache-2.0
"""Pulumi's ResourceMonitor and Engine services: what the program and the plugins call."""

from __future__ import annotations

from typing import Any, NoReturn

from octavia_engine import events, goals, values
from octavia_engine.backend import ORGANIZATION
from octavia_engine.deployment import Deployment, Skipped, StepFailed
from octavia_engine.events import Display
from octavia_engine.values import Props
from octavia_provider.model.errors import OctaviaError
from octavia_provider.pulumirpc.proto import CHANNEL_OPTIONS, stub

FEATURES = ("SECRETS", "RESOURCE_REFERENCES", "ALIAS_SPECS", "DELETED_WITH", "INVOKE_DEPENDS_ON")
"""The supported ``ResourceMonitorFeature`` values. SDKs report missing ones or do without."""
_LEGACY_FEATURES = {"secrets", "resourceReferences", "aliasSpecs", "deletedWith"}
_SEVERITIES = (events.DEBUG, events.INFO, events.WARNING, events.ERROR)


def _pb() -> Any:
    return stub("resource_pb2")


def _empty() -> Any:
    from google.protobuf import empty_pb2

    return empty_pb2.Empty()


class Monitor:
    """ResourceMonitor for one run."""

    def __init__(self, deployment: Deployment, *, parallel: int) -> None:
        self._deployment, self._parallel = deployment, parallel

    async def GetDeploymentInfo(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Project, stack, configuration and supported features."""
        pb, config = _pb(), self._deployment.config
        features = [getattr(pb, f"RESOURCE_MONITOR_FEATURE_{name}") for name in FEATURES]
        return pb.DeploymentInfo(
            project=self._deployment.names.project,
            stack=self._deployment.names.stack,
            organization=ORGANIZATION,
            config=config.values,
            configSecretKeys=sorted(config.secret_keys),
            dryRun=self._deployment.preview,
            parallel=self._parallel,
            supportedFeatures=features,
        )

    async def SupportsFeature(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Feature query of older SDKs."""
        return _pb().SupportsFeatureResponse(hasSupport=request.id in _LEGACY_FEATURES)

    async def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Register a resource."""
        response = _pb().RegisterResourceResponse
        if request.remote:
            await _refuse(context, "remote components are not run by the embedded engine; use pulumi")
        try:
            state = await self._deployment.register(goals.goal_from_register(request))
        except StepFailed as error:
            if not request.supportsResultReporting:
                await _refuse(context, str(error))
            return response(urn=error.subject, result=_pb().FAIL)
        except OctaviaError as error:
            self._deployment.error("", str(error))
            await _refuse(context, str(error))
        answer = response(urn=state.urn, id=_id_or_empty(state.id))
        values.fill_struct(answer.object, _adapt_to_sdk(state.outputs, request))
        return answer

    async def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Read an external resource."""
        try:
            state = await self._deployment.read(goals.goal_from_read(request))
        except OctaviaError as error:
            await _refuse(context, str(error))
        answer = _pb().ReadResourceResponse(urn=state.urn, id=_id_or_empty(state.id))
        values.fill_struct(answer.properties, _adapt_to_sdk(state.outputs, request))
        return answer

    async def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The outputs of a component or of the stack."""
        try:
            outputs = values.without_outputs(values.from_struct(request.outputs))
            await self._deployment.register_outputs(request.urn, outputs)
        except OctaviaError as error:
            await _refuse(context, str(error))
        return _empty()

    async def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Call a provider's function."""
        pb = _pb()
        if self._deployment.failed.intersection(request.dependsOn):
            await _refuse(context, "something it depends on failed")
        args = values.without_outputs(values.from_struct(request.args))
        try:
            found, failures = await self._deployment.invoke(request.tok, args, request.provider, request.version)
        except OctaviaError as error:
            await _refuse(context, f"{request.tok}: {error}")
        answer = pb.ResourceInvokeResponse()
        values.fill_struct(getattr(answer, "return"), found)
        for item in failures:
            answer.failures.add(property=item.path, reason=item.reason)
        return answer

    async def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """The program has finished. (Resource hooks, which would keep it running, are not supported.)"""
        return _empty()


class EngineService:
    """Engine for one run: logging, and the root resource for older SDKs."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._root = ""
        self.errors = 0
        """Errors logged by the program or a plugin; any of them fails the run."""

    async def Log(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """A diagnostic, or the status column if ephemeral."""
        severity = _SEVERITIES[request.severity]
        if request.ephemeral:
            self._display.status(request.urn, request.message)
        else:
            self.errors += severity == events.ERROR
            self._display.diagnostic(severity, request.urn, request.message)
        return _empty()

    async def GetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """The URN that SetRootResource gave."""
        return stub("engine_pb2").GetRootResourceResponse(urn=self._root)

    async def SetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Remember the root's URN."""
        self._root = request.urn
        return stub("engine_pb2").SetRootResourceResponse()


async def _refuse(context: Any, message: str) -> NoReturn:
    import grpc

    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
    raise Skipped(message)  # not reached: abort raises


def _id_or_empty(ident: str) -> str:
    """The id; empty for the SDK when it is unknown in a preview."""
    return "" if values.is_unknown(ident) else ident


def _adapt_to_sdk(props: Props, request: Any) -> Props:
    if not request.acceptResources:
        props = values.without_references(props)
    return props if request.acceptSecrets else values.plain(props)


class Services:
    """The engine's gRPC server; the monitor is added when the stack is open."""

    def __init__(self, display: Display) -> None:
        import grpc

        self.engine = EngineService(display)
        self._server = grpc.aio.server(options=CHANNEL_OPTIONS)
        self.address = ""

    async def start(self) -> None:
        """Bind a loopback port; :attr:`address` is set."""
        stub("engine_pb2_grpc").add_EngineServicer_to_server(
            _ServicerAdapter("engine", "Engine", self.engine), self._server
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"

    async def serve(self, monitor: Monitor | None) -> None:
        """Start serving."""
        if monitor is not None:
            servicer = _ServicerAdapter("resource", "ResourceMonitor", monitor)
            stub("resource_pb2_grpc").add_ResourceMonitorServicer_to_server(servicer, self._server)
        await self._server.start()

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop(grace=0)


class _ServicerAdapter:
    """A servicer whose missing methods return UNIMPLEMENTED, like the generated base class."""

    def __init__(self, module: str, service: str, target: Any) -> None:
        base = getattr(stub(f"{module}_pb2_grpc"), f"{service}Servicer")
        for name in vars(base):
            if name[0].isupper():
                setattr(self, name, getattr(target, name, None) or _unimplemented(name))


def _unimplemented(name: str) -> Any:
    async def method(request: Any, context: Any) -> None:  # noqa: ARG001
        import grpc

        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not supported by the embedded engine")

    return method
