# SPDX-License-Identifier: Apache-2.0
"""The amphora's own interfaces: from what is wanted and what there is to what ``ip`` is told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from octavia_amphora.apply import disk
from octavia_amphora.interfaces import applier, changes
from octavia_amphora.interfaces.applier import InterfaceError, Interfaces
from octavia_amphora.interfaces.links import Held, Link, parse
from octavia_amphora.wire.config import Configuration, apply, difference, digest
from octavia_amphora.wire.interfaces import Address, Interface

MANAGEMENT = "192.0.2.5"
LB, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
WEB = Interface(
    "fa:16:3e:00:00:01", 1450,
    (Address("10.0.0.9/24", "10.0.0.1"), Address("10.0.0.5/24", "10.0.0.1"), Address("fd00::5/64", "fd00::1")),
)  # fmt: skip
PAIR = Interface(
    WEB.mac, 1450,
    (Address("10.0.0.9/24", "10.0.0.1"), Address("10.0.0.5/24", "10.0.0.1", shared=True), Address("fd00::5/64", shared=True)),
)  # fmt: skip
MEMBERS = Interface("fa:16:3e:00:00:02", 1500, (Address("10.1.0.9/24", "10.1.0.1"),))


def links(*held: Held, up: bool = True, lo: Sequence[Held] = ()) -> list[Link]:
    return [
        Link(1, "lo", "00:00:00:00:00:00", 65536, loopback=True, held=tuple(lo)),
        Link(2, "eth0", "fa:16:3e:00:00:00", held=(Held(MANAGEMENT, 24),)),
        Link(3, "eth1", WEB.mac, 1450 if up else 1500, up, held=held),
        Link(4, "eth2", MEMBERS.mac, 1500, up=False),
    ]


HAS = (Held("10.0.0.9", 24), Held("10.0.0.5", 24), Held("fd00::5", 64))


def test_an_interface_that_comes_has_its_addresses_before_it_is_up() -> None:
    added, gone = changes.of_links([WEB], links(up=False), MANAGEMENT)
    assert gone == []
    assert added == [
        "link set eth1 mtu 1450",
        "address replace 10.0.0.9/24 dev eth1",
        "address replace 10.0.0.5/24 dev eth1",
        "address replace fd00::5/64 dev eth1 nodad",
        "link set eth1 up",
    ]


def test_nothing_is_done_where_all_is_as_it_should_be() -> None:
    assert changes.of_links([WEB], links(*HAS), MANAGEMENT) == ([], [])


def test_what_is_not_wanted_goes_after_what_is_new_and_the_management_interface_is_left_alone() -> None:
    added, gone = changes.of_links([MEMBERS], links(*HAS), MANAGEMENT)
    assert added == ["address replace 10.1.0.9/24 dev eth2", "link set eth2 up"]
    assert gone == [f"address del {one.text} dev eth1" for one in HAS]


def test_shared_addresses_are_on_the_loopback_and_what_vrrp_gave_the_interface_stays() -> None:
    there = links(Held("10.0.0.9", 24), Held("10.0.0.5", 24), Held("10.0.0.5", 32), Held("fd00::5", 128, lasting=False))
    added, gone = changes.of_links([PAIR], there, MANAGEMENT)
    assert added == ["address replace 10.0.0.5/32 dev lo", "address replace fd00::5/128 dev lo nodad preferred_lft 0"]
    assert gone == ["address del 10.0.0.5/24 dev eth1"]
    after = links(Held("10.0.0.9", 24), lo=[Held("10.0.0.5", 32), Held("fd00::5", 128, lasting=False)])
    assert changes.of_links([PAIR], after, MANAGEMENT) == ([], [])
    assert changes.of_links([], after, MANAGEMENT)[1] == [
        "address del 10.0.0.5/32 dev lo", "address del fd00::5/128 dev lo", "address del 10.0.0.9/24 dev eth1",
    ]  # fmt: skip


def test_an_ipv6_address_that_vrrp_has_becomes_the_amphoras_own_where_it_is() -> None:
    """There is no second entry of it with another prefix."""
    there = links(*HAS[:2], Held("fd00::5", 128, lasting=False))
    assert changes.of_links([WEB], there, MANAGEMENT) == (["address replace fd00::5/64 dev eth1 nodad"], [])


def test_neighbours_are_told_of_addresses_that_an_interface_had_not() -> None:
    assert changes.new_addresses([WEB], links(*HAS[:1], up=True)) == {"eth1": ["10.0.0.5/24", "fd00::5/64"]}
    assert changes.new_addresses([PAIR], links(Held("10.0.0.9", 24))) == {}


def test_answers_leave_by_the_interface_of_their_address() -> None:
    there = links(*HAS)
    assert changes.of_routes([WEB, MEMBERS], there, 4, None) == [
        "route replace 10.0.0.0/24 dev eth1 table 1003",
        "route replace default via 10.0.0.1 dev eth1 onlink table 1003",
        "route replace 10.1.0.0/24 dev eth2 table 1004",
        "route replace default via 10.1.0.1 dev eth2 onlink table 1004",
        "route replace default via 10.0.0.1 dev eth1 onlink",
    ]
    known: list[dict[str, Any]] = [
        {"priority": 0, "src": "all", "table": "local"},
        {"priority": changes.RULE, "src": "10.0.0.9", "table": "1003"},
        {"priority": changes.RULE, "src": "10.7.0.9", "table": "1009"},
        {"priority": 10, "src": "all", "fwmark": "0xc7a3301", "table": "209335041"},
    ]
    assert changes.of_rules([WEB], there, known, 4) == [
        "rule add pref 100 from 10.0.0.5 lookup 1003", "rule del pref 100 from 10.7.0.9 lookup 1009",
    ]  # fmt: skip
    assert changes.of_rules([WEB], there, (), 6) == ["rule add pref 100 from fd00::5 lookup 1003"]


def test_the_router_of_the_management_network_is_for_what_comes_from_its_address() -> None:
    management = Interface("fa:16:3e:00:00:00", 1500, (Address(f"{MANAGEMENT}/24", "192.0.2.1"),))
    lines = changes.of_routes([management], links(), 4, management)
    assert lines == [
        "route replace 192.0.2.0/24 dev eth0 table 1002",
        "route replace default via 192.0.2.1 dev eth0 onlink table 1002",
    ]


def test_load_balancers_that_share_an_interface_want_all_that_each_wants() -> None:
    other = Interface(WEB.mac, 1450, (Address("10.0.0.7/24", "10.0.0.1"), WEB.addresses[0]))
    (found,) = changes.united([(WEB,), (other,)])
    assert found.addresses == (*WEB.addresses, other.addresses[0])


def test_what_ip_shows() -> None:
    shown: list[dict[str, Any]] = [
        {"ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK", "UP"], "mtu": 65536, "address": "00:00:00:00:00:00", "addr_info": [
            {"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"},
            {"family": "inet", "local": "10.0.0.5", "prefixlen": 32, "scope": "global", "preferred_life_time": 4294967295},
        ]},
        {"ifindex": 3, "ifname": "eth1", "flags": ["BROADCAST"], "mtu": 1450, "address": WEB.mac, "addr_info": [
            {"local": "fd00::5", "prefixlen": 128, "scope": "global", "preferred_life_time": 0},
            {"local": "2001:db8::1", "prefixlen": 64, "scope": "global", "dynamic": True},
            {"local": "fe80::1", "prefixlen": 64, "scope": "link"}, {},
        ]},
        {},
    ]  # fmt: skip
    assert parse(json.dumps(shown)) == [
        Link(1, "lo", "00:00:00:00:00:00", 65536, loopback=True, held=(Held("10.0.0.5", 32),)),
        Link(3, "eth1", WEB.mac, 1450, up=False, held=(Held("fd00::5", 128, lasting=False),)),
    ]


def test_a_configuration_carries_them_and_one_without_is_what_it_was() -> None:
    plain, described = Configuration(LB, "global\n"), Configuration(LB, "global\n", interfaces=(WEB,))
    assert b"interfaces" not in msgspec.json.encode(plain)
    for old, new in ((plain, described), (described, plain), (described, described)):
        delta = difference(old, new)
        assert (delta.interfaces is msgspec.UNSET) == (old == new)
        assert digest(apply(old, delta)) == digest(new)


# ── claims ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class Machine:
    """``ip`` of a machine whose interfaces come as the test says; what it is told is only written down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.links = links()
        self.told: list[str] = []
        self.come = asyncio.Event()
        self.listening = asyncio.Condition()
        monkeypatch.setattr(applier, "LinkEvents", lambda: self)
        monkeypatch.setattr(applier, "_links", self._show)
        monkeypatch.setattr(applier, "_ip", self._ip)
        monkeypatch.setattr(applier, "_set_sysctls", lambda names: None)
        monkeypatch.setattr(applier, "announce", lambda name, addresses: None)

    async def _show(self) -> list[Link]:
        return list(self.links)

    async def _ip(self, *words: str, text: str = "", good: object = ()) -> str:
        async with self.listening:
            self.told += text.splitlines()
            self.listening.notify_all()
        return "[]"

    async def heard(self, line: str) -> None:
        async with self.listening:
            await self.listening.wait_for(lambda: line in self.told)

    async def wait(self) -> None:
        await self.come.wait()
        self.come.clear()

    def close(self) -> None:
        pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def made(folder: Path) -> Interfaces:
    described = folder / "described.json"
    described.write_bytes(b"[]")
    return Interfaces(str(folder), MANAGEMENT, described)


