# SPDX-License-Identifier: Apache-2.0
"""What an amphora of a pair is told of VRRP (RFC 9568, by keepalived), and what it says of it."""

from __future__ import annotations

from typing import Literal

import msgspec

VrrpState = Literal["", "MASTER", "BACKUP", "FAULT"]
"""Which of the amphorae has the VIPs, as this one sees it; empty: it is not one of a pair."""
STATES: dict[str, VrrpState] = {"MASTER": "MASTER", "BACKUP": "BACKUP", "FAULT": "FAULT"}

TRACK_FILE = "haproxy"
"""The name by which the text refers to the file in which the agent says whether haproxy serves (``track_file``)."""
PEERS_PORT = 1025


class Vrrp(msgspec.Struct, frozen=True, omit_defaults=True):
    """``text``: keepalived's ``vrrp_instance``, rendered by the control plane. The agent puts ``global_defs``, the track file and
    what is told of interfaces before it.

    ``interfaces``: name in the text (``$NAME``) → an address of this amphora's own: what has it is that interface.
    ``router_id``: whose adverts come from the ``peers`` alone, and so does what comes to ``port`` of an own address (stick
    tables). ``vips``: the shared addresses, with the lengths of their prefixes as keepalived adds them. ``advert_interval``: seconds.
    ``forwards``: for each of ``peers``, shared address → (its own address, and ours, on that network): where packets of connections go
    that it has when this amphora takes over from it.
    """

    text: str
    router_id: int
    interfaces: dict[str, str] = {}
    peers: tuple[str, ...] = ()
    vips: tuple[str, ...] = ()
    port: int = PEERS_PORT
    advert_interval: float = 0.2
    forwards: tuple[dict[str, tuple[str, str]], ...] = ()

    @property
    def preempts(self) -> bool:
        """Whether this amphora is to take the addresses from whoever has them."""
        return bool(self.text) and "nopreempt" not in self.text.split()
