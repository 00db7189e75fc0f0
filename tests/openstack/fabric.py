# SPDX-License-Identifier: Apache-2.0
"""Networks for guests: a bridge for each network of Neutron, and for each guest an interface for each of its ports, by its MAC address, that
comes and goes as ports are plugged and unplugged while the guest runs. This machine is on the management network, as a control plane is.

Not shown so: an image, a boot, what Neutron filters at ports (security groups, allowed addresses).
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from netns.sandbox import Sandbox
from octavia_amphora.wire.interfaces import Interface
from octavia_amphora.wire.messages import AgentConfig

from .guests import Guests
from .project import Project

_MACHINES = itertools.count(1)
"""Of all fabrics: the interfaces of one that ended are gone only when its namespaces are."""
MEMBER = Path(__file__).parents[1] / "netns" / "member_server.py"
_SYSCTLS = "net.ipv6.conf.{0}.disable_ipv6=0 net.ipv6.conf.{0}.accept_ra=0 net.ipv6.conf.{0}.accept_dad=0 net.ipv4.conf.{0}.rp_filter=0"


def inside(pid: int, *command: str, text: str = "") -> str:
    """Run a command in the network namespace of a process; process ids are this machine's."""
    enter = ["nsenter", "--target", str(pid), "--net"]
    return subprocess.run([*enter, *command], input=text, check=True, capture_output=True, text=True).stdout


class Here:
    """In place of a sandbox of its own: the namespaces of this process, which end with the whole run."""

    def __init__(self) -> None:
        self.init = os.getpid()

    def close(self) -> None:
        pass


