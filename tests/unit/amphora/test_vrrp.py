# SPDX-License-Identifier: Apache-2.0
"""What is pure of being one of a pair: keepalived's notices, adverts, addresses, rules of the packet filter."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from octavia_amphora.haproxy import watchdog
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.haproxy.watchdog import Watchdog
from octavia_amphora.nftables.claims import Claims
from octavia_amphora.nftables.ruleset import Ruleset, ruleset
from octavia_amphora.nftables.transactions import Present, transactions
from octavia_amphora.vrrp import addresses, adverts, handover, notices, redundancy, router
from octavia_amphora.vrrp.addresses import Held, VrrpError
from octavia_amphora.vrrp.notices import Notices
from octavia_amphora.vrrp.redundancy import Redundancy
from octavia_amphora.vrrp.sentinel import is_locked
from octavia_amphora.wire.config import Bind, Configuration, Datagrams, Frontend
from octavia_amphora.wire.heartbeat import Repairs
from octavia_amphora.wire.vrrp import Vrrp

VRRP = Vrrp("text", 51, {"INTERFACE_1": "10.0.0.1"}, ("10.0.0.2", "10.0.0.3"), ("10.0.0.9/32", "fd00::9/128"))


def test_what_keepalived_says() -> None:
    text = 'INSTANCE "a b" MASTER 240\nINSTANCE "x" BACKUP 240\nGROUP "x" MASTER 0\nINSTANCE "x" STOP 240\nINSTANCE "x" FAULT 1\n'
    assert notices.parse(text) == ["MASTER", "BACKUP", "FAULT", "FAULT"]
    assert notices.parse('INSTANCE "x" DELETED 0\n') == ["FAULT"]
    beside = ("MASTER_RX_LOWER_PRI", "MASTER_PRIORITY", "BACKUP_PRIORITY")
    assert notices.parse("".join(f'INSTANCE "x" {word} 254\n' for word in beside)) == []


async def test_lines_come_in_pieces_and_what_an_earlier_process_said_does_not_count(tmp_path: Path) -> None:
    told: list[str] = []
    heard = Notices(tmp_path / "fifo", told.append)
    heard.open()
    writer = os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    for piece in (b'INSTANCE "a" MAS', b'TER 240\nINSTANCE "a" BACK'):
        os.write(writer, piece)
        heard.read()
    assert told == ["MASTER"]
    os.write(writer, b"UP 240\n")
    heard.forget()
    heard.read()
    assert told == ["MASTER"]
    heard.close()
    os.close(writer)


@pytest.mark.parametrize(
    ("packet", "owner"),
    [
        ("3133f001", True), ("3133ff01", True), ("31330001", False), ("3134f001", False), ("2133f001", False), ("3133", False),
    ],
)  # fmt: skip
def test_who_says_that_it_owns_the_addresses(packet: str, owner: bool) -> None:
    body = bytes.fromhex(packet)
    assert adverts.is_of_an_owner(body + bytes(8 if len(body) > 3 else 0), 51) is owner


def test_which_interface_has_an_own_address() -> None:
    shown: list[dict[str, Any]] = [
        {"ifname": "lo", "addr_info": [{"local": "10.0.0.9", "prefixlen": 32}]},
        {"ifname": "eth1", "addr_info": [
            {"local": "10.0.0.1", "prefixlen": 24, "preferred_life_time": 4294967295},
            {"local": "fd00::9", "prefixlen": 128, "preferred_life_time": 0}, {},
        ]},
        {},
    ]  # fmt: skip
    there = addresses.parse(json.dumps(shown))
    assert there == [Held("10.0.0.1", 24, "eth1", True), Held("fd00::9", 128, "eth1", False)]
    assert addresses.links(VRRP, there) == {"INTERFACE_1": "eth1"}
    text = "vrrp_instance x {\n  virtual_router_id 51\n  virtual_ipaddress {\n  10.0.0.9/32 dev $INTERFACE_1 no_track\n }\n"
    assert addresses.told_of(text) == (("10.0.0.9/32",), 51)
    assert addresses.told_of("") == ((), 0)
    with pytest.raises(VrrpError, match="no interface of this amphora has 10\\.0\\.0\\.1"):
        addresses.links(VRRP, [])


@pytest.mark.parametrize("peers", [("10.0.0.2", "10.0.0.3"), ("fd00::2",), ()])
def test_nft_takes_the_rules_that_let_the_others_in_and_nobody_else(peers: tuple[str, ...]) -> None:
    forwards = ({"10.0.0.9": ("10.0.0.2", "10.0.0.1"), "fd00::9": ("fd00::2", "fd00::1")},) * len(peers)
    vrrp = Vrrp("", 51, {"A": "10.0.0.1", "B": "fd00::1"}, peers, forwards=forwards)
    found = ruleset(Configuration("lb", "", vrrp=vrrp))
    command = ["unshare", "--net", "nft", "-c", "-f", "-"]
    run = subprocess.run(command, input=found.text, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    drops = [line for line in found.text.splitlines() if line.endswith("drop")]
    assert drops.pop() == next(line for line in found.text.splitlines() if re.search(r" forward_\w+ drop$", line))
    assert len(drops) == 4
    for version, family in ((".", "ip"), (":", "ip6")):
        for line in drops:
            others = f"{family} saddr != {{ {', '.join(peers)} }}"
            if family in line.split() or f"nfproto ipv{4 if version == '.' else 6}" in line:
                assert (others in line) == any(version in peer for peer in peers)


def test_rules_of_a_pair_come_and_go() -> None:
    vrrp = Vrrp("", 51, {"A": "10.0.0.1"}, ("10.0.0.2",), forwards=({"10.0.0.9": ("10.0.0.2", "10.0.0.1")},))
    udp = Frontend("f", "", (Bind("10.0.0.9", 53),), datagrams=Datagrams())
    alone, pair = (ruleset(Configuration("lb", "", {"f": udp}, vrrp=one)) for one in (None, vrrp))
    script = "set -e\n" + "".join(f"nft -f - <<'END'\n{text}END\n" for old, new in (
        (Ruleset("lb_lb"), alone), (alone, pair), (pair, pair), (pair, alone),
    ) for text in transactions(new, old, Present.of(old))) + "nft list ruleset"  # fmt: skip
    run = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "notrack" not in run.stdout
    assert "owner_" not in run.stdout


def test_load_balancers_of_one_amphora__one_comes_and_goes__rules_of_the_other_stay() -> None:
    """Both have the same router number, and one forwards no longer before the other one does."""
    one, other = (
        Vrrp("", 51, {"A": own}, (peer,), forwards=({vip: (peer, own)},))
        for own, peer, vip in (("10.0.0.1", "10.0.0.2", "10.0.0.9"), ("10.0.0.3", "10.0.0.4", "10.0.0.8"))
    )
    claims, switched = Claims(), list[int]()
    sets = [
        ruleset(Configuration(name, "", vrrp=vrrp), router=n)
        for n, (name, vrrp) in enumerate((("a", one), ("b", other)), 1)
    ]
    texts = []
    for new, old in ((0, None), (1, None), (None, 0), (None, 1)):
        before = sets[old] if old is not None else Ruleset(sets[new or 0].table)
        after = sets[new] if new is not None else Ruleset(before.table)
        claims.forwarding(after, before, switched.append)
        with claims.tracking(after) as others_track:
            texts.append("".join(transactions(after, before, Present.of(before), others_track=others_track)))
        assert switched == ([4] if texts[3:] else [])
    shown = "nft list ruleset; echo ---\n"
    script = "set -e\n" + "".join(f"nft -f - <<'END'\n{text}END\n{shown}" for text in texts)
    run = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    _, both, left, none, _ = run.stdout.split("---")
    for vip, there in (("10.0.0.9", (both,)), ("10.0.0.8", (both, left))):
        assert [vip in text for text in (both, left, none)] == [text in there for text in (both, left, none)]
    assert both.count("notrack") == left.count("notrack") == 4
    assert len({line for line in both.splitlines() if "meta mark set 0x0c7a" in line}) == 2
    assert none.strip() == ""


def test_router_numbers__two_of_the_same__each_has_its_own_and_keeps_it(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for one in folders:
        one.mkdir()
    assert [router.number(one, 51) for one in folders] == [51, 1, 2]
    assert [router.number(one, 51) for one in reversed(folders)] == [2, 1, 51]
    (folders[0] / "router").unlink()
    assert router.number(folders[0], 51) == 51


def test_a_lock_is_held_for_as_long_as_one_of_the_processes_lives(tmp_path: Path) -> None:
    from octavia_amphora.haproxy.process import _new_lock

    lock = tmp_path / "lock"
    assert not is_locked(lock)
    with _new_lock(lock) as descriptor:
        process = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,))
    assert is_locked(lock)
    process.kill()
    process.wait()
    assert not is_locked(lock)


async def test_an_amphora_that_is_alone_has_nothing_of_a_pair(tmp_path: Path) -> None:
    alone = Redundancy("a", "lb", Paths(tmp_path, tmp_path), Claims(), lambda: None, repairs=Repairs())
    alone.set_serving(serving=True)
    await alone.apply(None)
    assert (alone.state, alone.active, alone.settled, list(tmp_path.iterdir())) == ("", False, True, [])  # noqa: ASYNC240
    alone.close()


class Keepalived:
    """One that runs; ``read``: the texts that it was told to read."""

    def __init__(self, config: Path) -> None:
        self.alive, self.pid, self.state, self.has_told = True, 1, "BACKUP", True
        self.read: list[str] = []
        self.reloaded = asyncio.Event()
        self._config = config

    def adopt(self) -> bool:
        return True

    def reload(self) -> None:
        self.read.append(self._config.read_text().rpartition("\n")[2])
        self.reloaded.set()

    def release(self) -> None:
        """It goes on."""


@pytest.mark.parametrize("state", ["BACKUP", "MASTER"])
async def test_a_standby_reads_a_new_file_when_it_has_heard_the_owner_or_is_the_owner(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload begins the wait for adverts anew: one that came when the owner is gone would lengthen the outage."""
    advert, waits, waited = asyncio.Event(), asyncio.Event(), list[float]()

    async def heard(_peers: object, _router: int, timeout: float) -> bool:
        waited.append(timeout)
        waits.set()
        return await advert.wait()

    async def nothing(*_: object) -> list[Held]:
        return [Held("10.0.0.1", 24, "eth1", True)]

    monkeypatch.setattr(redundancy, "wait_for_owner", heard)
    monkeypatch.setattr(addresses, "held", nothing)
    monkeypatch.setattr(handover, "route", nothing)
    one = Redundancy("a", "lb", Paths(tmp_path, tmp_path), Claims(), lambda: None, repairs=Repairs())
    running: Any = Keepalived(tmp_path / "keepalived.conf")
    one._keepalived = running
    for text in ("first", "second"):
        await one.apply(msgspec.structs.replace(VRRP, text=text))
        await waits.wait()
    assert (running.read, waited, one.settled) == ([], [0.8], True)
    assert not (tmp_path / "keepalived.conf").exists()  # or an agent that comes next would not reload
    if state == "BACKUP":
        advert.set()
    else:
        running.state = state
        one._on_state()
    await running.reloaded.wait()
    await one.apply(msgspec.structs.replace(VRRP, text="second"))
    assert running.read == ["second"]
    one.close()


