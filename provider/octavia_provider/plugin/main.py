# SPDX-License-Identifier: Apache-2.0
"""The process: ``pulumi-resource-octavia [--logtostderr] [-v=N] [--tracing X] [engine address]``.

The engine reads the first line of standard output as the port; nothing may be printed before it. It shows standard error
to the user as diagnostics, so we write there only with OCTAVIA_LOG=debug.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from octavia_provider.kit import logs
from octavia_provider.pulumirpc import proto

from .servicer import Servicer
from .session import ProviderSession

WORKERS = 64
"""Calls at once; the engine keeps up to 4 × CPU resources in flight, each waiting in a call."""


ENGINE_GONE = b"\xff"
"""Written to the wake-up pipe when the engine has exited. (A signal writes its number.)"""


def serve(session: ProviderSession, address: str = "127.0.0.1:0") -> tuple[grpc.Server, int]:
    """Start the server; return it and its port. ``server.stop(None)`` ends it."""
    server = grpc.server(
        ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="call"), options=proto.CHANNEL_OPTIONS
    )
    proto.stub("provider_pb2_grpc").add_ResourceProviderServicer_to_server(Servicer(session), server)
    port = server.add_insecure_port(address)
    server.start()
    return server, int(port)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the engine stops the plugin."""
    parser = argparse.ArgumentParser(prog="pulumi-resource-octavia", add_help=False, allow_abbrev=False)
    parser.add_argument("--logtostderr", action="store_true")
    parser.add_argument("--tracing")
    parser.add_argument("-v")
    _, rest = parser.parse_known_args(arguments)
    if os.environ.get("OCTAVIA_LOG", "").lower() == "debug":
        logs.to_stderr()
    else:
        logs.silence()
    session = ProviderSession()
    engine = next((word for word in reversed(rest) if not word.startswith("-")), "")
    if engine:
        session.reporter.dial(engine)
    # A wake-up pipe, because the interpreter writes to it in whatever thread the signal arrives. A Python handler runs only
    # when the main thread returns from its read, which a signal to another thread does not interrupt.
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    parent = os.getppid()
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    if engine:
        threading.Thread(target=_follow_parent, args=(write_end,), daemon=True, name="parent").start()
    server, port = serve(session)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    signalled = os.read(read_end, 1) != ENGINE_GONE
    session.cancelled.set()
    server.stop(grace=5).wait()
    if signalled and os.getppid() == parent:  # an engine that was killed may not have saved the last responses
        session.confirm()
    session.close()


def _follow_parent(write_end: int) -> None:
    """Exit when the engine exits: one that was killed stops no plugin. (PR_SET_PDEATHSIG would fire when the *thread*
    that started us ends, and the Go engine has many.)"""
    try:
        parent = os.pidfd_open(os.getppid())
    except OSError:  # it has ended already
        os.write(write_end, ENGINE_GONE)
        return
    select.select([parent], [], [])
    os.write(write_end, ENGINE_GONE)


if __name__ == "__main__":
    main()