class Fabric:
    """Bridges in a namespace of their own, or in this process's. ``address``: this machine's on the management network."""

    def __init__(self, project: Project, sandbox: Sandbox | Here | None = None) -> None:
        self._project = project
        self._sandbox = sandbox or Sandbox()
        self._bridges: set[str] = set()
        self._hosts: list[Sandbox] = []
        self._closed = False
        self._uplink = f"oct{os.getpid()}"
        management = ipaddress.ip_network(project.cidrs["management"])
        self.address = str(management[-2])
        self._bridge(project.networks["management"])
        peer = "uplink"
        subprocess.run(
            ["ip", "link", "add", self._uplink, "type", "veth", "peer", "name", peer, "netns", str(self._sandbox.init)],
            check=True,
        )
        for command in (
            f"address add {self.address}/{management.prefixlen} dev {self._uplink}",
            f"link set {self._uplink} up",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        self._ip(f"link set {peer} master {_bridge(project.networks['management'])} up")

    def _ip(self, *lines: str) -> None:
        inside(self._sandbox.init, "ip", "-batch", "-", text="\n".join(lines) + "\n")

    def _bridge(self, network_id: str) -> str:
        name = _bridge(network_id)
        if network_id not in self._bridges:
            self._ip(f"link add {name} type bridge mcast_snooping 0", f"link set {name} up")
            self._bridges.add(network_id)
        return name

    def plug(self, pid: int, network_id: str, mac: str) -> None:
        """A process's namespace gets an interface with this address on a network: the kernel's next ``eth``."""
        there = inside(pid, "ip", "-br", "link").split()
        name = next(f"eth{n}" for n in range(99) if not any(word.startswith(f"eth{n}@") for word in there))
        port = _port(mac)
        self._ip(
            f"link add {port} type veth peer name {name} address {mac} netns {pid}",
            f"link set {port} master {self._bridge(network_id)} up",
        )

    def plug_tap(self, tap: str, network_id: str) -> None:
        """An interface that is there already comes onto a network; one that has gone meanwhile does not."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._ip(f"link set {tap} master {self._bridge(network_id)} up")

    def unplug(self, mac: str) -> None:
        """That interface is gone."""
        enter = ["nsenter", "--target", str(self._sandbox.init), "--net"]
        subprocess.run(
            [*enter, "ip", "link", "del", _port(mac)], check=False, capture_output=True
        )  # it may have gone already

    def host(self, network: str, number: int, *more: str) -> tuple[Sandbox, str]:
        """A machine on a network, by no port of Neutron, with the address ``number`` from its end, and more of them."""
        cidr = ipaddress.ip_network(self._project.cidrs[network])
        address = str(cidr[-2 - number])
        return self.machine(self._project.networks[network], f"{address}/{cidr.prefixlen}", *more), address

    def machine(self, network_id: str, *addresses: str) -> Sandbox:
        """One with these addresses on any network, by no port of Neutron."""
        made = Sandbox()
        self._hosts.append(made)
        number = next(_MACHINES)
        self.plug(made.init, network_id, f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}")
        inside(made.init, "ip", "-batch", "-", text="\n".join([
            *(f"address add {one} dev eth0{' nodad' if ':' in one else ''}" for one in addresses), "link set eth0 up",
        ]) + "\n")  # fmt: skip
        return made

    def member(self, network: str, number: int, name: str, *more: str) -> str:
        """An HTTP server on port 80 that answers with its name; its address."""
        host, address = self.host(network, number, *more)
        host.run(sys.executable, str(MEMBER), env={**os.environ, "NAME": name})
        return address

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if isinstance(self._sandbox, Here):
            with contextlib.suppress(subprocess.CalledProcessError):  # what follows has to be closed all the same
                self._ip(*(f"link del {_bridge(network_id)}" for network_id in self._bridges))
        for one in (*self._hosts, self._sandbox):
            one.close()
        subprocess.run(["ip", "link", "del", self._uplink], check=False, capture_output=True)


def _bridge(network_id: str) -> str:
    return f"b{network_id.replace('-', '')[:12]}"


def _port(mac: str) -> str:
    return f"p{mac.replace(':', '')}"


class Machine:
    """A guest in namespaces of its own. ``macs``: of its interfaces."""

    def __init__(self, fabric: Fabric, folder: Path) -> None:
        self._fabric, self.folder = fabric, folder
        self.sandbox = Sandbox()
        self.macs: set[str] = set()
        self._started = False
        for each in ("all", "default"):
            inside(self.sandbox.init, "sysctl", "-qw", *_SYSCTLS.format(each).split())

    def follow(self, ports: Sequence[Any]) -> None:
        """It has an interface for each of these ports, and no other."""
        wanted = {one.mac_address: one.network_id for one in ports}
        for mac in self.macs - wanted.keys():
            self._fabric.unplug(mac)
        for mac in wanted.keys() - self.macs:
            self._fabric.plug(self.sandbox.init, wanted[mac], mac)
        self.macs = set(wanted)

    def start(self) -> None:
        """What the image does before the agent, and the agent; once, when the management interface is there."""
        if self._started:
            return
        config = msgspec.json.decode((self.folder / "agent.json").read_bytes(), type=AgentConfig)
        described = msgspec.json.decode((self.folder / "interfaces.json").read_bytes(), type=list[Interface])
        management = next(one for one in described if config.listen_address in str(one.addresses))
        if management.mac not in self.macs:
            return
        self._started = True
        shown = msgspec.json.decode(inside(self.sandbox.init, "ip", "-j", "link"))
        name = next(link["ifname"] for link in shown if link.get("address") == management.mac)
        inside(self.sandbox.init, "ip", "-batch", "-", text="\n".join([
            f"link set {name} mtu {management.mtu}", *(f"address add {one.address} dev {name}" for one in management.addresses),
            f"link set {name} up",
        ]) + "\n")  # fmt: skip
        with (self.folder / "agent.log").open("ab") as log:
            command = (sys.executable, "-m", "octavia_amphora.main", "--config", str(self.folder / "agent.json"))
            self.sandbox.run(*command, stdout=log, stderr=log)

    def kill(self) -> None:
        """All of it is gone at once, as a server that is destroyed."""
        self.sandbox.close()


class NetworkedGuests(Guests):
    """Guests in namespaces of their own, whose agents configure their interfaces."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self._project_id = project.user.current_project_id
        self.fabric = Fabric(project)

    def __exit__(self, *exception: object) -> None:
        try:
            super().__exit__(*exception)
        finally:
            self.fabric.close()

    def take(self, path: str) -> bool:
        return True

    def boot(self, folder: Path) -> Machine:
        return Machine(self.fabric, folder)

    def look(self) -> None:
        """Interfaces follow ports; an agent starts when the interfaces of its boot are there."""
        super().look()
        ports = list(self._connection.network.ports(project_id=self._project_id))
        for id_, (machine, _) in self.running.items():
            machine.follow([one for one in ports if one.device_id == id_])
            machine.start()


def show(machine: Machine) -> str:
    """What its kernel has, for who reads a failure."""
    words = (("-br", "address"), ("rule",), ("route", "show", "table", "all"), ("-6", "rule"))
    found = [inside(machine.sandbox.init, "ip", *one) for one in words]
    log = Path(machine.folder, "agent.log").read_text(errors="replace").splitlines()[-20:]
    return "\n".join([*found, *log])