async def test_a_keepalived_that_starts_is_told_of_a_new_file_when_it_has_said_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, it would miss the signal, or die of it. What it is said to read is what was wanted last."""

    async def nothing(*_: object) -> list[Held]:
        return [Held("10.0.0.1", 24, "eth1", True)]

    monkeypatch.setattr(addresses, "held", nothing)
    monkeypatch.setattr(addresses, "settle", nothing)
    monkeypatch.setattr(handover, "route", nothing)
    one = Redundancy("a", "lb", Paths(tmp_path, tmp_path), Claims(), lambda: None, repairs=Repairs())
    starting: Any = Keepalived(tmp_path / "keepalived.conf")
    starting.state, starting.has_told = "FAULT", False
    one._keepalived = starting
    for text in ("first", "second"):
        await one.apply(msgspec.structs.replace(VRRP, text=text))
    for _ in range(10):
        await asyncio.sleep(0)
    assert (starting.read, one.settled) == ([], True)
    assert not (tmp_path / "keepalived.conf").exists()
    starting.state, starting.has_told = "MASTER", True
    one._on_state()
    await starting.reloaded.wait()
    assert starting.read == ["second"]
    one.close()


async def test_what_it_was_in_an_earlier_pair_says_nothing_of_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cloud would take the addresses away that it has by itself."""

    async def nothing(*_: object) -> list[Held]:
        return [Held("10.0.0.1", 24, "eth1", True)]

    monkeypatch.setattr(addresses, "held", nothing)
    monkeypatch.setattr(addresses, "remove", nothing)
    monkeypatch.setattr(handover, "route", nothing)
    one = Redundancy("a", "lb", Paths(tmp_path, tmp_path), Claims(), lambda: None, repairs=Repairs())
    one._state = "MASTER"
    monkeypatch.setattr(one._keepalived, "kill", nothing)
    monkeypatch.setattr(one._keepalived, "start", lambda: None)
    await one.apply(VRRP)
    assert one.state == "FAULT"
    one.close()


