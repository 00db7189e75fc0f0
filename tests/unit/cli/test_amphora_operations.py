# SPDX-License-Identifier: Apache-2.0
"""octaviactl failover, drain, rotate, upgrade: what is asked, what is waited for, what is shown; exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider import __version__
from octavia_provider.cli import amphora_operations, exit_codes
from octavia_provider.ports import Amphora
from real_plane import RealPlane

ONE, OTHER = "1a000000-0000-0000-0000-000000000001", "1b000000-0000-0000-0000-000000000002"


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealPlane]:
    """A load balancer whose pair does as it is told."""
    monkeypatch.setattr(amphora_operations, "POLL_SECONDS", 0.01)
    with RealPlane() as made:
        balancer = made.make("web")["id"]
        for id_, role in ((ONE, "MASTER"), (OTHER, "BACKUP")):
            amphora = Amphora(id=id_, load_balancer_id=balancer, role=role, status="ALLOCATED", agent_version="0.0.1")
            made.run(made.plane.store.write(lambda tx, amphora=amphora: tx.put_amphora(amphora)))  # type: ignore[misc]
        made.plane.status_cache.vrrp.update({ONE: "MASTER", OTHER: "BACKUP"})
        made.plane.care = True
        yield made


def amphorae(plane: RealPlane) -> dict[str, Amphora]:
    found = plane.run(plane.plane.store.read(lambda tx: tx.amphorae()))
    return {amphora.id: amphora for amphora in found}


def shown(plane: RealPlane, *words: str) -> Any:
    done = octaviactl(*words, "--json", "--home", plane.home)
    assert (done.returncode, done.stderr) == (exit_codes.OK, "")
    return json.loads(done.stdout)


def test_failover_of_a_load_balancer_and_of_one_amphora(plane: RealPlane) -> None:
    found = shown(plane, "failover", "--amphora", "1b")
    assert found["replaced"] == [OTHER]
    assert ONE in amphorae(plane)
    assert OTHER not in amphorae(plane)
    before = set(amphorae(plane))
    done = octaviactl("failover", "web", "--home", plane.home)
    assert (done.returncode, done.stderr) == (exit_codes.OK, "")
    assert not before & set(amphorae(plane))
    for id_, amphora in amphorae(plane).items():
        assert f"{id_}  {amphora.role}" in done.stdout
    assert "done after" in done.stdout


def test_drain_waits_until_the_vips_are_elsewhere__and_is_undone(plane: RealPlane) -> None:
    found = shown(plane, "drain", ONE)
    (drained,) = (one for one in found["amphorae"] if one["draining"])
    assert (drained["id"], drained["vrrp_state"]) == (ONE, "BACKUP")
    assert not any(one["draining"] for one in shown(plane, "drain", ONE, "--undo")["amphorae"])


def test_certificates_of_one_of_all_and_of_the_authority(plane: RealPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shown(plane, "rotate", ONE)
    assert [one["cert_expiration"] for one in found["amphorae"]] == ["2099-01-01T00:00:00"]
    assert amphorae(plane)[OTHER].certificate_expires is None
    assert len(shown(plane, "rotate", "--all")["amphorae"]) == 2
    operations, asked = plane.plane.operations, []

    def authority() -> dict[str, Any]:
        asked.append(operations.rotations)
        facts = {"expires": "2036-01-01T00:00:00+00:00", "trusted": ["a"], "phase": None, "waiting": []}
        if not operations.rotations:
            return {**facts, "issuer": "a"}
        phases: tuple[dict[str, Any], ...] = (
            {"issuer": "a", "phase": "trust", "waiting": [ONE]}, {"issuer": "b", "phase": "issue"}, {"issuer": "b", "waiting": [ONE]},
        )  # fmt: skip
        at = asked.count(1) - 1
        return {**facts, **(phases[at] if at < len(phases) else {"issuer": "b"})}

    monkeypatch.setattr(operations, "authority", authority)
    found = shown(plane, "rotate", "--authority")
    assert (found["certificate_authority"]["issuer"], operations.rotations) == ("b", 1)
    assert asked.count(1) >= 4


def test_upgrade_starts_the_backups_agent_first_and_leaves_alone_what_is_up_to_date(plane: RealPlane) -> None:
    found = shown(plane, "upgrade")
    assert [(one["id"], one["before"], one["how"]) for one in found["upgraded"]] == [
        (OTHER, "0.0.1", "restart"), (ONE, "0.0.1", "restart"),
    ]  # fmt: skip
    assert {amphora.agent_version for amphora in amphorae(plane).values()} == {__version__}
    assert shown(plane, "upgrade", "web")["upgraded"] == []
    assert len(shown(plane, "upgrade", "--force")["upgraded"]) == 2
    done = octaviactl("upgrade", "--home", plane.home)
    assert done.stdout == f"0 of 2 agents were started anew; all have {__version__}\n"


def test_upgrade__an_agent_that_is_old_afterwards_is_an_error(plane: RealPlane) -> None:
    plane.plane.care_version = "0.0.2"
    done = octaviactl("upgrade", "--home", plane.home)
    assert done.returncode == exit_codes.FAILED
    assert f"has version 0.0.2, not {__version__}" in done.stderr
    assert "its agent is started anew" in done.stdout


def test_upgrade__an_amphora_whose_agent_does_not_come_back_is_replaced(
    plane: RealPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amphora_operations, "RESTART_SECONDS", 1)
    plane.plane.care_version = None
    found = shown(plane, "upgrade")
    assert [one["how"] for one in found["upgraded"]] == ["replace", "replace"]
    assert not {ONE, OTHER} & set(amphorae(plane))


def test_what_takes_too_long_fails_and_goes_on(plane: RealPlane) -> None:
    plane.plane.care = False
    done = octaviactl("failover", "web", "--timeout", "0.1", "--home", plane.home)
    assert done.returncode == exit_codes.FAILED
    assert "is not over after 0.1 s; it goes on" in done.stderr
    assert all(amphora.retiring for amphora in amphorae(plane).values())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["failover", "nope"], exit_codes.NOT_FOUND, "no load balancer nope"),
        (["failover", "--amphora", "99"], exit_codes.NOT_FOUND, "no amphora 99"),
        (["failover"], exit_codes.USAGE, "Name a load balancer, or an amphora"),
        (["failover", "--amphora", "1"], exit_codes.USAGE, "the first digits of 2 amphorae"),
        (["rotate"], exit_codes.USAGE, "Name amphorae, or give"),
        (["rotate", "--all", "--authority"], exit_codes.USAGE, "Name amphorae, or give"),
        (["drain", "99"], exit_codes.NOT_FOUND, "no amphora 99"),
    ],
)
def test_what_is_not_there_and_wrong_usage(plane: RealPlane, words: list[str], code: int, says: str) -> None:
    done = octaviactl(*words, "--home", plane.home)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


def test_one_that_is_alone_is_not_drained(plane: RealPlane) -> None:
    plane.run(plane.plane.store.write(lambda tx: tx.delete_amphora(OTHER)))
    done = octaviactl("drain", ONE, "--home", plane.home)
    assert done.returncode == exit_codes.FAILED
    assert "no other amphora of its load balancer could take its VIPs" in done.stderr
    assert replace(amphorae(plane)[ONE]).requests == frozenset()


def test_without_a_control_plane() -> None:
    for words in (["failover", "web"], ["drain", ONE], ["rotate", "--all"], ["upgrade"]):
        assert octaviactl(*words, "--home", "/nonexistent").returncode == exit_codes.NO_CONTROL_PLANE