async def test_an_agent_whose_interfaces_a_cloud_configures_touches_none(machine: Machine, tmp_path: Path) -> None:
    interfaces = Interfaces(str(tmp_path), MANAGEMENT, tmp_path / "none.json")
    await interfaces.claim(LB, (WEB,))
    await interfaces.start()
    assert (machine.told, interfaces.source) == ([], "")


async def test_what_each_load_balancer_wants_is_kept_and_made_so_again(machine: Machine, tmp_path: Path) -> None:
    interfaces = made(tmp_path)
    await interfaces.extend(LB, (WEB,))
    await interfaces.claim(OTHER, (MEMBERS,))
    machine.told.clear()
    await interfaces.claim(OTHER, (MEMBERS,))
    assert machine.told == []
    await interfaces.close()
    again = made(tmp_path)
    await again.start()
    assert "address replace 10.0.0.9/24 dev eth1" in machine.told
    assert "address replace 10.1.0.9/24 dev eth2" in machine.told
    machine.links = links(*HAS)
    machine.told.clear()
    await again.claim(LB, ())
    assert [line for line in machine.told if "del" in line] == [f"address del {one.text} dev eth1" for one in HAS]
    await again.close()


async def test_load_balancers_that_are_pushed_side_by_side_are_all_kept(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The first write is the slowest one: it must not be the last."""
    second, slow = threading.Event(), threading.Lock()

    def write(path: Path, content: bytes, *, durable: bool) -> None:
        if slow.acquire(blocking=False):
            second.wait(0.3)
        else:
            second.set()
        disk.write(path, content, durable=durable)

    monkeypatch.setattr(applier, "write", write)
    interfaces = made(tmp_path)
    await asyncio.gather(interfaces.claim(LB, (WEB,)), interfaces.claim(OTHER, (MEMBERS,)))
    await interfaces.close()
    assert json.loads((tmp_path / "interfaces.json").read_bytes()).keys() == {LB, OTHER}


async def test_until_a_push_is_in_force_what_was_before_stays(machine: Machine, tmp_path: Path) -> None:
    interfaces = made(tmp_path)
    await interfaces.claim(LB, (WEB,))
    machine.links = links(*HAS)
    machine.told.clear()
    await interfaces.extend(LB, (PAIR,))
    assert not [line for line in machine.told if "del" in line]
    assert "address replace 10.0.0.5/32 dev lo" in machine.told
    await interfaces.claim(LB, (PAIR,))
    assert "address del 10.0.0.5/24 dev eth1" in machine.told
    await interfaces.close()


async def test_an_interface_that_is_plugged_in_is_waited_for(machine: Machine, tmp_path: Path) -> None:
    interfaces, there = made(tmp_path), machine.links
    machine.links = there[:2]
    claimed = asyncio.ensure_future(interfaces.claim(LB, (WEB,)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not claimed.done()
    machine.links = there
    machine.come.set()
    await claimed
    assert "address replace 10.0.0.9/24 dev eth1" in machine.told
    await interfaces.close()


async def test_one_that_does_not_come_is_named_and_asked_for_again(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applier, "PLUG_SECONDS", 0.0)
    interfaces, there = made(tmp_path), machine.links
    machine.links = there[:2]
    with pytest.raises(InterfaceError, match="no interface with MAC address fa:16:3e:00:00:01"):
        await interfaces.claim(LB, (WEB,))
    machine.links = there
    await interfaces.claim(LB, (WEB,))
    assert "address replace 10.0.0.9/24 dev eth1" in machine.told
    await interfaces.close()


async def test_one_that_comes_late_after_a_start_is_made_so_when_it_comes(machine: Machine, tmp_path: Path) -> None:
    first = made(tmp_path)
    await first.claim(LB, (WEB,))
    await first.close()
    there, machine.links = machine.links, machine.links[:2]
    machine.told.clear()
    interfaces = made(tmp_path)
    await interfaces.start()
    assert not [line for line in machine.told if "eth1" in line]
    machine.links = there
    machine.come.set()
    async with asyncio.timeout(20):
        await machine.heard("address replace 10.0.0.9/24 dev eth1")
    await interfaces.close()


async def test_what_failed_is_tried_again_by_who_claims_it_again(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interfaces = made(tmp_path)
    good = applier._ip

    async def refuses(*words: str, text: str = "", good: object = ()) -> str:
        raise InterfaceError("ip refused: no")

    monkeypatch.setattr(applier, "_ip", refuses)
    with pytest.raises(InterfaceError, match="no"):
        await interfaces.claim(LB, (WEB,))
    monkeypatch.setattr(applier, "_ip", good)
    await interfaces.claim(LB, (WEB,))
    assert "address replace 10.0.0.9/24 dev eth1" in machine.told
    await interfaces.close()
