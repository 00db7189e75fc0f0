# SPDX-License-Identifier: Apache-2.0
"""The process, as the engine starts it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from control_plane import ControlPlane
from octavia_provider import __version__
from octavia_provider.plugin import values
from octavia_provider.pulumirpc import proto
from provider_process import PROVIDER, URN, pb

PLUGIN = "from octavia_provider.plugin import main, session; session.CONFIRM_SECONDS = 60.0; main.main()"
"""Its end waits for the confirmation as long as a busy machine takes."""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PLUGIN, "--logtostderr", "-v=3", "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def test_the_port_comes_first_and_it_speaks(process: subprocess.Popen[str]) -> None:
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = proto.stub("provider_pb2_grpc").ResourceProviderStub(channel)
        answer = stub.Handshake(pb.ProviderHandshakeRequest())
        assert answer.accept_secrets
        assert answer.accept_resources
        assert answer.supports_autonaming_configuration
        assert (
            stub.GetPluginInfo(proto.stub("provider_pb2_grpc").google_dot_protobuf_dot_empty__pb2.Empty()).version
            == __version__
        )
        assert json.loads(stub.GetSchema(pb.GetSchemaRequest()).schema)["name"] == "octavia"
        with pytest.raises(grpc.RpcError) as caught:
            stub.Create(pb.CreateRequest(urn="urn:pulumi:d::p::octavia:index:Pool::x", type="octavia:index:Pool"))
        assert caught.value.details() == "provider: Configure was not called before the first resource."
    process.terminate()
    out, err = process.communicate(timeout=50)
    assert (out, err, process.returncode) == ("", "", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_confirms_when_it_is_told_to_end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    made = _create(int(process.stdout.readline()), plane := ControlPlane())
    process.send_signal(number)
    process.wait(50)
    plane.__exit__()
    assert plane.confirmed == (set() if number is signal.SIGKILL else {made})


def test_it_confirms_nothing_when_its_engine_died() -> None:
    """Whether the engine has kept the last answer is not known: the object must be found as a leftover."""
    with _child_of_an_engine() as (engine, port, pid):
        _create(port, plane := ControlPlane())
        engine.kill()
        assert select.select([pid], [], [], 50)[0], "the plugin runs on"
        plane.__exit__()
        assert len(plane.objects) == 1
        assert plane.confirmed == set()


def _create(port: int, plane: ControlPlane) -> str:
    plane.__enter__()
    token = "octavia:local:Network"
    urn = URN.format(token, "n")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = proto.stub("provider_pb2_grpc").ResourceProviderStub(channel)
        stub.Configure(pb.ConfigureRequest(args=values.encode({"endpoint": plane.url}), id=PROVIDER))
        request = pb.CreateRequest(urn=urn, type=token, name="n", properties=values.encode({"name": "n"}))
        return str(stub.Create(request).id)


@contextmanager
def _child_of_an_engine() -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A plugin whose engine is a process of its own: the engine, the port, and the plugin's pidfd."""
    plugin = [sys.executable, "-m", "octavia_provider.plugin.main", "127.0.0.1:1"]
    engine = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen({plugin!r}, stdout=subprocess.PIPE)\n"
        "port = int(child.stdout.readline())\n"
        "print(port, child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", engine], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        port, child = map(int, parent.stdout.readline().split())
        pid = os.pidfd_open(child)
        try:
            yield parent, port, pid
        finally:
            parent.kill()
            os.close(pid)


def test_pulumi_itself_is_not_imported() -> None:
    unwanted = ("pulumi", "structlog", "httpx2", "pydantic", "jinja2")
    code = f"import sys, octavia_provider.plugin.main; print([m for m in {unwanted} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_real_sdk_can_be_imported_after_the_stubs() -> None:
    code = (
        "from octavia_provider.pulumirpc import proto; stub = proto.stub('provider_pb2'); import pulumi; "
        "from pulumi.runtime.proto import provider_pb2; print(provider_pb2 is stub, hasattr(pulumi, 'CustomResource'), "
        "proto.stub('resource_pb2_grpc').ResourceMonitorStub.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True ResourceMonitorStub\n"


def test_it_ends_with_the_engine_that_started_it() -> None:
    with _child_of_an_engine() as (engine, _, pid):
        engine.kill()
        assert select.select([pid], [], [], 50)[0], "the plugin runs on"
