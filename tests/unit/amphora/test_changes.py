# SPDX-License-Identifier: Apache-2.0
"""What is said at run time, and what is a reload."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from octavia_amphora.apply import changes, inspection
from octavia_amphora.apply.changes import POOL_OPTIONS
from octavia_amphora.haproxy import runtime
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.haproxy.servers import Location
from octavia_amphora.wire.config import Backend, Configuration, Frontend, Server
from octavia_amphora.wire.haproxy_versions import Version

A = Server("a", "10.0.0.1", 80, options="check inter 1s")
B = Server("b", "fd00::2", 80)
NOBODY: frozenset[tuple[str, str]] = frozenset()


def made(*servers: Server, text: str = "", dynamic: bool = True, base: str = "", name: str = "x") -> Configuration:
    backend = Backend(name, "p", text, {one.name: one for one in servers}, dynamic)
    return Configuration("lb", base, {"f": Frontend("f", "")}, {name: backend})


def texts(old: Configuration, new: Configuration) -> list[str] | None:
    found = changes.commands(old, new, NOBODY)
    return None if found is None else [command.text for command in found]


def test_additions_come_before_removals() -> None:
    assert texts(made(A), made(B)) == [
        f"add server x/b [fd00::2]:80 weight 1 {POOL_OPTIONS}",
        "set server x/b state ready",
        "set server x/a state maint",
        "del server x/a",
    ]


def test_a_checked_server_has_its_checks_begun() -> None:
    disabled = msgspec.structs.replace(A, admin="maint", weight=0)
    assert texts(made(), made(A)) == [
        f"add server x/a 10.0.0.1:80 weight 1 {POOL_OPTIONS} check inter 1s",
        "enable health x/a",
        "set server x/a state ready",
    ]
    assert texts(made(), made(disabled)) == [
        f"add server x/a 10.0.0.1:80 weight 0 {POOL_OPTIONS} check inter 1s",
        "enable health x/a",
    ]


def test_a_server_is_out_before_it_changes_and_in_afterwards() -> None:
    changed = msgspec.structs.replace(A, weight=5, port=81, admin="maint")
    assert texts(made(A), made(changed)) == [
        "set server x/a state maint",
        "set server x/a addr 10.0.0.1 port 81",
        "set server x/a weight 5",
    ]
    assert texts(made(changed), made(A)) == [
        "set server x/a addr 10.0.0.1 port 80",
        "set server x/a weight 1",
        "set server x/a state ready",
    ]


def test_servers_with_cookies_come_and_go_where_haproxy_can_be_told() -> None:
    lines = "    cookie SRV insert indirect nocache\n"
    one, two = (msgspec.structs.replace(server, options=f"cookie {server.name}") for server in (A, B))
    old, new = made(one, text=lines, dynamic=False), made(two, text=lines, dynamic=False)
    for version in (None, Version(2, 6), Version(2, 9)):
        assert changes.commands(old, new, NOBODY, version) is None
    for version in (Version(3, 0), Version(3, 2)):
        found = changes.commands(old, new, NOBODY, version)
        assert found is not None
        assert [command.text for command in found] == [
            f"add server x/b [fd00::2]:80 weight 1 {POOL_OPTIONS} cookie b",
            "set server x/b state ready",
            "set server x/a state maint",
            "del server x/a",
        ]
    assert changes.commands(made(A, dynamic=False), made(B, dynamic=False), NOBODY, Version(3, 2)) is None


def test_what_is_a_reload() -> None:
    old = made(A)
    for new in (
        made(A, base="global\n"),
        made(A, text="    balance source\n"),
        made(A, dynamic=False),
        made(A, name="y"),
        made(msgspec.structs.replace(A, options="check")),
        msgspec.structs.replace(old, frontends={}),
    ):
        assert texts(old, new) is None
    static = made(A, dynamic=False)
    assert texts(static, made(A, B, dynamic=False)) is None
    assert texts(static, made(dynamic=False)) is None
    heavier = made(msgspec.structs.replace(A, weight=2), dynamic=False)
    assert texts(static, heavier) == ["set server x/a weight 2"]
    defaults = "    default-server check\n"
    assert texts(made(A, text=defaults), made(A, B, text=defaults)) is None


def test_a_name_that_is_still_leaving_is_not_free() -> None:
    assert changes.commands(made(), made(A), frozenset({("x", "a")})) is None
    assert changes.commands(made(), made(A), frozenset({("y", "a")})) is not None


def test_what_leaves_and_is_wanted_again_is_returning() -> None:
    leaving = frozenset({("x", "b"), ("x", "a"), ("x", "gone"), ("y", "a")})
    assert changes.returning(made(A, B), leaving) == [("x", "a"), ("x", "b")]
    assert changes.returning(made(A, B), NOBODY) == []


def test_nothing_is_sent_to_the_former_address_of_a_server_that_becomes_ready() -> None:
    asleep = msgspec.structs.replace(A, admin="maint")
    moved = msgspec.structs.replace(A, port=81)
    found = changes.commands(made(asleep, B), made(moved, B), NOBODY)
    assert found
    assert [[command.text for command in batch] for batch in changes.batches(found)] == [
        ["set server x/a addr 10.0.0.1 port 81"],
        ["set server x/a state ready"],
    ]
    assert found[0].moves == Location("x", "a", "10.0.0.1", 81)


async def test_a_move_is_done_when_haproxy_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """haproxy 3.0 and newer answer before they do it."""
    row = "4 x 1 a 10.0.0.1 2 0 1 1 1 6 3 7 6 0 0 0 - {port} - 0 0 - - 0"
    asked: list[str] = []
    ports = itertools.chain((80, 80), itertools.repeat(81))

    async def execute(path: Path, command: str) -> str:
        asked.append(command)
        return "1\n# be_id\n" + row.format(port=next(ports)) + "\n"

    monkeypatch.setattr(runtime, "execute", execute)
    monkeypatch.setattr(inspection, "MOVE_POLL_SECONDS", 0)
    paths = Paths(tmp_path, tmp_path)
    await inspection.wait_located(paths, {Location("x", "a", "10.0.0.1", 81)})
    assert asked == ["show servers state x"] * 3
    monkeypatch.setattr(inspection, "MOVE_TIMEOUT", 0)
    with pytest.raises(runtime.RuntimeApiError, match="not moved"):
        await inspection.wait_located(paths, {Location("x", "a", "10.0.0.1", 80)})


def test_answers() -> None:
    plain, delete = changes.Command("set weight"), changes.removal("x", "a")
    assert plain.succeeded("")
    assert not plain.succeeded("No such server.")
    assert delete.succeeded("Server deleted.")
    assert not delete.succeeded("Server still has connections attached to it, cannot remove it.")
