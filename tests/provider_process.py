# SPDX-License-Identifier: Apache-2.0
"""The provider behind real gRPC, in this process, with an engine that notes what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest import mock

import grpc
from google.protobuf.empty_pb2 import Empty

from octavia_provider.plugin import engine_log, main, schema, values
from octavia_provider.plugin.session import ProviderSession
from octavia_provider.pulumirpc import proto

pb: Any = proto.stub("provider_pb2")
URN = "urn:pulumi:dev::prog::{}::{}"
PROVIDER = "11b2d0e4-75d3-4cc2-b277-6583c3597d6a"
REQUIRED = {token: frozenset(found["required"]) for token, found in schema.build()["resources"].items()}


class EngineStub(proto.stub("engine_pb2_grpc").EngineServicer):
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.messages.append(request)
        return Empty()


class Provider:
    """Speaks to the provider as the engine does; properties are plain Python values.

    Every answer, of previews too, must hold the outputs that the schema calls required: SDKs rely on them.
    """

    def __init__(self, stub: Any, engine: EngineStub, session: ProviderSession) -> None:
        self.stub, self.engine, self.session = stub, engine, session

    def configure(self, id_: str = PROVIDER, **args: Any) -> None:
        urn = URN.format("pulumi:providers:octavia", "default")
        self.stub.Configure(pb.ConfigureRequest(args=values.encode(args), id=id_, urn=urn, acceptSecrets=True))

    def check(
        self, token: str, name: str, news: Any, olds: Any = None, **more: Any
    ) -> tuple[dict[str, Any], dict[str, str]]:
        more.setdefault("randomSeed", bytes(range(32)))
        response = self.stub.Check(
            pb.CheckRequest(
                urn=URN.format(token, name), name=name, type=token, news=values.encode(news),
                olds=values.encode(olds or {}), **more,
            )
        )  # fmt: skip
        failures: dict[str, str] = {}
        for failure in response.failures:
            known = failures.get(failure.property)
            failures[failure.property] = f"{known}; {failure.reason}" if known else failure.reason
        return values.decode(response.inputs), failures

    def diff(self, token: str, name: str, id_: str, old_inputs: Any, olds: Any, news: Any, **more: Any) -> Any:
        return self.stub.Diff(
            pb.DiffRequest(
                urn=URN.format(token, name), name=name, type=token, id=id_, old_inputs=values.encode(old_inputs),
                olds=values.encode(olds), news=values.encode(news), **more,
            )
        )  # fmt: skip

    def create(self, token: str, name: str, inputs: Any, **more: Any) -> tuple[str, dict[str, Any]]:
        response = self.stub.Create(
            pb.CreateRequest(
                urn=URN.format(token, name), name=name, type=token, properties=values.encode(inputs), **more
            )
        )
        return response.id, _complete(token, values.decode(response.properties))

    def read(self, token: str, name: str, id_: str, properties: Any = None, inputs: Any = None) -> Any:
        response = self.stub.Read(
            pb.ReadRequest(
                urn=URN.format(token, name), name=name, type=token, id=id_, properties=values.encode(properties or {}),
                inputs=values.encode(inputs or {}),
            )
        )  # fmt: skip
        found = values.decode(response.properties)
        return response.id, _complete(token, found) if response.id else found, values.decode(response.inputs)

    def update(self, token: str, name: str, id_: str, old_inputs: Any, olds: Any, news: Any, **more: Any) -> Any:
        response = self.stub.Update(
            pb.UpdateRequest(
                urn=URN.format(token, name), name=name, type=token, id=id_, old_inputs=values.encode(old_inputs),
                olds=values.encode(olds), news=values.encode(news), **more,
            )
        )  # fmt: skip
        return _complete(token, values.decode(response.properties))

    def delete(self, token: str, name: str, id_: str, properties: Any, **more: Any) -> None:
        self.stub.Delete(
            pb.DeleteRequest(
                urn=URN.format(token, name), name=name, type=token, id=id_, properties=values.encode(properties), **more
            )
        )


def _complete(token: str, outputs: dict[str, Any]) -> dict[str, Any]:
    missing = REQUIRED[token] - outputs.keys()
    assert not missing, f"{token} lacks the outputs {sorted(missing)}, which its schema requires"
    return outputs


def init_failed(error: grpc.RpcError) -> Any:
    """The ErrorResourceInitFailed that an error carries."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = proto.stub("status_pb2").Status.FromString(details)
    found = pb.ErrorResourceInitFailed()
    assert status.details[0].Unpack(found)
    return found


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that serves, and an engine that it knows."""
    engine = EngineStub()
    engine_server = grpc.server(ThreadPoolExecutor(4))
    proto.stub("engine_pb2_grpc").add_EngineServicer_to_server(engine, engine_server)
    engine_port = engine_server.add_insecure_port("127.0.0.1:0")
    engine_server.start()
    session = ProviderSession()
    server, port = main.serve(session)
    patient = mock.patch.object(engine_log, "LOG_TIMEOUT", 60.0)  # no message is lost on a busy machine
    with patient, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = proto.stub("provider_pb2_grpc").ResourceProviderStub(channel)
        stub.Handshake(pb.ProviderHandshakeRequest(engine_address=f"127.0.0.1:{engine_port}"))
        yield Provider(stub, engine, session)
    session.cancelled.set()
    server.stop(None).wait()
    session.close()
    engine_server.stop(None).wait()
