# SPDX-License-Identifier: Apache-2.0
"""Starting processes: the plugin until it prints its port and until it has answered Configure; ``octaviactl``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from octavia_provider.plugin import values
from octavia_provider.pulumirpc import proto

from .rows import Row, median
from .topics import Say

RUNS = 11
BIN = Path(sys.executable).parent
URN = "urn:pulumi:dev::prog::pulumi:providers:octavia::default"
ID = "11b2d0e4-75d3-4cc2-b277-6583c3597d6a"


def start() -> tuple[float, float]:
    """One plugin process: milliseconds until its port is printed, and until Configure is answered."""
    pb, service = proto.stub("provider_pb2"), proto.stub("provider_pb2_grpc")
    began = time.perf_counter()
    process = subprocess.Popen([BIN / "pulumi-resource-octavia"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        printed = time.perf_counter() - began
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            request = pb.ConfigureRequest(args=values.encode({}), id=ID, urn=URN, acceptSecrets=True)
            service.ResourceProviderStub(channel).Configure(request, timeout=30)
        return printed * 1000, (time.perf_counter() - began) * 1000
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def command(*words: str) -> float:
    """Milliseconds that a command takes."""
    began = time.perf_counter()
    subprocess.run([BIN / words[0], *words[1:]], check=True, capture_output=True, timeout=30)
    return (time.perf_counter() - began) * 1000


def measure(say: Say) -> Iterator[Row]:
    """How soon they are there."""
    say(f"starting the plugin {RUNS} times")
    start()  # fills the file cache and the byte code
    starts = [start() for _ in range(RUNS)]
    yield Row("plugin.port_printed", median(a for a, _ in starts), "ms", None, RUNS, "from the start of the process")
    yield Row("plugin.configured", median(b for _, b in starts), "ms", None, RUNS, "Configure answered")
    say(f"octaviactl --version {RUNS} times")
    took = [command("octaviactl", "--version") for _ in range(RUNS)]
    yield Row("octaviactl.version", median(took), "ms", None, RUNS)
    bare = [command("python3", "-c", "pass") for _ in range(RUNS)]
    yield Row("python.bare_start", median(bare), "ms", None, RUNS, "an interpreter that does nothing, for comparison")