class Standby:
    active = True

    def __init__(self) -> None:
        self.told: list[bool] = []

    def set_serving(self, *, serving: bool) -> None:
        self.told.append(serving)


async def test_a_socket_that_takes_no_more_connections_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is full: the kernel refuses at once, which is no word of haproxy's."""
    monkeypatch.setattr(watchdog, "QUESTION_TIMEOUT", 0.01)
    sleeper = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220
    paths: Any = SimpleNamespace(stats_socket=tmp_path / "stats")
    haproxy: Any = SimpleNamespace(workers=(sleeper.pid,), master=sleeper.pid, alive=True, serving=True)
    guard = Watchdog("lb", paths, haproxy, SimpleNamespace(reloading=False), Standby(), repairs=Repairs())  # type: ignore[arg-type]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(paths.stats_socket))
        listening.listen(0)
        waiting = []
        for _ in range(4):
            opened = socket.socket(socket.AF_UNIX)
            opened.setblocking(False)
            opened.connect_ex(str(paths.stats_socket))
            waiting.append(opened)
        assert await guard._hangs(sleeper.pid, guard._ask_quickly, 1, 1.0)
        for one in waiting:
            one.close()
    sleeper.kill()
    sleeper.wait()


async def test_a_haproxy_that_is_stopped_while_it_is_asked_gives_the_addresses_up_before_it_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judgement takes seconds, in which clients would wait."""
    monkeypatch.setattr(watchdog, "PAIR_INTERVAL", 0.01)
    sleeper = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220
    paths: Any = SimpleNamespace(stats_socket=tmp_path / "stats", master_socket=tmp_path / "master")
    haproxy: Any = SimpleNamespace(workers=(sleeper.pid,), master=sleeper.pid, alive=True, serving=True)
    standby, judged = Standby(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readline()
        if b"show info" in question:
            judged.set()
        sleeper.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)  # noqa: ASYNC222 - it is at once
        writer.write(b"\n")
        writer.close()

    guard = Watchdog("lb", paths, haproxy, SimpleNamespace(reloading=False), standby, repairs=Repairs())  # type: ignore[arg-type]
    async with await asyncio.start_unix_server(answer, str(paths.stats_socket)):
        running = asyncio.ensure_future(guard.run())
        await asyncio.wait_for(judged.wait(), 20)
        assert standby.told[:1] == [False]
        running.cancel()
    sleeper.kill()
    sleeper.wait()
