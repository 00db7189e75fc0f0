# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: what an agent says of itself by UDP, in numbered, signed parts that each fit one Ethernet frame.

A part, at most ``PART_BYTES`` long, all numbers big-endian::

    4  magic "OCT1"     8  boot        1  part, from 0          …  chunk of the payload
    1  length of id     8  sequence    1  parts in this beat    32 HMAC-SHA256 (RFC 2104) of all before it,
    n  amphora id       8  time, ms                                with the amphora's own key

The chunks, joined, are zlib of msgpack. Per load balancer it holds the digest and generation of the configuration in
force, then listeners and servers *by position* in that configuration: who wants to read them needs the configuration
with that digest, and asks for ``/states`` where it has another one.

``boot`` rises with every start of the agent and ``sequence`` with every beat, so what is replayed, repeated or
overtaken changes nothing. A receiver that has just started knows no boot yet: it can judge by ``time``.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from itertools import chain
from typing import Literal

import msgspec

from .config import Configuration
from .messages import Counters, ListenerState, ServerState, States
from .vrrp import STATES, VrrpState

PART_BYTES = 1200
MAGIC = b"OCT1"
MAX_PARTS = 255
MAX_PAYLOAD = 8 * 1024 * 1024
MAX_AMPHORAE = 20_000

_NUMBERS = struct.Struct(">QQQBB")
_MAC_BYTES = 32
_STATES: tuple[ServerState, ...] = ("unknown", "up", "down", "drain", "maint", "no_check")
_STATE_CODES = {state: code for code, state in enumerate(_STATES)}
_Status = Literal["open", "full", "stopped"]
_STATUSES: tuple[_Status, ...] = ("open", "full", "stopped")


class Repairs(msgspec.Struct):
    """How often an agent has repaired a load balancer by itself since it began: haproxy that had ended was started, one that hung was
    ended, keepalived was started again."""

    haproxy_started: int = 0
    haproxy_hung: int = 0
    keepalived_started: int = 0


class BalancerBeat(msgspec.Struct, frozen=True):
    """One load balancer in a heartbeat. ``digest`` is shortened (``short``); listeners and servers go by position. ``repairs``: the
    counts of ``Repairs``, in that order."""

    load_balancer_id: str
    digest: str
    generation: int
    serving: bool
    listeners: tuple[ListenerState, ...] = ()
    servers: tuple[ServerState, ...] = ()
    vrrp: VrrpState = ""
    repairs: tuple[int, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True):
    """One whole heartbeat. ``time`` is the sender's clock in seconds since 1970."""

    amphora_id: str
    boot: int
    sequence: int
    time: float
    balancers: tuple[BalancerBeat, ...] = ()


class _Packed(msgspec.Struct, array_like=True):
    """A ``BalancerBeat`` on the wire; ``servers`` holds two states a byte, the first in the upper half.

    What comes last came last: older agents do not send it, and older control planes pass over it.
    """

    id: str
    digest: str
    generation: int
    serving: bool
    listeners: list[tuple[int, int, int, int, int, int]]
    count: int
    servers: bytes
    vrrp: str = ""
    repairs: tuple[int, ...] = ()


def short_digest(digest: str) -> str:
    """The first 64 bits of a configuration's digest, which is what a heartbeat names it by."""
    return digest[:16]


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def encode(beat: Heartbeat, key: bytes) -> list[bytes]:
    """The datagrams of one heartbeat. ``ValueError`` when it does not fit ``MAX_PARTS`` parts."""
    payload = zlib.compress(msgspec.msgpack.encode([_pack(b) for b in beat.balancers]), 6)
    name = beat.amphora_id.encode()
    if not 0 < len(name) <= 64:
        raise ValueError(f"the amphora id {beat.amphora_id!r} has to have 1 to 64 bytes")
    room = PART_BYTES - len(MAGIC) - 1 - len(name) - _NUMBERS.size - _MAC_BYTES
    chunks = [payload[at : at + room] for at in range(0, len(payload), room)]
    if len(chunks) > MAX_PARTS:
        raise ValueError(f"the heartbeat needs {len(chunks)} parts, {MAX_PARTS} are possible")
    head = MAGIC + bytes([len(name)]) + name
    milliseconds = int(beat.time * 1000)
    parts = []
    for number, chunk in enumerate(chunks):
        signed = head + _NUMBERS.pack(beat.boot, beat.sequence, milliseconds, number, len(chunks)) + chunk
        parts.append(signed + hmac.digest(key, signed, hashlib.sha256))
    return parts


