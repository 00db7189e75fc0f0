# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: round trips, and all that can happen to a datagram on its way."""

from __future__ import annotations

import hmac
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavia_amphora.wire import config, heartbeat
from octavia_amphora.wire.config import Backend, Configuration, Frontend, Server
from octavia_amphora.wire.heartbeat import PART_BYTES, Assembler, BalancerBeat, Heartbeat, encode
from octavia_amphora.wire.messages import Counters, ListenerState

KEY = b"k" * 32
ID = "6f0f5d6e-0000-4000-8000-000000000001"

numbers = st.integers(0, 2**63 - 1)
listeners = st.builds(
    ListenerState,
    st.sampled_from(["open", "full", "stopped"]),
    st.builds(Counters, numbers, numbers, numbers, numbers, numbers),
)
states = st.sampled_from(["up", "down", "drain", "maint", "no_check", "unknown"])
balancers = st.builds(
    BalancerBeat,
    st.uuids().map(str),
    st.text("0123456789abcdef", min_size=16, max_size=16),
    numbers,
    st.booleans(),
    st.lists(listeners, max_size=5).map(tuple),
    st.lists(states, max_size=50).map(tuple),
    st.sampled_from(["", "MASTER", "BACKUP", "FAULT"]),
)
beats = st.builds(
    Heartbeat,
    st.text(min_size=1, max_size=12),
    st.integers(1, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**40).map(lambda milliseconds: milliseconds / 1000),
    st.lists(balancers, max_size=4).map(tuple),
)


def big(sequence: int = 1, *, boot: int = 1, seed: int = 0, servers: int = 20_000) -> Heartbeat:
    """A beat that no compression gets into one part."""
    rng = random.Random(seed)
    codes = tuple(rng.choice(["up", "down", "drain", "maint", "no_check"]) for _ in range(servers))
    return Heartbeat(ID, boot, sequence, 0.0, (BalancerBeat(ID, "0" * 16, 1, True, (), codes),))  # type: ignore[arg-type]


def lookup(_: str) -> bytes:
    return KEY


def fed(assembler: Assembler, datagrams: list[bytes]) -> list[Heartbeat]:
    return [beat for one in datagrams if (beat := assembler.feed(one, lookup))]


@given(beats)
def test_what_is_sent_is_what_is_read(beat: Heartbeat) -> None:
    parts = encode(beat, KEY)
    assert all(len(part) <= PART_BYTES for part in parts)
    (read,) = fed(Assembler(), parts)
    assert abs(read.time - beat.time) <= 0.001
    assert (read.amphora_id, read.boot, read.sequence, read.balancers) == (
        beat.amphora_id, beat.boot, beat.sequence, beat.balancers,
    )  # fmt: skip


def test_an_agent_that_knows_nothing_of_vrrp_is_heard_and_hears_us_do() -> None:
    """A field that came later is the last of its list."""
    packed = heartbeat._pack(BalancerBeat(ID, "0" * 16, 1, True, vrrp="MASTER", repairs=(1, 0, 2)))
    new = msgspec.msgpack.encode(packed)
    old = msgspec.msgpack.encode(msgspec.msgpack.decode(new)[:-2])
    assert heartbeat._unpack(msgspec.msgpack.decode(old, type=heartbeat._Packed)).vrrp == ""
    newer = msgspec.msgpack.encode([*msgspec.msgpack.decode(new), "what comes next"])
    assert heartbeat._unpack(msgspec.msgpack.decode(newer, type=heartbeat._Packed)).vrrp == "MASTER"
    assert heartbeat._unpack(msgspec.structs.replace(packed, vrrp="KING")).vrrp == ""


@given(st.randoms(use_true_random=False), st.data())
def test_parts_come_in_any_order_and_more_than_once(rng: random.Random, data: st.DataObject) -> None:
    parts = encode(big(), KEY)
    order = parts + data.draw(st.lists(st.sampled_from(parts), max_size=5))
    rng.shuffle(order)
    assembler = Assembler()
    assert fed(assembler, order) == [big()]
    assert fed(assembler, order) == []


@given(beats, st.data())
def test_a_changed_byte_makes_it_worthless(beat: Heartbeat, data: st.DataObject) -> None:
    part = bytearray(data.draw(st.sampled_from(encode(beat, KEY))))
    at = data.draw(st.integers(0, len(part) - 1))
    part[at] ^= data.draw(st.integers(1, 255))
    assembler = Assembler()
    assert assembler.feed(bytes(part), lookup) is None
    assert assembler.rejected.total() == 1
    assert assembler.rejected.keys() <= {"garbled", "forged"}


@given(beats, st.data())
def test_what_is_cut_off_or_noise_is_worthless(beat: Heartbeat, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(encode(beat, KEY)))
    assembler = Assembler()
    assembler.feed(part[: data.draw(st.integers(0, len(part) - 1))], lookup)
    assembler.feed(data.draw(st.binary(max_size=1500)), lookup)
    assert assembler.rejected.total() == 2


Datagram = tuple[str, bytes]


SIZES = (3, 6_000)
SENT = {
    (boot, sequence, servers): encode(big(sequence, boot=boot, servers=servers), KEY)
    for boot in (1, 2, 3) for sequence in (1, 2, 3) for servers in SIZES
}  # fmt: skip


