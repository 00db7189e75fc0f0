# SPDX-License-Identifier: Apache-2.0
"""The embedded cloud: amphorae and hosts are namespaces of this machine, behind walls of their own.

    cloud.py      NetnsCloud, what the control plane uses (``ports.Cloud``); it comes and goes
    driver.py     the cloud with all that is particular to it (``ports.CloudDriver``)
    networks.py   addresses of networks, hosts and VIPs; subnets.py: where they are taken
    scopes.py     what brings networks and hosts about
    publishing.py listeners, published on this machine's loopback
    specs.py      what the cloud is asked for beside amphorae
    client.py     how it speaks with the holder
    dialer.py     sockets opened inside the walls
    listening.py  listening sockets of published listeners, on this machine's loopback
    ranges.py     which loopback addresses a home publishes at
    doctor.py     what the machine must have
    holder/       the program that is the cloud: init of its namespaces; nothing but the standard library

NetnsCloud is imported when it is asked for, so that the holder, which is forked for each amphora and host, stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cloud import NetnsCloud

__all__ = ["NetnsCloud"]


def __getattr__(name: str) -> Any:
    if name != "NetnsCloud":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .cloud import NetnsCloud

    return NetnsCloud
