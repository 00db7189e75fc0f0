# SPDX-License-Identifier: Apache-2.0
"""One interface, configured by ``ip``; DHCP by busybox' client."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from .documents import Interface

LINKS = Path("/sys/class/net")
PAUSE = 0.02
METRIC = 4096
"""Of its default route: after that of any network with VIPs."""
DHCP_SCRIPT = "/usr/lib/octavia-amphora/dhcp"


class NoInterface(Exception):
    """There is no interface with this MAC."""


def wait_for(mac: str, seconds: float, *, links: Path = LINKS) -> str:
    """The name of the interface with this MAC; its driver may still be being loaded."""
    deadline = time.monotonic() + seconds
    while True:
        for link in links.iterdir():
            if _text(link / "address") == mac:
                return link.name
        if time.monotonic() > deadline:
            there = ", ".join(sorted(_text(link / "address") for link in links.iterdir() if link.name != "lo"))
            raise NoInterface(f"no interface has the MAC {mac} after {seconds:g} s; there are {there or 'none'}")
        time.sleep(PAUSE)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip().lower()
    except OSError:
        return ""  # it is going


def commands(name: str, interface: Interface) -> list[str]:
    """Of ``ip -batch``. What is there already stays, so it can be repeated."""
    found = ["link set lo up", f"link set {name}{f' mtu {interface.mtu}' if interface.mtu else ''} up"]
    found += [f"address replace {each} dev {name}{' nodad' if ':' in each else ''}" for each in interface.addresses]
    found += [f"route replace default via {one} dev {name} onlink metric {METRIC}" for one in interface.gateways]
    return found


def configure(interface: Interface, seconds: float) -> str:
    """Returns its name. ``seconds``: how long it is waited for."""
    name = wait_for(interface.mac, seconds)
    batch = "\n".join(commands(name, interface)) + "\n"
    done = subprocess.run(["ip", "-batch", "-"], input=batch, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{name}: {' '.join(done.stderr.split())}")
    if interface.dhcp:
        command = ["busybox", "udhcpc", "-i", name, "-s", DHCP_SCRIPT, "-b", "-S", "-p", f"/run/dhcp-{name}.pid"]
        subprocess.run(command, check=True)
    return name
