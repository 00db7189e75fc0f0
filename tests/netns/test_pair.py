# SPDX-License-Identifier: Apache-2.0
"""A pair of real agents: who owns the VIPs after what has happened to one of them. How long it takes is measured elsewhere."""

from __future__ import annotations

import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from octavia_amphora.haproxy import runtime

from .agents import BACKEND, server
from .pairs import ROUTER_ID, VIP4, VIP6, Pair, PairAmphora, pair_of
from .sandbox import Sandbox, until

pytestmark = pytest.mark.netns

STARTS = Path(__file__).with_name("keepalived_starts.py")
A, B = server(8001), server(8002)
STICKY = "    stick-table type ipv6 size 10k peers octavia-peers\n    stick on src\n"


@pytest_asyncio.fixture
async def pair(walls: Sandbox, tmp_path: Path) -> AsyncIterator[Pair]:
    async for made in pair_of(walls, tmp_path, A, B):
        yield made


def _signal(program: str, which: slice, number: signal.Signals) -> Callable[[PairAmphora], None]:
    def harm(owner: PairAmphora) -> None:
        owner.signal(program, number, which)

    return harm


def _link_down(owner: PairAmphora) -> None:
    owner.here("ip", "link", "set", "eth1", "down")


def _link_up(owner: PairAmphora) -> None:
    owner.here("ip", "link", "set", "eth1", "up")


ALL, PARENT, CHILD = slice(None), slice(0, 1), slice(1, 2)
HARMS: dict[str, tuple[Callable[[PairAmphora], None], Callable[[PairAmphora], None] | None]] = {
    "haproxy killed": (_signal("haproxy", ALL, signal.SIGKILL), None),
    "haproxy's worker killed": (_signal("haproxy", CHILD, signal.SIGKILL), None),
    "haproxy stopped": (_signal("haproxy", ALL, signal.SIGSTOP), None),
    "haproxy's worker stopped": (_signal("haproxy", CHILD, signal.SIGSTOP), None),
    "keepalived killed": (_signal("keepalived", ALL, signal.SIGKILL), None),
    "keepalived's parent killed": (_signal("keepalived", PARENT, signal.SIGKILL), None),
    "keepalived's child killed": (_signal("keepalived", CHILD, signal.SIGKILL), None),
    "keepalived stopped": (_signal("keepalived", ALL, signal.SIGSTOP), None),
    "link down": (_link_down, _link_up),
}


async def test_whatever_happens_to_the_owner_the_other_one_takes_over(pair: Pair) -> None:
    """Both families together; what was harmed comes back as the one that stands by, and owns nothing."""
    for what, (harm, undo) in HARMS.items():
        owner = await pair.settled()
        other = pair.other(owner)
        harm(owner)

        async def moved(other: PairAmphora = other) -> bool:
            return other.owned() == {VIP4, VIP6} and await other.state() == "MASTER"

        assert await until(moved, seconds=20), what
        await pair.answers()
        if undo:
            undo(owner)

        async def well(owner: PairAmphora = owner) -> bool:
            return await owner.state() == "BACKUP" and not owner.owned()

        assert await until(well, seconds=30), f"{what}: {await owner.state()} {owner.owned()}\n{owner.log()}"
        assert await pair.settled() is other, what


async def test_what_dies_while_the_agent_is_dead__and_all_of_an_amphora__moves_the_vips(pair: Pair) -> None:
    """And the agent that comes back finds keepalived as it is."""
    owner = await pair.settled()
    before = owner.pids("keepalived")
    owner.kill()
    await pair.answers()
    await owner.start()
    assert await owner.state() == "MASTER"
    assert owner.pids("keepalived") == before
    owner.kill()
    owner.signal("haproxy", signal.SIGKILL)
    other = pair.other(owner)
    assert await until(lambda: _is_owner(other))
    await pair.answers()
    await owner.start()
    assert await pair.settled() is other
    # and then all of the other one is gone
    pair.inside("ip", "link", "del", f"p{other.number}")
    other.kill()
    for program in ("haproxy", "keepalived"):
        other.signal(program, signal.SIGKILL)

    async def owns_whatever_comes() -> bool:
        """Pushes that keepalived has to be told of do not make it wait for longer."""
        owner.priority = 470 - owner.priority
        await pair.push_to(owner)
        return await _is_owner(owner)

    assert await until(owns_whatever_comes)
    await pair.answers()


