# SPDX-License-Identifier: Apache-2.0
"""The engine and the plugin are killed at every boundary; the next ``up`` converges, nothing double, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from octavia_engine import stacks
from octavia_provider.model.errors import Conflict

FIRST = """
lb = Balancer("lb", subnetId="net-1", key=pulumi.Output.secret("k3y"))
li = Listener("web", balancerId=lb.id, port=80)
ms = [Member(f"m{i}", balancerId=lb.id, address=f"10.0.0.{i}", weight=1) for i in range(2)]
"""
SECOND = """
lb = Balancer("lb", subnetId="net-1", key=pulumi.Output.secret("k3y"))
li = Listener("web", balancerId=lb.id, port=81)
ms = [Member("m0", balancerId=lb.id, address="10.0.1.0", weight=1), Member("m2", balancerId=lb.id, address="a", weight=2)]
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from octavia_engine import journal, run, secrets
secrets.ROUNDS = 10
at, how = int(sys.argv[1]), sys.argv[2]
write, count = journal.Journal._write, 0
def dying(self, data):
    global count
    count += 1
    if count == at:
        if how == "torn":
            os.write(self._file, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, data)
journal.Journal._write = dying
if how == "renaming":
    Path.replace = lambda self, to: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(0 if run.up(Path.cwd(), "dev").ok else 1)
