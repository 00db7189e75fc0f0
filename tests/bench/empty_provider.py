# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N802 - the names are the protocol's
"""``pulumi-resource-octavia`` that does nothing: a real gRPC provider which answers every call at once.

What an ``up`` on it takes is the engine's, the program's and gRPC's; what an ``up`` on the real one takes more is ours.
Check and Create answer what they are given, with an id; Diff compares the inputs.
"""

from __future__ import annotations

import signal
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2

from octavia_provider.pulumirpc.proto import CHANNEL_OPTIONS, stub

pb = stub("provider_pb2")
plugin_pb2 = stub("plugin_pb2")


class Empty(stub("provider_pb2_grpc").ResourceProviderServicer):  # type: ignore[misc]
    """The calls that an engine makes for resources of a program."""

    def Handshake(self, request: Any, context: Any) -> Any:
        return pb.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="0.1.0")

    def GetSchema(self, request: Any, context: Any) -> Any:
        return pb.GetSchemaResponse(schema="{}")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return pb.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        return pb.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True)

    def Check(self, request: Any, context: Any) -> Any:
        return pb.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:
        same = request.old_inputs == request.news
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_NONE if same else pb.DiffResponse.DIFF_SOME)

    def Create(self, request: Any, context: Any) -> Any:
        return pb.CreateResponse(id="" if request.preview else str(uuid.uuid4()), properties=request.properties)

    def Update(self, request: Any, context: Any) -> Any:
        return pb.UpdateResponse(properties=request.news)

    def Delete(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


def main() -> None:
    """Serve until the engine ends it."""
    server = grpc.server(ThreadPoolExecutor(64), options=CHANNEL_OPTIONS)
    stub("provider_pb2_grpc").add_ResourceProviderServicer_to_server(Empty(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    server.stop(None)


if __name__ == "__main__":
    main()
