# SPDX-License-Identifier: Apache-2.0
"""Diagnostics and status-column messages for the engine (pulumirpc.Engine.Log)."""

from __future__ import annotations

import threading
from typing import Any

import grpc

from octavia_provider.kit import logs, terminal
from octavia_provider.pulumirpc import proto

log = logs.Logger()
LOG_TIMEOUT = 5.0
"""Seconds for the engine to take a message: logging must not delay the work."""


class Reporter:
    """Sends messages to the engine; discards them while no address is known."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._engine: Any = None

    def dial(self, address: str) -> None:
        """Connect to the engine at this address."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            self._channel = grpc.insecure_channel(address, options=proto.CHANNEL_OPTIONS) if address else None
            self._engine = proto.stub("engine_pb2_grpc").EngineStub(self._channel) if self._channel else None

    def close(self) -> None:
        """Close the connection."""
        self.dial("")

    def status(self, urn: str, message: str) -> None:
        """Show the message in the status column of the resource, until the next one."""
        self._log(urn, message, "INFO", ephemeral=True)

    def info(self, urn: str, message: str) -> None:
        """A diagnostic of the resource."""
        self._log(urn, message, "INFO")

    def warn(self, urn: str, message: str) -> None:
        """A warning diagnostic of the resource."""
        self._log(urn, message, "WARNING")

    def debug(self, urn: str, message: str) -> None:
        """A diagnostic that is shown with ``--debug``."""
        self._log(urn, message, "DEBUG")

    def _log(self, urn: str, message: str, severity: str, *, ephemeral: bool = False) -> None:
        engine = self._engine
        if engine is None:
            return
        pb = proto.stub("engine_pb2")
        request = pb.LogRequest(
            severity=pb.LogSeverity.Value(severity), message=terminal.escape_text(message), urn=urn, ephemeral=ephemeral
        )
        try:
            engine.Log(request, timeout=LOG_TIMEOUT)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel was closed by Attach meanwhile
            log.debug("the engine takes no messages", error=str(error))
