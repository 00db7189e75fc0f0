# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N802 - the names are the protocol's
"""The provider against which the traces were recorded: a tiny real one, its cloud a JSON file.

Balancer, Listener and Member. ``Balancer.subnetId``, ``Listener.port`` (deleted before it is replaced) and
``Member.address`` force a replacement; ``key`` and the provider's ``token`` are secrets; ``failCreate`` fails a create
outright, ``failInit`` fails it after the object exists. Environment: PROBE_CLOUD, the JSON file; PROBE_CALLS, a file
that gets a JSON line for each call; PROBE_DIE, ``<method>:<name>:before|after`` at which the process kills itself;
PROBE_ADOPT, when set, makes a create once: an object of the same owner (the provider's id and the URN) that the engine
has never shown is taken up, as the octavia provider does.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import grpc
from google.protobuf import any_pb2, empty_pb2, json_format

from octavia_provider.pulumirpc.proto import stub

pb = stub("provider_pb2")
plugin_pb2 = stub("plugin_pb2")
CLOUD = Path(os.environ.get("PROBE_CLOUD", "cloud.json"))
CALLS = os.environ.get("PROBE_CALLS")
DIE = os.environ.get("PROBE_DIE", "")
ADOPT = os.environ.get("PROBE_ADOPT")
FORCES = {"Balancer": "subnetId", "Listener": "port", "Member": "address"}
SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


class Cloud:
    """Objects by id, in a file; safe between processes and threads."""

    def __enter__(self) -> dict[str, Any]:
        self._lock = CLOUD.with_suffix(".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._data = json.loads(CLOUD.read_text()) if CLOUD.exists() else {"last": 0, "objects": {}}
        return self._data

    def __exit__(self, *_: object) -> None:
        fresh = CLOUD.with_suffix(".new")
        fresh.write_text(json.dumps(self._data))
        fresh.replace(CLOUD)
        self._lock.close()


def props(struct: Any) -> dict[str, Any]:
    return {key: whole(value) for key, value in json_format.MessageToDict(struct).items()}


def whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


def bare(value: Any) -> Any:
    """Without secrecy."""
    if isinstance(value, dict):
        return bare(value["value"]) if value.get(SIGNATURE) == SECRET else {k: bare(v) for k, v in value.items()}
    return [bare(item) for item in value] if isinstance(value, list) else value


def fill(struct: Any, found: dict[str, Any]) -> None:
    struct.SetInParent()
    json_format.ParseDict(found, struct)


def kind(urn: str) -> str:
    return urn.split("::")[2].rsplit(":", 1)[-1]


def maybe_die(method: str, name: str, when: str) -> None:
    if f"{method}:{name}:{when}" == DIE:
        os.kill(os.getpid(), signal.SIGKILL)


class Probe(stub("provider_pb2_grpc").ResourceProviderServicer):  # type: ignore[misc]
    def Handshake(self, request: Any, context: Any) -> Any:
        return pb.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="0.1.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return pb.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_NONE)

    owner = ""
    shown: ClassVar[dict[str, set[str]]] = {}

    def Configure(self, request: Any, context: Any) -> Any:
        self.owner = request.id
        return pb.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True)

    def Check(self, request: Any, context: Any) -> Any:
        news = props(request.news)
        if kind(request.urn) == "Balancer":
            news.setdefault("name", props(request.olds).get("name") or f"{request.name}-auto")
        answer = pb.CheckResponse()
        fill(answer.inputs, news)
        if kind(request.urn) == "Member" and isinstance(news.get("weight"), int) and news["weight"] > 256:
            answer.failures.add(property="weight", reason="weight must be at most 256")
        return answer

    def Diff(self, request: Any, context: Any) -> Any:
        self.shown.setdefault(request.urn, set()).add(request.id)
        olds, news = bare(props(request.old_inputs)), bare(props(request.news))
        answer = pb.DiffResponse(changes=pb.DiffResponse.DIFF_NONE, hasDetailedDiff=True)
        for key in sorted({*olds, *news}):
            if olds.get(key) == news.get(key):
                continue
            forces = FORCES[kind(request.urn)] == key
            name = "ADD" if key not in olds else "DELETE" if key not in news else "UPDATE"
            answer.detailedDiff[key].kind = pb.PropertyDiff.Kind.Value(name + ("_REPLACE" if forces else ""))
            answer.detailedDiff[key].inputDiff = True
            answer.diffs.append(key)
            answer.changes = pb.DiffResponse.DIFF_SOME
            if forces:
                answer.replaces.append(key)
                answer.deleteBeforeReplace = kind(request.urn) == "Listener"
        return answer

    def Create(self, request: Any, context: Any) -> Any:
        found = props(request.properties)
        answer = pb.CreateResponse()
        if request.preview:
            fill(answer.properties, found)
            return answer
        maybe_die("Create", request.name, "before")
        if found.get("failCreate"):
            context.abort(grpc.StatusCode.UNKNOWN, "no compute host has room for this member")
        found["status"] = "ERROR" if found.get("failInit") else "ACTIVE"
        with Cloud() as cloud:
            answer.id = self._adopted(cloud, request.urn)
            if not answer.id:
                cloud["last"] += 1
                answer.id = f"{kind(request.urn).lower()}-{cloud['last']}"
            cloud["objects"][answer.id] = bare(found)
        maybe_die("Create", request.name, "after")
        fill(answer.properties, found)
        if found.get("failInit"):
            self._init_failed(context, answer.id, found)
        return answer

    def _adopted(self, cloud: dict[str, Any], urn: str) -> str:
        """An object that an earlier Create of this URN made and nobody heard of."""
        if not ADOPT:
            return ""
        owners, confirmed = cloud.setdefault("owners", {}), cloud.setdefault("confirmed", [])
        confirmed.extend(self.shown.get(urn, ()))
        owner = f"{self.owner} {urn}"
        left = [i for i in owners.get(owner, ()) if i in cloud["objects"] and i not in confirmed]
        if not left:
            owners.setdefault(owner, []).append(f"{kind(urn).lower()}-{cloud['last'] + 1}")
        return left[0] if left else ""

    def _init_failed(self, context: Any, ident: str, found: dict[str, Any]) -> None:
        reason = "the member exists but its health monitor never passed"
        failed = pb.ErrorResourceInitFailed(id=ident, reasons=[reason])
        fill(failed.properties, found)
        fill(failed.inputs, {key: value for key, value in found.items() if key != "status"})
        packed = any_pb2.Any()
        packed.Pack(failed)
        status = stub("status_pb2").Status(code=2, message=reason, details=[packed])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, reason)

    def Read(self, request: Any, context: Any) -> Any:
        with Cloud() as cloud:
            found = cloud["objects"].get(request.id)
        answer = pb.ReadResponse()
        if found is not None:
            answer.id = request.id
            fill(answer.properties, found)
            fill(answer.inputs, {key: value for key, value in found.items() if key != "status"})
        return answer

    def Update(self, request: Any, context: Any) -> Any:
        found = props(request.news) | {"status": "ACTIVE"}
        if not request.preview:
            maybe_die("Update", request.name, "before")
            with Cloud() as cloud:
                cloud["objects"][request.id] = bare(found)
            maybe_die("Update", request.name, "after")
        else:
            found["status"] = props(request.olds).get("status", "ACTIVE")
        answer = pb.UpdateResponse()
        fill(answer.properties, found)
        return answer

    def Delete(self, request: Any, context: Any) -> Any:
        maybe_die("Delete", request.name, "before")
        with Cloud() as cloud:
            cloud["objects"].pop(request.id, None)
        maybe_die("Delete", request.name, "after")
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        answer = pb.InvokeResponse()
        with Cloud() as cloud:
            fill(getattr(answer, "return"), cloud["objects"].get(props(request.args)["balancerId"], {}))
        return answer

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


class Recorder(grpc.ServerInterceptor):  # type: ignore[misc]
    """Writes each call down when it is over, as the CLI's PULUMI_DEBUG_GRPC does."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler is None or CALLS is None:
            return handler

        def call(request: Any, context: Any) -> Any:
            record = {"method": details.method, "request": json_format.MessageToDict(request)}
            try:
                response = handler.unary_unary(request, context)
            except Exception as error:
                self._write(record | {"errors": [str(error)]})
                raise
            self._write(record | {"response": json_format.MessageToDict(response)})
            return response

        return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)

    def _write(self, record: dict[str, Any]) -> None:
        with Path(str(CALLS)).open("a") as file:
            file.write(json.dumps(record) + "\n")


def main() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing is left when the engine is killed
    server = grpc.server(ThreadPoolExecutor(32), interceptors=[Recorder()])
    stub("provider_pb2_grpc").add_ResourceProviderServicer_to_server(Probe(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