def _pack(balancer: BalancerBeat) -> _Packed:
    listeners = [(_STATUSES.index(one.status), *_numbers(one.counters)) for one in balancer.listeners]
    codes = [_STATE_CODES[state] for state in balancer.servers]
    if len(codes) % 2:
        codes.append(0)
    return _Packed(
        id=balancer.load_balancer_id,
        digest=short_digest(balancer.digest),
        generation=balancer.generation,
        serving=balancer.serving,
        listeners=listeners,
        count=len(balancer.servers),
        servers=bytes(high << 4 | low for high, low in zip(codes[::2], codes[1::2], strict=True)),
        vrrp=balancer.vrrp,
        repairs=balancer.repairs,
    )


def _numbers(c: Counters) -> tuple[int, int, int, int, int]:
    return (c.bytes_in, c.bytes_out, c.active_connections, c.total_connections, c.request_errors)


# ── Receiving ────────────────────────────────────────────────────────────────────────────────────────────────────────
class _Part(msgspec.Struct, frozen=True):
    """One datagram, its signature proven."""

    amphora_id: str
    boot: int
    sequence: int
    milliseconds: int
    number: int
    parts: int
    chunk: bytes

    @property
    def order(self) -> tuple[int, int]:
        return (self.boot, self.sequence)


class _SequenceState:
    """What is remembered of one amphora: the newest whole beat's order, and parts of at most two newer ones."""

    __slots__ = ("newest", "partial")

    def __init__(self) -> None:
        self.newest = (0, -1)
        self.partial: dict[tuple[int, int], dict[int, _Part]] = {}

    def add(self, part: _Part) -> list[_Part] | None:
        """The parts of the beat in order when this one made it whole."""
        if part.order not in self.partial and len(self.partial) >= 2:
            oldest = min(self.partial)
            if part.order < oldest:
                return None
            del self.partial[oldest]
        have = self.partial.setdefault(part.order, {})
        have[part.number] = part
        if len(have) < part.parts:
            return None
        self.newest = part.order
        self.partial = {order: parts for order, parts in self.partial.items() if order > part.order}
        return [have[number] for number in range(part.parts)]


class Assembler:
    """Makes heartbeats of datagrams. Memory is bounded: two unfinished beats an amphora, ``MAX_AMPHORAE`` amphorae.

    ``rejected`` counts by reason what was thrown away: garbled, unknown, forged, old, mixed, unreadable.
    """

    def __init__(self, *, amphorae: int = MAX_AMPHORAE) -> None:
        self.rejected: Counter[str] = Counter()
        self._senders: OrderedDict[str, _SequenceState] = OrderedDict()
        self._limit = amphorae

    def feed(self, datagram: bytes, key_lookup: Callable[[str], bytes | None]) -> Heartbeat | None:
        """Take one datagram; the heartbeat when it is whole with it, else None.

        ``key_lookup`` gives the key of an amphora, None for one that is not known.
        """
        part = self._verified(datagram, key_lookup)
        if part is None:
            return None
        sender = self._sender(part.amphora_id)
        if part.order <= sender.newest:
            self.rejected["old"] += 1
            return None
        known = sender.partial.get(part.order)
        if known and next(iter(known.values())).parts != part.parts:
            self.rejected["mixed"] += 1
            return None
        parts = sender.add(part)
        return None if parts is None else self._decoded(parts)

    def forget(self, amphora_id: str) -> None:
        """An amphora that is gone takes no memory."""
        self._senders.pop(amphora_id, None)

    def _sender(self, amphora_id: str) -> _SequenceState:
        sender = self._senders.get(amphora_id)
        if sender is None:
            sender = self._senders[amphora_id] = _SequenceState()
            if len(self._senders) > self._limit:
                self._senders.popitem(last=False)
        self._senders.move_to_end(amphora_id)
        return sender

    def _verified(self, datagram: bytes, key_lookup: Callable[[str], bytes | None]) -> _Part | None:
        part = _parse(datagram)
        key = key_lookup(part.amphora_id) if part else None
        if part is None or not key:
            self.rejected["garbled" if part is None else "unknown"] += 1
            return None
        expected = hmac.digest(key, datagram[:-_MAC_BYTES], hashlib.sha256)
        if not hmac.compare_digest(expected, datagram[-_MAC_BYTES:]):
            self.rejected["forged"] += 1
            return None
        return part

    def _decoded(self, parts: list[_Part]) -> Heartbeat | None:
        try:
            packed = msgspec.msgpack.decode(_inflated(b"".join(part.chunk for part in parts)), type=list[_Packed])
            balancers = tuple(_unpack(one) for one in packed)
        except (zlib.error, msgspec.MsgspecError, IndexError):
            self.rejected["unreadable"] += 1
            return None
        first = parts[0]
        return Heartbeat(first.amphora_id, first.boot, first.sequence, first.milliseconds / 1000, balancers)


