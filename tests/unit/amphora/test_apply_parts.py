# SPDX-License-Identifier: Apache-2.0
"""The parts of the way from push to haproxy that need none: stamps, records on disk, binds, boot numbers."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from octavia_amphora.apply import binds, version_fence
from octavia_amphora.apply.disk import Disk, PushRecord
from octavia_amphora.apply.errors import PushRefused
from octavia_amphora.haproxy import process
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.heartbeat.sender import next_boot
from octavia_amphora.wire import config
from octavia_amphora.wire.config import Bind, Configuration, Delta, Frontend
from octavia_amphora.wire.messages import Push, VersionStamp
from octavia_amphora.wire.vrrp import Vrrp

ONE = Configuration("lb", "one")
TWO = Configuration("lb", "two")


def stamp(new: Configuration, *order: int) -> VersionStamp:
    epoch, fence, revision = order
    return VersionStamp(epoch, fence, revision, revision, config.digest(new))


@pytest.mark.parametrize(
    ("order", "new", "kind"),
    [
        ((1, 1, 2), TWO, None),
        ((1, 2, 0), TWO, None),
        ((2, 0, 0), TWO, None),
        ((1, 1, 1), ONE, None),
        ((1, 1, 1), TWO, "conflict"),
        ((1, 1, 0), ONE, "stale"),
        ((1, 0, 9), ONE, "stale"),
        ((0, 9, 9), ONE, "stale"),
    ],
)
def test_which_stamp_comes_next(order: tuple[int, ...], new: Configuration, kind: str | None) -> None:
    newest = PushRecord(stamp(ONE, 1, 1, 1), ONE)
    if kind is None:
        version_fence.check_order(stamp(new, *order), newest)
        return
    with pytest.raises(PushRefused) as caught:
        version_fence.check_order(stamp(new, *order), newest)
    assert caught.value.refusal.kind == kind


def test_an_amphora_becomes_one_of_a_pair_and_one_alone_by_deltas() -> None:
    pair = msgspec.structs.replace(ONE, vrrp=Vrrp("vrrp_instance …", 51, {"INTERFACE_1": "192.0.2.5"}, ("192.0.2.6",)))
    for old, new in ((ONE, pair), (pair, ONE), (pair, pair), (pair, msgspec.structs.replace(pair, base="two"))):
        delta = msgspec.json.decode(msgspec.json.encode(config.difference(old, new)), type=Delta)
        assert config.apply(old, delta) == new
    assert b"vrrp" not in msgspec.json.encode(ONE)  # nor does its digest say anything of it


def test_what_a_push_means() -> None:
    accepted = PushRecord(stamp(ONE, 1, 1, 1), ONE)
    delta = config.difference(ONE, TWO)
    assert version_fence.resolve("lb", Push(stamp(TWO, 1, 1, 2), delta=delta), accepted) == TWO
    bad = {
        "base": [(Push(stamp(TWO, 1, 1, 2), delta=delta), None), (Push(stamp(ONE, 1, 1, 2), delta=delta), accepted)],
        "bad_request": [
            (Push(stamp(ONE, 1, 1, 2), full=TWO), None),
            (Push(stamp(ONE, 1, 1, 2)), None),
            (Push(stamp(ONE, 1, 1, 2), full=ONE, delta=Delta("")), accepted),
        ],
    }
    for kind, pushes in bad.items():
        for push, before in pushes:
            with pytest.raises(PushRefused) as caught:
                version_fence.resolve("lb", push, before)
            assert caught.value.refusal.kind == kind


def test_records_survive_and_a_half_written_one_does_not_count(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    assert (disk.newest(), disk.accepted()) == (None, None)
    first, second = PushRecord(stamp(ONE, 1, 1, 1), ONE), PushRecord(stamp(TWO, 1, 1, 2), TWO)
    disk.save_newest(first)
    disk.accept_newest()
    disk.save_newest(second)
    (tmp_path / "newest.json.tmp").write_bytes(b"{")
    again = Disk(tmp_path)
    assert (again.newest(), again.accepted()) == (second, first)
    again.accept_newest()
    assert again.accepted() == second
    tombstone = PushRecord(stamp(TWO, 1, 1, 3), removed=True)
    again.write_tombstone(tombstone)
    assert [path.name for path in tmp_path.iterdir()] == ["newest.json"]
    assert again.newest() == tombstone


HOST = "127.0.73.1"
"""Nobody else listens there: a port that was free is free afterwards."""


def listening(port: int) -> Configuration:
    return Configuration("lb", "", {"f": Frontend("f", "", (Bind(HOST, port),))})


def test_a_taken_port_is_named_unless_it_is_our_own() -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        (complaint,) = binds.bind_errors((), listening(port))
        assert complaint.proxy == "f"
        assert f"{HOST}:{port}: another process" in complaint.message
        assert binds.bind_errors([listening(port)], listening(port)) == ()
        anywhere = Configuration("lb", "", {"f": Frontend("f", "", (Bind("0.0.0.0", port),))})
        assert binds.bind_errors([anywhere], listening(port)) == ()
    assert binds.bind_errors((), listening(port)) == ()


def test_one_port_for_two_listeners_is_refused() -> None:
    new = Configuration("lb", "", {name: Frontend(name, "", (Bind("192.0.2.1", 80),)) for name in ("f", "g")})
    held = Configuration("lb", "", {"f": new.frontends["f"]})
    (complaint,) = binds.bind_errors([held], new)
    assert complaint.proxy == "g"
    assert "listener f" in complaint.message


def test_boots_rise_even_when_the_clock_goes_back(tmp_path: Path) -> None:
    first = next_boot(tmp_path)
    (tmp_path / "boot").write_text(str(first + 10**9))
    assert next_boot(tmp_path) == first + 10**9 + 1


def test_haproxys_log_keeps_its_end_when_it_has_grown__and_haproxy_goes_on_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 100)
    monkeypatch.setattr(process, "LOG_KEPT", 20)
    paths = Paths(tmp_path, tmp_path)
    haproxy = process.Haproxy("haproxy", paths, on_death=lambda: None)
    haproxy.trim_log()  # there is none yet
    with paths.log.open("ab", buffering=0) as log:
        log.write(b"".join(b"line %04d\n" % number for number in range(10)))
        haproxy.trim_log()
        assert paths.log.stat().st_size == 100
        log.write(b"line 0010\n")
        haproxy.trim_log()
        log.write(b"line 0011\n")
    assert paths.log.read_text() == "line 0010\nline 0011\n"
