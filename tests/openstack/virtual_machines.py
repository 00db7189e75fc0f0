# SPDX-License-Identifier: Apache-2.0
"""Networks for servers that libvirt boots: each tap that Nova makes comes onto the bridge of its port's network, as an agent of Neutron would
do it. Nothing runs in these servers but the image.

Not shown so: what Neutron filters at ports (security groups, allowed addresses).
"""

from __future__ import annotations

import subprocess
from typing import Any

import msgspec

from .fabric import Fabric, Here, inside
from .guests import Guests
from .project import Project
from .test_guests import Scene

TAP = "tap"
"""The name of a tap is this and the first eleven characters of its port's id, as Nova names it."""


def _taps() -> list[str]:
    """Those of this namespace that are on no bridge."""
    shown = subprocess.run(["ip", "-j", "link"], check=True, capture_output=True, text=True).stdout
    links: list[dict[str, Any]] = msgspec.json.decode(shown)
    return [one["ifname"] for one in links if one["ifname"].startswith(TAP) and "master" not in one]


class VirtualMachines(Guests):
    """``with VirtualMachines(project) as machines:`` — taps follow what Nova boots and plugs."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.fabric = Fabric(project, Here())

    def __exit__(self, *exception: object) -> None:
        try:
            super().__exit__(*exception)
        finally:
            self.fabric.close()

    def look(self) -> None:
        """Once: every tap is on its bridge."""
        if not (taps := _taps()):
            return
        networks = {one.id[:11]: one.network_id for one in self._connection.network.ports()}
        for tap in taps:
            if network_id := networks.get(tap.removeprefix(TAP)):
                self.fabric.plug_tap(tap, network_id)


class MachineScene(Scene):
    """What can be known of machines from outside."""

    def machines(self) -> dict[str, Any]:
        """Servers that run, by their ids."""
        return {one.id: one for one in self.project.servers() if one.status == "ACTIVE"}

    def owners(self, address: str = "") -> list[str]:
        """The server whose address of the link the client has for the VIP."""
        if not self.answers(address):
            return []
        known = msgspec.json.decode(inside(self.client.init, "ip", "-j", "neighbour", "show", address or self.vip))
        macs = {one["lladdr"] for one in known if "lladdr" in one}
        ports = self.project.user.network.ports(project_id=self.project.user.current_project_id)
        return [one.device_id for one in ports if one.mac_address in macs]

    def shown(self) -> str:
        """The end of what each machine's console has told."""
        found = []
        for id_ in self.machines():
            told = self.project.user.compute.get_server_console_output(id_, length=60)
            found.append(f"{id_}\n{told['output']}")
        return "\n".join(found)