def _inflated(compressed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    payload = inflater.decompress(compressed, MAX_PAYLOAD)
    if inflater.unconsumed_tail or not inflater.eof:
        raise zlib.error("too long or cut off")
    return payload


def _parse(datagram: bytes) -> _Part | None:
    if not len(MAGIC) < len(datagram) <= PART_BYTES or not datagram.startswith(MAGIC):
        return None
    start = len(MAGIC) + 1
    end = start + datagram[len(MAGIC)]
    body = end + _NUMBERS.size
    if end == start or len(datagram) < body + _MAC_BYTES:
        return None
    try:
        name = datagram[start:end].decode()
    except UnicodeDecodeError:
        return None
    boot, sequence, milliseconds, number, parts = _NUMBERS.unpack_from(datagram, end)
    if number >= parts:
        return None
    return _Part(name, boot, sequence, milliseconds, number, parts, datagram[body:-_MAC_BYTES])


def _unpack(packed: _Packed) -> BalancerBeat:
    listeners = tuple(ListenerState(_STATUSES[status], Counters(*numbers)) for status, *numbers in packed.listeners)
    states = tuple(chain.from_iterable(map(_PAIRS.__getitem__, packed.servers)))[: packed.count]
    if len(states) != packed.count:
        raise IndexError("fewer states than servers")
    return BalancerBeat(
        load_balancer_id=packed.id,
        digest=packed.digest,
        generation=packed.generation,
        serving=packed.serving,
        listeners=listeners,
        servers=states,
        vrrp=STATES.get(packed.vrrp, ""),
        repairs=packed.repairs,
    )


def _pair(byte: int) -> tuple[ServerState, ...]:
    codes = (byte >> 4, byte & 15)
    return tuple(_STATES[code] for code in codes) if max(codes) < len(_STATES) else ()


_PAIRS = tuple(map(_pair, range(256)))
"""Byte → two states; none where it holds a code that is no state."""


def states(beat: BalancerBeat, configuration: Configuration, digest: str) -> States | None:
    """A heartbeat's positions with the names of ``configuration``, whose digest is given; None if it is of another one.

    Then the receiver has to ask for the agent's ``/states``.
    """
    count = sum(len(backend.servers) for backend in configuration.backends.values())
    if (beat.digest, len(beat.listeners), len(beat.servers)) != (
        short_digest(digest),
        len(configuration.frontends),
        count,
    ):
        return None
    each = iter(beat.servers)
    return States(
        load_balancer_id=beat.load_balancer_id,
        digest=digest,
        serving=beat.serving,
        listeners=dict(zip(configuration.frontends, beat.listeners, strict=True)),
        servers={
            backend.name: dict(zip(backend.servers, each, strict=False)) for backend in configuration.backends.values()
        },
        vrrp=beat.vrrp,
    )
