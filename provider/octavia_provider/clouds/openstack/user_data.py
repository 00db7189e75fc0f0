# SPDX-License-Identifier: Apache-2.0
"""What a server is given on its config drive: the files of its agent, and which addresses its interfaces have. cloud-init's format."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence

from octavia_provider.model.errors import Refused
from octavia_provider.ports import Vip

from .session import Json

HEADER = "#cloud-config\n"
INTERFACES = "/etc/octavia-amphora/interfaces.json"
MOST = 65535
"""Bytes of user_data that Nova takes, in base64."""


def encode(files: Mapping[str, tuple[int, bytes]], subject: str) -> str:
    """The user_data that writes these files; JSON is YAML, and needs no library to be read."""
    written = [
        {
            "path": path, "permissions": f"{mode:04o}", "owner": "root:root", "encoding": "b64",
            "content": base64.b64encode(content).decode(),
        }
        for path, (mode, content) in files.items()
    ]  # fmt: skip
    found = base64.b64encode((HEADER + json.dumps({"write_files": written})).encode()).decode()
    if len(found) > MOST:
        raise Refused(
            f"its files are {len(found)} bytes, and Nova takes {MOST}", subject=subject, hint="fewer authorities"
        )
    return found


def decode(user_data: str) -> dict[str, tuple[int, bytes]]:
    """The files in it."""
    document = json.loads(base64.b64decode(user_data).decode().removeprefix(HEADER))
    return {
        one["path"]: (int(one["permissions"], 8), base64.b64decode(one["content"])) for one in document["write_files"]
    }


def interfaces(ports: Iterable[tuple[Json, Json, Sequence[Json]]], vips: Sequence[Vip]) -> bytes:
    """Each interface by its MAC: its MTU, its addresses, those that VRRP moves. ``ports``: with its network and its subnets."""
    found = []
    for port, network, subnets in ports:
        there = {one["id"]: one for one in subnets}
        own = [
            _address(one["ip_address"], there[one["subnet_id"]]["cidr"], there[one["subnet_id"]]["gateway_ip"])
            for one in port["fixed_ips"]
        ]
        fixed = {one["ip_address"] for one in port["fixed_ips"]}
        carried = [vip for vip in vips if vip.network_id == port["network_id"] and vip.address not in fixed]
        own += [
            {"address": f"{vip.address}/{vip.prefix}", "gateway": vip.gateway, "shared": vip.shared} for vip in carried
        ]
        found.append({"mac": port["mac_address"], "mtu": network["mtu"], "addresses": own})
    return json.dumps(found, indent=1).encode()


def _address(address: str, cidr: str, gateway: str | None) -> Json:
    return {"address": f"{address}/{ipaddress.ip_network(cidr).prefixlen}", "gateway": gateway, "shared": False}