@st.composite
def traffic(draw: st.DrawFn) -> list[Datagram]:
    """What comes in: datagrams of ours, in any order and number, and what somebody without the key makes of them."""
    beats = draw(st.dictionaries(st.tuples(st.integers(1, 3), st.integers(1, 3)), st.sampled_from(SIZES), min_size=1))
    parts = [part for (boot, sequence), servers in beats.items() for part in SENT[boot, sequence, servers]]
    came = [(ID, part) for part in draw(st.lists(st.sampled_from(parts), max_size=25))]
    for part in draw(st.lists(st.sampled_from(parts), max_size=10)):
        place = draw(st.integers(0, len(part) - 1))
        forged = {
            "cut": part[:place],
            "longer": part + bytes(draw(st.integers(1, 2000))),
            "changed": part[:place] + bytes([part[place] ^ draw(st.integers(1, 255))]) + part[place + 1 :],
            "resigned": part[:-32] + hmac.digest(b"x" * 32, part[:-32], "sha256"),
            "noise": draw(st.binary(max_size=1500)),
        }
        kind = draw(st.sampled_from(sorted(forged)))
        came.insert(draw(st.integers(0, len(came))), ("forged", forged[kind]))
    return came


def orders(heard: list[Heartbeat]) -> list[tuple[int, int]]:
    return [(beat.boot, beat.sequence) for beat in heard]


@given(traffic())
def test_invariant_08_what_is_replayed_reordered_truncated_forged_or_oversized_changes_nothing(
    came: list[Datagram],
) -> None:
    """What is read is as if only our datagrams had come; each beat is one of ours, whole, and newer than all before."""
    assembler = Assembler()
    heard = fed(assembler, [datagram for _, datagram in came])
    assert heard == fed(Assembler(), [datagram for who, datagram in came if who == ID])
    assert all(beat.balancers in [big(servers=size).balancers for size in SIZES] for beat in heard)
    replayed = fed(assembler, [datagram for _, datagram in came])
    assert orders(heard + replayed) == sorted(set(orders(heard + replayed)))


def test_a_lost_part_costs_its_beat_alone() -> None:
    assembler = Assembler()
    first, second = encode(big(1), KEY), encode(big(2, seed=2), KEY)
    assert fed(assembler, first[1:]) == []
    assert fed(assembler, second) == [big(2, seed=2)]
    assert fed(assembler, first) == []


def test_beats_that_overtake_each_other() -> None:
    first, second = encode(big(1), KEY), encode(big(2, seed=2), KEY)
    woven = [part for pair in zip(first, second, strict=False) for part in pair] + second[len(first) :]
    found = fed(Assembler(), woven)
    assert [beat.sequence for beat in found] in ([1, 2], [2])
    assert found[-1] == big(2, seed=2)


def test_an_old_boot_and_a_replay_change_nothing() -> None:
    assembler = Assembler()
    assert fed(assembler, encode(big(9, boot=1, servers=3), KEY))
    assert fed(assembler, encode(big(1, boot=2, servers=3), KEY))
    assert fed(assembler, encode(big(10, boot=1, servers=3), KEY)) == []
    assert fed(assembler, encode(big(1, boot=2, servers=3), KEY)) == []
    assert assembler.rejected == {"old": 2}


def test_another_amphoras_key_and_no_key() -> None:
    assembler = Assembler()
    (part,) = encode(big(servers=3), b"x" * 32)
    assert assembler.feed(part, lookup) is None
    assert assembler.feed(part, lambda _: None) is None
    assert assembler.feed(part, lambda _: b"") is None
    assert assembler.rejected == {"forged": 1, "unknown": 2}


def test_memory_is_bounded() -> None:
    assembler = Assembler(amphorae=10)
    for number in range(20):
        for sequence in range(5):
            beat = Heartbeat(f"amphora {number}", 1, sequence, 0.0, big(servers=5_000).balancers)
            assembler.feed(encode(beat, KEY)[0], lookup)
    assert len(assembler._senders) == 10
    assert all(len(sender.partial) <= 2 for sender in assembler._senders.values())
    assembler.forget("amphora 19")
    assert len(assembler._senders) == 9


def test_ten_thousand_members_fit_in_few_parts() -> None:
    assert len(encode(big(servers=10_000), KEY)) <= 4
    settled = Heartbeat(ID, 1, 1, 0.0, (BalancerBeat(ID, "0" * 16, 1, True, (), ("up",) * 10_000),))
    assert len(encode(settled, KEY)) == 1


def test_too_much_is_said_and_not_sent() -> None:
    rng = random.Random(1)
    noise = tuple(
        BalancerBeat(str(rng.random()), f"{rng.getrandbits(64):016x}", rng.getrandbits(60), True) for _ in range(12_000)
    )
    with pytest.raises(ValueError, match="255 are possible"):
        encode(Heartbeat(ID, 1, 1, 0.0, noise), KEY)


def test_positions_are_read_with_the_configuration_of_that_digest_alone() -> None:
    servers = {name: Server(name, "10.0.0.1", 80) for name in ("s1", "s2")}
    one = Configuration(ID, "", {"f": Frontend("f", "")}, {"b": Backend("b", "p", "", servers)})
    digest = config.digest(one)
    listener = ListenerState("full", Counters(1, 2, 3, 4, 5))
    beat = BalancerBeat(ID, heartbeat.short_digest(digest), 7, True, (listener,), ("up", "down"))
    read = heartbeat.states(beat, one, digest)
    assert read
    assert read.listeners == {"f": listener}
    assert read.servers == {"b": {"s1": "up", "s2": "down"}}
    assert heartbeat.states(beat, one, "f" * 64) is None
    other = Configuration(ID, "", {}, one.backends)
    assert heartbeat.states(beat, other, digest) is None
