# SPDX-License-Identifier: Apache-2.0
"""How everything that a control plane makes in OpenStack is named and tagged: from ids, so that it is found again after a crash.

Names are like Octavia's own. Tags say whose it is; nothing without the tag of this control plane is ever touched. What an amphora carries is
in the tags of its port: they are replaced as a whole by one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

OWNER = "Octavia"
"""``device_owner`` of ports that are no server's, as Octavia has it: Horizon and others know it."""
MANAGEMENT, TRAFFIC, MEMBERS = "management", "traffic", "members"
"""What an amphora's port is for."""
GROUP = "octavia-scope=amphora-group"
"""The tag of an amphora that load balancers share: what is its load balancer elsewhere is its amphora group."""
Json = Mapping[str, Any]


def control_plane(id_: str) -> str:
    """The tag of all that this control plane makes (58 characters; Nova takes 60)."""
    return f"octavia-control-plane={id_}"


def load_balancer(id_: str) -> str:
    """The tag of all that is a load balancer's."""
    return f"octavia-load-balancer={id_}"


def amphora(id_: str) -> str:
    """The tag of an amphora's server and ports."""
    return f"octavia-amphora={id_}"


def host(amphora_id: str) -> str:
    """The tag of a port that is a load balancer's on an amphora that it shares: on whose server it is."""
    return f"octavia-host={amphora_id}"


def server(amphora_id: str) -> str:
    """The name of an amphora's server."""
    return f"octavia-amphora-{amphora_id}"


def server_group(load_balancer_id: str) -> str:
    """The name of the server group of a load balancer's amphorae."""
    return f"octavia-lb-{load_balancer_id}"


def security_group(load_balancer_id: str) -> str:
    """The name of the security group of a load balancer."""
    return f"octavia-lb-{load_balancer_id}"


def vip_port(load_balancer_id: str, subnet_id: str | None = None) -> str:
    """The name of the port that holds the VIP, or the additional VIP of a subnet."""
    return f"octavia-lb-{load_balancer_id}" + (f"/{subnet_id}" if subnet_id else "")


def vip_device(load_balancer_id: str) -> str:
    """The ``device_id`` of such a port, as Octavia's."""
    return f"lb-{load_balancer_id}"


def is_vip_port(port: Json) -> bool:
    """Whether it can be the port of a VIP: the only thing of ours that is in the projects of users. They write its tags and description as
    they like, and those of their other ports."""
    tags = port["tags"] or port["description"].split()
    balancer = tagged([*tags, *port["description"].split()], "octavia-load-balancer")
    owned = port.get("device_owner") == OWNER and tagged(tags, "octavia-amphora") is None
    return owned and balancer is not None and bool(port["device_id"] == vip_device(balancer))


def is_in_own_server(port: Json) -> bool:
    """Whether a port is plugged into the server of its own amphora: not bound nowhere, nor in one that load balancers share."""
    return bool(port["device_owner"].startswith("compute:")) and tagged(port["tags"], "octavia-host") is None


def management_port(amphora_id: str) -> str:
    """The name of the port by which an amphora's agent is reached."""
    return f"octavia-lb-mgmt-{amphora_id}"


def network_port(amphora_id: str, network_id: str) -> str:
    """The name of the port by which an amphora is on the network of VIPs or members."""
    return f"octavia-lb-vrrp-{amphora_id}/{network_id}"


def tagged(tags: Iterable[str], name: str) -> str | None:
    """The value of the tag ``name=value``."""
    return next((tag.partition("=")[2] for tag in tags if tag.startswith(f"{name}=")), None)


def kind(tags: Iterable[str]) -> str:
    """Of the object whose the amphora with these tags is, and whose id is in the tag of its load balancer."""
    return "amphora_group" if GROUP in tags else "load_balancer"


def carrying(vips: Sequence[str], shared: Sequence[str]) -> list[str]:
    """The tags that say what a port's amphora carries, by itself and as one of a pair."""
    return [*(f"vip={one}" for one in vips), *(f"shared={one}" for one in shared)]


def carried(tags: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a port's tags say that its amphora carries: by itself, and as one of a pair."""
    known = sorted(tags)
    vips, shared = (tuple(t.partition("=")[2] for t in known if t.startswith(p)) for p in ("vip=", "shared="))
    return vips, shared
