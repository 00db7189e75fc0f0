# SPDX-License-Identifier: Apache-2.0
"""The real agent where a cloud plugs interfaces and the agent configures them: what the kernel has then, and by which of them answers leave."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from octavia_amphora.wire.config import Bind, Configuration
from octavia_amphora.wire.interfaces import Address, Interface
from octavia_amphora.wire.messages import VersionStamp
from octavia_provider.ports import AgentRefused

from .agents import BACKEND, Amphora, frontend, server
from .sandbox import Sandbox, until

pytestmark = pytest.mark.netns

MANAGEMENT, VIP, VIP6, CLIENT = "192.0.2.5", "10.0.0.5", "fd00::5", "10.1.0.77"
MAC, WEB_MAC, MEMBERS_MAC = (f"fa:16:3e:00:00:0{n}" for n in range(3))
OWN = Address("10.0.0.9/24", "10.0.0.1")
WEB = Interface(WEB_MAC, 1450, (OWN, Address(f"{VIP}/24", "10.0.0.1"), Address(f"{VIP6}/64", "fd00::1")))
PAIR = Interface(
    WEB_MAC, 1450, (OWN, Address(f"{VIP}/24", "10.0.0.1", shared=True), Address(f"{VIP6}/64", shared=True))
)
MEMBERS = Interface(MEMBERS_MAC, 1500, (Address("10.1.0.9/24", "10.1.0.1"),))


class Guest(Amphora):
    """An amphora into whose namespace interfaces are plugged."""

    def inside(self, *command: str, check: bool = True) -> str:
        enter = ["nsenter", "--target", str(self.sandbox.init), "--net"]
        return subprocess.run([*enter, *command], check=check, capture_output=True, text=True).stdout

    def plug(self, name: str, mac: str) -> None:
        """As Nova does: there, and down."""
        self.inside("ip", "link", "add", f"p{name}", "type", "veth", "peer", "name", name, "address", mac)
        self.inside("ip", "link", "set", f"p{name}", "addrgenmode", "none", "up")

    def described(self, *interfaces: Interface, address: str = VIP) -> Configuration:
        bound = msgspec.structs.replace(
            frontend(), text=f"    mode http\n    bind {address}:8080\n    default_backend {BACKEND}\n",
            binds=(Bind(address, 8080),),
        )  # fmt: skip
        made = self.configuration(server(8001), frontends=(bound,))
        return msgspec.structs.replace(made, interfaces=interfaces)

    def held(self, name: str) -> set[str]:
        """Addresses of an interface that others can reach."""
        (shown,) = json.loads(self.inside("ip", "-j", "address", "show", "dev", name))
        return {f"{one['local']}/{one['prefixlen']}" for one in shown["addr_info"] if one["scope"] == "global"}

    def way(self, *words: str) -> dict[str, Any]:
        """How the kernel would send a packet."""
        (found,) = json.loads(self.inside("ip", "-j", "route", "get", *words))
        return dict(found)


@pytest_asyncio.fixture
async def guest(walls: Sandbox, tmp_path: Path) -> AsyncIterator[Guest]:
    made = Guest(walls, tmp_path, address=MANAGEMENT)
    made.plug("eth0", MAC)
    made.inside("ip", "address", "add", f"{MANAGEMENT}/24", "dev", "eth0")
    made.inside("ip", "link", "set", "eth0", "up")
    described = [Interface(MAC, 1500, (Address(f"{MANAGEMENT}/24", "192.0.2.1"),))]
    (tmp_path / "interfaces.json").write_bytes(msgspec.json.encode(described))
    await made.start()
    yield made
    await made.close()


async def test_interfaces_are_made_what_a_push_says_also_while_the_amphora_runs(guest: Guest) -> None:
    pushed = asyncio.ensure_future(guest.push(guest.described(WEB)))
    guest.plug("eth1", WEB_MAC)
    await pushed
    assert guest.held("eth1") == {one.address for one in WEB.addresses}
    assert "tentative" not in guest.inside("ip", "-6", "address", "show", "dev", "eth1", "scope", "global")
    (link,) = json.loads(guest.inside("ip", "-j", "link", "show", "dev", "eth1"))
    assert (link["mtu"], "UP" in link["flags"]) == (1450, True)

    guest.plug("eth2", MEMBERS_MAC)
    await guest.push(guest.described(WEB, MEMBERS))
    assert guest.way(CLIENT)["dev"] == "eth2"
    answer = guest.way(CLIENT, "from", VIP)
    assert (answer["dev"], answer["gateway"]) == ("eth1", "10.0.0.1")
    assert guest.way("fd01::7", "from", VIP6)["dev"] == "eth1"
    assert guest.way("198.51.100.7")["gateway"] == "10.0.0.1"
    assert guest.way("198.51.100.7", "from", MANAGEMENT)["gateway"] == "192.0.2.1"

    await guest.push(guest.described(PAIR, MEMBERS))
    assert guest.held("eth1") == {OWN.address}
    assert guest.held("lo") == {f"{VIP}/32", f"{VIP6}/128"}
    assert guest.held("eth0") == {f"{MANAGEMENT}/24"}

    guest.inside("ip", "link", "del", "peth2")
    await guest.push(guest.described(WEB))
    assert guest.held("eth1") == {one.address for one in WEB.addresses}
    assert guest.held("lo") == set()
    stamp = VersionStamp(epoch=0, fence=1, revision=guest.revision + 1, generation=9, digest="")
    await guest.client.remove(guest.host, guest.load_balancer_id, stamp)
    assert guest.held("eth1") == set()
    rules = json.loads(guest.inside("ip", "-j", "rule", "show", "pref", "100"))
    assert [one["src"] for one in rules] == [MANAGEMENT]


async def test_what_a_refused_push_wanted_is_taken_back(guest: Guest) -> None:
    guest.plug("eth1", WEB_MAC)
    await guest.push(guest.described(WEB))
    broken = guest.described(PAIR, MEMBERS)
    broken = msgspec.structs.replace(broken, base=f"{broken.base}    nonsense\n")
    guest.plug("eth2", MEMBERS_MAC)
    with pytest.raises(AgentRefused, match="nonsense"):
        await guest.push(broken)
    assert guest.held("eth1") == {one.address for one in WEB.addresses}
    assert guest.held("eth2") == guest.held("lo") == set()


async def test_an_agent_that_starts_makes_them_so_again(guest: Guest) -> None:
    guest.plug("eth1", WEB_MAC)
    await guest.push(guest.described(WEB))
    guest.kill()
    guest.inside("ip", "address", "flush", "dev", "eth1")
    await guest.start()

    async def whole() -> bool:
        return guest.held("eth1") == {one.address for one in WEB.addresses}

    await until(whole, seconds=30)