def test_a_file_that_comes_while_keepalived_starts_is_read(tmp_path: Path) -> None:
    """It was missed at times: a signal that comes too early is lost, and the amphora was one that never took over."""
    command = ["unshare", "--net", sys.executable, str(STARTS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


async def _is_owner(one: PairAmphora) -> bool:
    return one.owned() == {VIP4, VIP6}


async def test_a_handover_breaks_no_connection_and_refuses_none(pair: Pair) -> None:
    """Those that are open go on at the one that has accepted them, to and fro; new ones are the new owner's."""
    first = await pair.settled()
    kept = [await pair.connect(vip) for vip in (VIP4, VIP6)]
    half = await pair.connect(VIP4)
    for one in kept:
        await one.ask()
    await half.send("/hold")  # an answer that stops half-way
    async with pair.asking() as failed:
        for owner in (pair.other(first), first):
            assert await pair.hand_over() is owner
            kept += [await pair.connect(vip) for vip in (VIP4, VIP6)]
            for one in kept:
                assert await one.ask() in ("8001", "8002")
    assert failed == []
    for one in pair.amphorae:
        for port in (8001, 8002):
            one.here("curl", "-s", f"http://127.0.0.1:{port}/release")
    assert await half.receive() in ("80018001", "80028002")
    for one in (*kept, half):
        one.close()


async def test_a_handover_that_no_agent_sees_breaks_no_connection(pair: Pair) -> None:
    """The kernel remembers the owner before for those that ask nothing meanwhile: an agent may come to it late."""
    owner = await pair.settled()
    other = pair.other(owner)
    kept = [await pair.connect(vip) for vip in (VIP4, VIP6)]
    for one in kept:
        await one.ask()
    other.kill()
    config = other.run_folder / "keepalived.conf"
    text = re.sub(r"priority \d+", "priority 254", config.read_text())
    config.write_text(re.sub(r"\n *nopreempt", "", text))
    other.signal("keepalived", signal.SIGHUP, PARENT)

    async def knows_no_more_by_adverts() -> bool:
        alone = other.owned() == {VIP4, VIP6} and not owner.owned()
        return alone and not re.search(r"0x00000001 timeout \S+ expires \d+ms", other.here("nft", "list", "ruleset"))

    assert await until(knows_no_more_by_adverts)
    for one in kept:
        assert await one.ask() in ("8001", "8002")
        one.close()


async def test_adverts_of_others_than_the_pair_change_nothing(pair: Pair) -> None:
    """Whoever says with the greatest priority that it owns the VIPs is not heard, if it is not one of the pair."""
    owner = await pair.settled()
    assert (pair.other(owner).owned(), await pair.other(owner).state()) == (set(), "BACKUP")
    await pair.answers()
    packet = bytes((0x31, ROUTER_ID, 255, 1, 0, 20)) + bytes(2) + socket.inet_aton(VIP4)
    for target in pair.amphorae:
        forged = pair.sandbox.socket(socket.AF_INET, socket.SOCK_RAW, 112)
        forged.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        for _ in range(5):
            forged.sendto(_summed(packet, "10.9.0.254", target.address), (target.address, 0))
        forged.close()
    dropped = owner.here("nft", "list", "ruleset")
    assert "vrrp" in dropped
    for target in pair.amphorae:
        with pair.sandbox.socket() as opened:
            opened.settimeout(0.3)
            with pytest.raises(TimeoutError):
                opened.connect((target.address, 1025))  # what shares stick tables is for the pair alone, too
    assert await pair.settled() is owner
    assert "MASTER" not in owner.log().rpartition("state=MASTER")[2]
    assert await pair.other(owner).state() == "BACKUP"


def _summed(packet: bytes, source: str, target: str) -> bytes:
    """With its sum, over the pseudo-header too (RFC 9568, section 5.2.8)."""
    data = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", 112, len(packet)) + packet
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return packet[:6] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + packet[8:]


async def test_who_was_kept_at_a_member_is_kept_there_by_the_other_one(pair: Pair) -> None:
    pair.backend_text += STICKY
    await pair.push(A, B)
    member = await pair.ask()
    owner = await pair.settled()
    other = pair.other(owner)

    async def told() -> bool:
        return "server_id" in await runtime.execute(other.stats, f"show table {BACKEND}")

    assert await until(told)
    owner.signal("haproxy", signal.SIGKILL)
    assert await until(lambda: _is_owner(other))
    await pair.answers()  # the client is told of the other one after that
    assert {await pair.ask() for _ in range(6)} == {member}


async def test_clients_stay_at_their_members_over_reloads__handovers__and_a_new_amphora(pair: Pair) -> None:
    """Those that ask before and after, by both families, and those that ask nothing for long. Nobody asks while haproxy reloads: until the
    old worker has taught the new one, a request may go to another member (docs/explanation/availability.md)."""
    pair.backend_text += STICKY
    await pair.push(A, B)
    silent = {f"fd09::1:{n:x}": n % 2 + 1 for n in range(10, 20)}
    for address, number in silent.items():
        await runtime.execute(
            (await pair.settled()).stats, f"set table {BACKEND} key {address} data.server_id {number}"
        )
    members = {vip: await pair.ask(vip) for vip in (VIP4, VIP6)}
    moved: list[str] = []

    async def stay() -> None:
        for vip, member in members.items():
            moved.extend({await pair.ask(vip) for _ in range(3)} - {member})

    for number in range(2):
        pair.backend_text += f"    http-response set-header X-Number {number}\n"
        await pair.push(A, B)  # a reload of both
        await stay()
        await pair.hand_over()
        await stay()
    new = pair.other(await pair.settled())
    before = set(new.pids("haproxy"))
    new.signal("haproxy", signal.SIGKILL)  # as one that has just booted it knows nobody

    async def again() -> bool:
        now = set(new.pids("haproxy"))
        return bool(now) and not now & before and await _says(new, "BACKUP")

    assert await until(again)
    assert await pair.hand_over() is new
    await stay()
    assert moved == []
    for one in pair.amphorae:
        shown = await runtime.execute(one.stats, f"show table {BACKEND}")
        kept = dict(re.findall(r"key=(\S+) .* server_id=(\d+)", shown))
        assert {address: int(kept[address]) for address in silent} == silent, (one.name, shown)


async def test_one_that_was_alone_becomes_one_of_a_pair_and_is_alone_again(walls: Sandbox, tmp_path: Path) -> None:
    """No request fails and no connection breaks on the way; what the cloud does is done by hand here."""
    pair = Pair(walls, tmp_path)
    pair.servers = (A, B)
    one, two = pair.amphorae
    fixed = [f"{VIP4}/24 dev eth1", f"{VIP6}/64 dev eth1"]
    for amphora in pair.amphorae:
        amphora.members(8001, 8002)
        await amphora.start()
    one.addresses("add", fixed)
    await one.push(msgspec.structs.replace(pair.configuration(one, A, B, peers=False), vrrp=None))
    await pair.answers()
    kept = [await pair.connect(vip) for vip in (VIP4, VIP6)]
    async with pair.asking() as failed:
        await pair.push_to(one)
        assert await until(lambda: _says(one, "MASTER"))
        one.addresses("del", fixed)
        await pair.push_to(two)
        assert await pair.settled() is one
        assert one.here("ip", "-br", "-6", "address", "show", "dev", "eth1").count("fd09::99/128") == 1
        for connection in kept:  # its worker was replaced: it is the last answer on this connection
            await connection.ask()
            connection.close()
        kept = [await pair.connect(vip) for vip in (VIP4, VIP6)]
        one.addresses("replace", fixed)  # as the cloud does
        await one.push(msgspec.structs.replace(pair.configuration(one, A, B, peers=False), vrrp=None))
        await two.client.remove(two.host, pair.load_balancer_id, two.stamp(pair.configuration(two, A, B)))
        assert await until(lambda: _says(one, ""))
        assert (one.owned(), two.owned()) == ({VIP4, VIP6}, set())
        for connection in kept:
            await connection.ask()
            connection.close()
    assert failed == []
    assert one.pids("keepalived") == two.pids("keepalived") == []
    for amphora in pair.amphorae:
        await amphora.close()


async def _says(one: PairAmphora, state: str) -> bool:
    return await one.state() == state
