# SPDX-License-Identifier: Apache-2.0
"""Where heartbeats go: what the settings say, or what a control plane has said since, which outlives a restart."""

from __future__ import annotations

import ipaddress
import logging
import socket
from pathlib import Path

import msgspec

from octavia_amphora.apply.disk import write
from octavia_amphora.apply.errors import PushRefused
from octavia_amphora.wire.messages import AgentConfig, Receivers, Refusal

log = logging.getLogger("octavia_amphora.heartbeat")
MOST = 16

Address = tuple[int, tuple[str, int]]


class HeartbeatReceivers:
    """``addresses``: family, and (host, port), of each."""

    def __init__(self, settings: AgentConfig) -> None:
        self._path = Path(settings.state_directory) / "receivers.json"
        self._as_of = float("-inf")
        self.addresses = [_address(one) for one in settings.receivers]
        try:
            self._take(msgspec.json.decode(self._path.read_bytes(), type=Receivers))
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError, PushRefused) as error:
            log.warning("what was last said of the receivers cannot be read, the settings count: %s", error)

    def replace(self, said: Receivers) -> None:
        """Send to these from the next heartbeat on. ``PushRefused`` where something later is known, or it is nonsense."""
        if said.as_of < self._as_of:
            raise PushRefused(Refusal("stale", f"what is known of the receivers is later than {said.as_of}"))
        self._take(said)
        write(self._path, msgspec.json.encode(said), durable=True)

    def _take(self, said: Receivers) -> None:
        if not 0 < len(said.receivers) <= MOST:
            raise PushRefused(Refusal("bad_request", f"there are 1 to {MOST} receivers, not {len(said.receivers)}"))
        try:
            addresses = [_address(one) for one in said.receivers]
        except ValueError as error:
            raise PushRefused(Refusal("bad_request", f"receivers are addresses with a port: {error}")) from error
        self.addresses, self._as_of = addresses, said.as_of


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    return family, (host, int(port))