"""
ONCE = frozenset({"probe"})
COMMAND_LINE = """
from octavia_provider.cli.main import octaviactl
from octavia_engine import secrets
secrets.ROUNDS = 10
octaviactl()
"""
CREATING = [(at, "before") for at in (1, 2, 3, 4, 6)] + [(4, "torn")]
REPLACING = [(at, "before") for at in range(1, 11)] + [(4, "torn"), (9, "torn"), (99, "renaming")]


def run_until_killed(stack: Any, at: int, how: str, **environment: str) -> int:
    command = [sys.executable, "-c", KILLED, str(at), how]
    done = subprocess.run(
        command, cwd=stack.folder, env=stack.child_environment(**environment), capture_output=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def assert_converged(stack: Any, names: set[str]) -> None:
    """State and cloud agree, and there is nothing more to do."""
    resources = stack.resources()
    assert set(resources) == names
    assert {resource["id"] for resource in resources.values()} == set(stack.cloud())
    deployment = stack.deployment()
    assert not deployment.get("pending_operations")
    assert not [
        r for r in deployment["resources"] if r.get("delete") or r.get("pendingReplacement") or r.get("initErrors")
    ]
    result, shown = stack.run("preview")
    assert not result.summary.changed, shown


@pytest.mark.parametrize(("at", "how"), CREATING)
def test_the_engine_is_killed_while_it_creates(at: int, how: str, stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    stack.program(FIRST)
    run_until_killed(stack, at, how, PROBE_ADOPT="1")
    result, shown = stack.up()
    assert result.ok, shown
    assert_converged(stack, {"lb", "web", "m0", "m1"})


@pytest.mark.parametrize(("at", "how"), REPLACING)
def test_the_engine_is_killed_while_it_replaces_both_ways_and_deletes(
    at: int, how: str, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    assert stack.up(FIRST)[0].ok
    stack.program(SECOND)
    run_until_killed(stack, at, how, PROBE_ADOPT="1")
    result, shown = stack.up()
    assert result.ok, shown
    assert_converged(stack, {"lb", "web", "m0", "m2"})


@pytest.mark.parametrize(("at", "how"), REPLACING)
def test_the_engine_is_killed_while_it_replaces_and_the_program_is_reverted(
    at: int, how: str, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    assert stack.up(FIRST)[0].ok
    stack.program(SECOND)
    run_until_killed(stack, at, how, PROBE_ADOPT="1")
    stack.program(FIRST)
    result, shown = stack.run("up", creates_once=ONCE)
    assert result.ok, shown
    assert_converged(stack, {"lb", "web", "m0", "m1"})


@pytest.mark.parametrize("die", ["Create:web:before", "Create:web:after"])
def test_the_plugin_dies_in_create(die: str, stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    monkeypatch.setenv("PROBE_DIE", die)
    result, shown = stack.up(FIRST)
    assert not result.ok
    assert "the plugin of probe ended during Create; whether it took effect is not known" in shown
    pending = stack.deployment()["pending_operations"]
    assert "urn:pulumi:dev::prog::probe:index:Listener::web" in [op["resource"]["urn"] for op in pending]
    monkeypatch.delenv("PROBE_DIE")
    result, shown = stack.up()
    assert result.ok, shown
    assert "an earlier run was interrupted while creating it" in shown
    assert_converged(stack, {"lb", "web", "m0", "m1"})


def test_the_plugin_dies_in_the_create_of_a_replacement(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    assert stack.up(FIRST)[0].ok
    monkeypatch.setenv("PROBE_DIE", "Create:m0:after")
    assert not stack.up(SECOND)[0].ok
    monkeypatch.delenv("PROBE_DIE")
    result, shown = stack.up()
    assert result.ok, shown
    assert_converged(stack, {"lb", "web", "m0", "m2"})


def test_the_plugin_dies_in_update_and_the_program_is_reverted(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.up(FIRST)[0].ok
    monkeypatch.setenv("PROBE_DIE", "Update:m0:after")
    assert not stack.up(FIRST.replace("weight=1", "weight=7"))[0].ok
    monkeypatch.delenv("PROBE_DIE")
    stack.calls()
    result, shown = stack.up(FIRST)
    assert result.ok, shown
    assert ("Update", "m0") in stack.mutations()
    assert {obj["weight"] for ident, obj in stack.cloud().items() if ident.startswith("member")} == {1}


def test_a_journal_of_another_checkpoint_is_refused(stack: Any) -> None:
    assert stack.up(FIRST)[0].ok
    run_until_killed(stack.program(SECOND) or stack, 4, "before")
    path = stack.backend.path("prog", "dev")
    path.write_text(path.read_text().replace('"net-1"', '"net-9"'))
    with pytest.raises(Exception, match="since then something else has changed the stack"):
        stack.up()


def test_ctrl_c_keeps_what_was_done_and_the_next_run_goes_on(stack: Any) -> None:
    stack.program(FIRST + "\nimport os, signal\nlb.id.apply(lambda _: os.kill(os.getppid(), signal.SIGINT))\n")
    command = [sys.executable, "-c", COMMAND_LINE, "up", "--yes", "--skip-preview"]
    done = subprocess.run(
        command, cwd=stack.folder, env=stack.child_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stdout + done.stderr
    assert "lb" in stack.resources()
    result, shown = stack.up(FIRST)
    assert result.ok, shown
    assert_converged(stack, {"lb", "web", "m0", "m1"})


@pytest.mark.parametrize("command", ["preview", "up"])
def test_ctrl_c_ends_a_program_that_waits_for_itself(command: str, stack: Any) -> None:
    stack.program(
        FIRST + "\nimport os, signal, threading\nos.kill(os.getppid(), signal.SIGINT)\nthreading.Event().wait()\n"
    )
    more = ["--yes", "--skip-preview"] if command == "up" else []
    done = subprocess.run(
        [sys.executable, "-c", COMMAND_LINE, command, *more], cwd=stack.folder, env=stack.child_environment(),
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 130, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    result, shown = stack.up(FIRST)
    assert result.ok, shown


def test_a_stack_in_use_is_refused_and_a_dead_holder_is_not_waited_for(stack: Any) -> None:
    with stack.backend.lock("prog", "dev"), pytest.raises(Exception, match=f"it is in use by .*pid {os.getpid()}"):
        stack.up(FIRST)
    run_until_killed(stack, 3, "before")
    assert list(stack.backend.root.glob(".pulumi/locks/**/*.json"))
    assert stack.up(FIRST)[0].ok
    assert not list(stack.backend.root.glob(".pulumi/locks/**/*.json"))


def test_a_lock_of_the_cli_is_respected(stack: Any) -> None:
    folder = stack.backend.root / ".pulumi/locks/organization/prog/dev"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text(json.dumps({"pid": 1, "username": "ann", "hostname": "here"}))
    with pytest.raises(Exception, match="in use by ann@here, pid 1"):
        stack.up(FIRST)


@pytest.mark.parametrize("at", [3, 4, 5, 6])
@pytest.mark.parametrize("end", ["destroy", "another program"])
def test_what_a_killed_run_was_creating_is_taken_up_and_deleted(
    at: int, end: str, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    stack.program(FIRST)
    run_until_killed(stack, at, "before", PROBE_ADOPT="1")
    stack.program("")
    kind = "destroy" if end == "destroy" else "up"
    result, shown = stack.run(kind, creates_once=ONCE)
    assert result.ok, shown
    assert stack.cloud() == {}
    assert not stack.deployment().get("pending_operations")
    if end == "destroy":
        stacks.remove(stack.folder, "dev")


@pytest.mark.parametrize("end", ["destroy", "the program before"])
def test_a_replacement_that_nobody_saw_the_end_of_is_no_orphan(
    end: str, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    assert stack.up(FIRST)[0].ok
    monkeypatch.setenv("PROBE_DIE", "Create:m0:after")
    assert not stack.up(SECOND)[0].ok
    monkeypatch.delenv("PROBE_DIE")
    kind = "destroy" if end == "destroy" else "up"
    stack.program(FIRST)
    result, shown = stack.run(kind, creates_once=ONCE)
    assert result.ok, shown
    if end == "destroy":
        assert stack.cloud() == {}
    else:
        assert_converged(stack, {"lb", "web", "m0", "m1"})


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("then", [FIRST, SECOND], ids=["the program before", "the same program"])
def test_a_delete_before_a_replacement_that_nobody_saw_the_end_of(
    when: str, then: str, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    assert stack.up(FIRST)[0].ok
    monkeypatch.setenv("PROBE_DIE", f"Delete:web:{when}")
    assert not stack.up(SECOND)[0].ok
    monkeypatch.delenv("PROBE_DIE")
    pending = stack.deployment()["pending_operations"]
    assert ("deleting", "web") in {(op["type"], op["resource"]["urn"].rpartition("::")[2]) for op in pending}
    stack.program(then)
    result, shown = stack.run("up", creates_once=ONCE)
    assert result.ok, shown
    assert "an earlier run was interrupted while deleting it" in shown
    assert_converged(stack, {"lb", "web", "m0", "m1" if then == FIRST else "m2"})


def test_what_was_deleted_unseen_is_destroyed_without_a_trace(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_ADOPT", "1")
    assert stack.up(FIRST)[0].ok
    monkeypatch.setenv("PROBE_DIE", "Delete:web:after")
    assert not stack.up(SECOND)[0].ok
    monkeypatch.delenv("PROBE_DIE")
    result, shown = stack.run("destroy", creates_once=ONCE)
    assert result.ok, shown
    assert stack.cloud() == {}
    stacks.remove(stack.folder, "dev")


def test_what_another_provider_was_creating_is_told_of_and_keeps_the_stack(
    stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_DIE", "Create:lb:after")
    assert not stack.up(FIRST)[0].ok
    monkeypatch.delenv("PROBE_DIE")
    result, shown = stack.run("destroy")
    assert result.ok, shown
    assert "nobody knows whether it exists" in shown
    assert "octaviactl stack forget lb" in shown
    assert set(stack.cloud()) == {"balancer-1"}
    with pytest.raises(Conflict, match="a run was interrupted while it made lb"):
        stacks.remove(stack.folder, "dev")
    stacks.forget(stack.folder, "dev", stacks.find_urns(stack.folder, "dev", ["lb"]))
    stacks.remove(stack.folder, "dev")


def test_what_cannot_be_taken_up_stays_noted_and_says_the_way_out(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_DIE", "Create:lb:before")
    text = FIRST.replace('k3y")', 'k3y"), failCreate=True')
    assert not stack.up(text)[0].ok
    monkeypatch.delenv("PROBE_DIE")
    result, shown = stack.run("destroy", creates_once=ONCE)
    assert not result.ok
    assert "it cannot be removed: no compute host has room" in shown
    assert "octaviactl stack forget lb" in shown
    assert stack.deployment()["pending_operations"]


def test_ctrl_c_at_any_moment_leaves_no_noise(stack: Any) -> None:
    stack.program(FIRST)
    for module in ("octavia_engine.run", "grpc", "google.protobuf.struct_pb2"):
        interrupting = f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from octavia_provider.cli.main import main
main()
"""
        done = subprocess.run(
            [sys.executable, "-c", interrupting, "up", "--yes"],
            cwd=stack.folder, env=stack.child_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 130, done.stdout + done.stderr
        for noise in ("Traceback", "Event loop is closed", "never awaited"):
            assert noise not in done.stdout + done.stderr
