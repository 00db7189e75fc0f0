# SPDX-License-Identifier: Apache-2.0
"""octaviactl failover, drain, rotate, upgrade: what is asked, what is waited for, what is shown; exit codes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider import __version__
from octavia_provider.cli import amphora_operations, exit_codes, waiting
from octavia_provider.client.client import Client
from octavia_provider.client.embedded import DoesNotRun
from octavia_provider.model.errors import NotFound
from octavia_provider.model.events import Reason
from octavia_provider.ports import DRAIN, Amphora
from real_plane import RealPlane

ONE, OTHER = "1a000000-0000-0000-0000-000000000001", "1b000000-0000-0000-0000-000000000002"


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealPlane]:
    """A load balancer whose pair does as it is told."""
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)
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
    for _ in range(2):  # the second one changes nothing, and is no event
        assert not any(one["draining"] for one in shown(plane, "drain", ONE, "--undo")["amphorae"])
    lines = octaviactl(
        "events", "--json", "-r", "AmphoraDrained", "-r", "DrainUndone", "--home", plane.home
    ).stdout.splitlines()
    told = [(one["reason"], one["amphora_id"]) for one in map(json.loads, lines)]
    assert told == [("AmphoraDrained", ONE), ("DrainUndone", ONE)]


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
    other = plane.make("other")["id"]
    third = Amphora(id="1c", load_balancer_id=other, role="STANDALONE", status="ALLOCATED", agent_version=__version__)
    plane.run(plane.plane.store.write(lambda tx: tx.put_amphora(third)))
    done = octaviactl("upgrade", "web", "--home", plane.home)
    assert done.stdout == f"0 of 2 agents were started anew; all have {__version__}\n"
    leaving = replace(third, id="1d", load_balancer_id=found["upgraded"][0]["loadbalancer_id"], status="PENDING_DELETE")
    plane.run(plane.plane.store.write(lambda tx: tx.put_amphora(leaving)))
    assert octaviactl("upgrade", "web", "--home", plane.home).stdout == done.stdout


def test_upgrade__an_agent_that_is_old_afterwards_is_an_error(plane: RealPlane) -> None:
    plane.plane.care_version = "0.0.2"
    done = octaviactl("upgrade", "--home", plane.home)
    assert done.returncode == exit_codes.FAILED
    assert f"has version 0.0.2, not {__version__}" in done.stderr
    assert "amphora 1b000000 (stands by): its agent is started anew" in done.stdout


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


def test_interrupted__it_says_that_the_failover_goes_on(plane: RealPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    plane.plane.care = False
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupt))
    done = octaviactl("failover", "web", "--home", plane.home)
    assert done.returncode == exit_codes.INTERRUPTED
    assert "load balancer web: what was begun goes on. Try: octaviactl events --follow" in done.stderr
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
        (["drain", ""], exit_codes.USAGE, "is empty"),
        (["failover", ""], exit_codes.USAGE, "is empty"),
    ],
)
def test_what_is_not_there_and_wrong_usage(plane: RealPlane, words: list[str], code: int, says: str) -> None:
    done = octaviactl(*words, "--home", plane.home)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


HOST = "2a000000-0000-0000-0000-000000000003"


@pytest.fixture
def grouped(plane: RealPlane) -> RealPlane:
    """The pair sits on two amphorae of a group."""
    group = plane.run(plane.plane.make("amphora_group", name="shared"))["id"]
    hosts = [HOST, HOST.replace("2a", "2b")]
    made = [
        Amphora(id=i, load_balancer_id=group, role="GROUP", status="ALLOCATED", agent_version="0.0.1") for i in hosts
    ]
    seats = [replace(amphorae(plane)[i], host_id=host) for i, host in zip((ONE, OTHER), hosts, strict=True)]
    plane.run(plane.plane.store.write(lambda tx: [tx.put_amphora(one) for one in (*made, *seats)]))
    return plane


def test_an_amphora_of_a_group_is_failed_over_and_drained_with_all_that_is_on_it(grouped: RealPlane) -> None:
    found = shown(grouped, "drain", HOST)
    assert {one["id"]: one["draining"] for one in found["amphorae"]} == {HOST: True, HOST.replace("2a", "2b"): False}
    assert amphorae(grouped)[ONE].requests == {DRAIN}
    done = octaviactl("drain", "2b", "--home", grouped.home)
    assert (done.returncode, f"octaviactl drain {HOST} --undo" in done.stderr) == (exit_codes.FAILED, True)
    shown(grouped, "drain", HOST, "--undo")
    assert amphorae(grouped)[ONE].requests == frozenset()
    found = shown(grouped, "failover", "--amphora", "2a")
    assert found["replaced"] == [HOST]
    assert {one["role"] for one in found["amphorae"]} == {"GROUP"}
    assert HOST not in amphorae(grouped)


def test_a_group_s_name_where_a_load_balancer_is_meant(grouped: RealPlane) -> None:
    for command in ("failover", "upgrade"):
        done = octaviactl(command, "shared", "--home", grouped.home)
        assert done.returncode == exit_codes.NOT_FOUND
        assert f"shared is an amphora group, whose amphorae ({HOST}, {HOST.replace('2a', '2b')})" in done.stderr


def test_agents_and_certificates_are_those_of_the_amphorae_of_the_group(grouped: RealPlane) -> None:
    upgraded = shown(grouped, "upgrade", "web")["upgraded"]
    assert [(one["id"], one["loadbalancer_id"]) for one in upgraded] == [(HOST, None), (HOST.replace("2a", "2b"), None)]
    assert shown(grouped, "upgrade")["upgraded"] == []
    found = shown(grouped, "rotate", ONE)
    assert [(one["id"], one["cert_expiration"]) for one in found["amphorae"]] == [(HOST, "2099-01-01T00:00:00")]
    done = octaviactl("drain", ONE, "--home", grouped.home)
    assert f"{ONE}  MASTER on {HOST[:8]}" in done.stdout


def test_one_that_is_alone_is_not_drained(plane: RealPlane) -> None:
    plane.run(plane.plane.store.write(lambda tx: tx.delete_amphora(OTHER)))
    done = octaviactl("drain", ONE, "--home", plane.home)
    assert done.returncode == exit_codes.FAILED
    assert "no other amphora of its load balancer could take its VIPs" in done.stderr
    assert replace(amphorae(plane)[ONE]).requests == frozenset()


def test_without_a_control_plane() -> None:
    for words in (["failover", "web"], ["drain", ONE], ["rotate", "--all"], ["upgrade"]):
        assert octaviactl(*words, "--home", "/nonexistent").returncode == exit_codes.NO_CONTROL_PLANE


def test_an_event_that_comes_again_and_again_meanwhile_is_told_once(
    plane: RealPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.plane.care = False
    balancer = amphorae(plane)[ONE].load_balancer_id
    event = Reason.AmphoraFailed.event("no address is free", load_balancer_id=balancer, amphora_id=ONE)
    again = []

    def pending(client: Client, balancer_id: str) -> bool:
        again.append(balancer_id)
        plane.run(plane.plane.store.write(lambda tx: tx.record(event)))
        return len(again) < 4

    monkeypatch.setattr(amphora_operations, "is_pending", pending)
    monkeypatch.setattr(amphora_operations, "list_amphorae", lambda client, balancer_id=None: [])
    done = octaviactl("failover", "web", "--home", plane.home)
    assert (done.returncode, len(again)) == (exit_codes.OK, 4)
    assert done.stdout.count("no address is free") == 1


def test_a_control_plane_that_ends_meanwhile_has_its_own_code_and_the_failover_goes_on(
    plane: RealPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pending(client: Client, balancer_id: str) -> bool:
        raise DoesNotRun("does not run, and nothing is started for a look.", subject="the embedded control plane")

    monkeypatch.setattr(amphora_operations, "is_pending", pending)
    done = octaviactl("failover", "web", "--home", plane.home)
    assert done.returncode == exit_codes.NO_CONTROL_PLANE
    assert "what was begun goes on as soon as a control plane runs" in done.stderr
    assert "octaviactl start" in done.stderr


def test_what_is_deleted_meanwhile_is_named_as_it_was_typed(plane: RealPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    def pending(client: Client, balancer_id: str) -> bool:
        raise NotFound(f"load balancer {balancer_id} does not exist in this control plane")

    monkeypatch.setattr(amphora_operations, "is_pending", pending)
    done = octaviactl("failover", "web", "--home", plane.home)
    assert done.returncode == exit_codes.NOT_FOUND
    assert "load balancer web: it is gone, or being deleted" in done.stderr
    plane.plane.held.clear()
    plane.run(
        plane.plane.call("DELETE", f"/lbaas/loadbalancers/{amphorae(plane).popitem()[1].load_balancer_id}?cascade=true")
    )
    done = octaviactl("failover", "web", "--home", plane.home)
    assert (done.returncode, "load balancer web: it is gone" in done.stderr) == (exit_codes.NOT_FOUND, True)


def test_status_shows_what_amphorae_do_and_what_is_done_to_them(plane: RealPlane) -> None:
    plane.plane.care = False
    plane.run(plane.plane.store.write(lambda tx: tx.ask([OTHER], DRAIN)))
    plane.run(plane.plane.store.write(lambda tx: tx.retire([ONE])))
    done = octaviactl("status", "web", "--home", plane.home)
    assert f"amphora {ONE}  MASTER  has the VIPs, is being replaced" in done.stdout
    assert f"amphora {OTHER}  BACKUP  stands by, drained" in done.stdout
    plane.run(plane.plane.store.write(lambda tx: tx.delete_amphora(OTHER)))
    plane.plane.status_cache.vrrp.clear()
    done = octaviactl("status", "web", "--home", plane.home)
    assert f"amphora {ONE}  MASTER  PENDING_DELETE" in done.stdout, (
        "failover --amphora takes its id, also of one that is alone"
    )
