# SPDX-License-Identifier: Apache-2.0
"""Ranges of loopback addresses: each home has one of its own, keeps it, and gives it back when it goes."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from octavia_provider.clouds.netns import ranges
from octavia_provider.clouds.netns.ranges import release, reserve
from octavia_provider.model.errors import PermanentError, Refused


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Where a test listens itself; where others of this machine do, tests beside this one say."""
    found, real = set[str](), ranges.listening_addresses
    monkeypatch.setattr(ranges, "listening_addresses", lambda: real() & found)
    return found


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def home(path: Path) -> Path:
    path.mkdir()
    (path / "octavia.db").touch()
    return path


def homes(folder: Path) -> tuple[Path, Path]:
    """Two whose paths have the same hash."""
    seen: dict[object, Path] = {}
    for number in itertools.count():
        path = folder / str(number)
        other = seen.setdefault(ranges._hashed(path), path)
        if other is not path:
            return home(other), home(path)
    raise AssertionError


def test_homes_that_hash_alike_have_ranges_of_their_own_and_keep_them(tmp_path: Path, registry: Path) -> None:
    one, two = homes(tmp_path)
    first, second = reserve(one, registry=registry), reserve(two, registry=registry)
    assert first != second
    assert reserve(two, registry=registry) == second
    assert reserve(one, registry=registry) == first


def test_it_is_reserved_until_its_home_is_gone_or_gives_it_back(tmp_path: Path, registry: Path) -> None:
    one, two = homes(tmp_path)
    first, second = reserve(one, registry=registry), reserve(two, registry=registry)
    shutil.rmtree(one)
    (tmp_path / "x").mkdir()
    three = next(
        h for h in map(tmp_path.joinpath, map(str, itertools.count(10_000))) if str(ranges._hashed(h)) == first
    )
    assert reserve(home(three), registry=registry) == first
    release(three, registry)
    assert json.loads((registry / "ranges.json").read_text()) == {second: str(two)}
    release(three, registry)
    assert reserve(home(one), registry=registry) == first


def test_load_balancers_keep_their_addresses_whatever_the_registry_says(tmp_path: Path, registry: Path) -> None:
    one, two = homes(tmp_path)
    assert reserve(one, ["127.100.17.5"], registry) == "127.100.16.0/20"  # as after the registry was lost
    assert reserve(one, registry=registry) == "127.100.16.0/20"
    with capture_logs() as logs:  # both are of before there was a registry
        assert reserve(two, ["127.100.16.1"], registry) == "127.100.16.0/20"
    assert logs[0]["other"] == str(one)
    assert reserve(two, registry=registry) != "127.100.16.0/20"


def test_a_range_in_which_someone_listens_is_not_given_away(tmp_path: Path, registry: Path, ours: set[str]) -> None:
    one, two = homes(tmp_path)
    hashed = ranges._hashed(one)
    ours.update({str(hashed[5]), str(hashed[7])})
    with socket.create_server((str(hashed[5]), 0)):
        assert reserve(one, registry=registry) != str(hashed)
    assert reserve(two, registry=registry) == str(hashed)
    release(two, registry)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((str(hashed[7]), 0))
        assert reserve(two, registry=registry) != str(hashed)


def test_many_reserve_at_once_and_each_has_its_own(tmp_path: Path, registry: Path) -> None:
    made = [home(tmp_path / f"home-{number}") for number in range(6)]
    code = (
        "import sys; from pathlib import Path; from octavia_provider.clouds.netns import ranges\n"
        "ranges._hashed, ranges.listening_addresses = lambda home: ranges.RANGES[3], set; print('ready', flush=True); input()\n"
        "print(ranges.reserve(Path(sys.argv[1]), registry=Path(sys.argv[2])))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(registry)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for path in made
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = {process.communicate()[0] for process in started}
    assert said == {f"{one}\n" for one in ranges.RANGES[3:9]}


def test_the_last_range_is_followed_by_the_first_and_then_it_is_refused(
    tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "RANGES", ranges.RANGES[:2])
    monkeypatch.setattr(ranges, "_hashed", lambda _: ranges.RANGES[1])
    got = [reserve(home(tmp_path / name), registry=registry) for name in "ab"]
    assert got == ["127.64.16.0/20", "127.64.0.0/20"]
    with pytest.raises(Refused, match="all 2 ranges of loopback addresses are reserved"):
        reserve(home(tmp_path / "c"), registry=registry)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}', "null"])
def test_a_damaged_registry_is_begun_anew(text: str, tmp_path: Path, registry: Path) -> None:
    one = home(tmp_path / "one")
    first = reserve(one, registry=registry)
    (registry / "ranges.json").write_text(text)
    assert reserve(one, registry=registry) == first
    assert json.loads((registry / "ranges.json").read_text()) == {first: str(one)}


def test_a_registry_that_others_may_write_is_not_believed(tmp_path: Path, registry: Path) -> None:
    registry.mkdir()
    registry.chmod(0o777)
    with pytest.raises(PermanentError, match="may be written by other users"):
        reserve(home(tmp_path / "one"), registry=registry)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    with pytest.raises(PermanentError, match="may be written by other users"):
        reserve(tmp_path / "one", registry=tmp_path / "link")


def test_where_no_registry_can_be_the_hash_decides(tmp_path: Path) -> None:
    one = home(tmp_path / "one")
    (tmp_path / "file").touch()
    with capture_logs() as logs:
        assert reserve(one, registry=tmp_path / "file" / "registry") == str(ranges._hashed(one))
    assert logs[0]["event"] == "no range of loopback addresses is reserved"
