# SPDX-License-Identifier: Apache-2.0
"""The faults: how each is done to an installation, what shows that it is over, and whether it may cost a request.

What is here is of one balancer with one amphora; where two stand for one another, the same faults are to cost less.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netns.installation import Stack, ask, until
from netns.processes import command, parent

Condition = Callable[[], bool]
Do = Callable[[Stack], Condition]


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind``: killed, hung, full, starved, garbled. ``do`` brings it about, and answers what shows that it is over (with
    what a test has to undo before that undone). ``harmless``: no client notices it."""

    kind: str
    name: str
    do: Do
    harmless: bool = False


def answers(stack: Stack) -> bool:
    """Whether a request is answered now."""
    try:
        return ask(stack.url, timeout=2.0)[0] == 200
    except OSError:
        return False


def online(stack: Stack) -> bool:
    return answers(stack) and stack.operating("load_balancer", stack.load_balancer["id"]) == "ONLINE"


def changes(stack: Stack) -> None:
    """A change is put in force: control plane, agent and haproxy do their work."""
    stack.change("listener", stack.listener["id"], timeout_client_data=6000 + changes_made(stack))


def changes_made(stack: Stack) -> int:
    return int(stack.site.get("listener", stack.listener["id"])["timeout_client_data"]) % 1000 + 1


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def kill_control_plane(stack: Stack) -> Condition:
    stack.site.kill()
    stack.site.start()
    return lambda: online(stack)


def kill_agent(stack: Stack) -> Condition:
    old = stack.site.agent()
    os.kill(old, signal.SIGKILL)
    return lambda: stack.site.agents() not in ([], [old]) and online(stack)


def kill_worker(stack: Stack) -> Condition:
    return _ended(stack, stack.site.workers(), signal.SIGKILL)


def kill_master(stack: Stack) -> Condition:
    return _ended(stack, stack.site.masters(), signal.SIGKILL)


def _ended(stack: Stack, victims: list[int], number: signal.Signals) -> Condition:
    before = set(stack.site.workers())
    for pid in victims:
        os.kill(pid, number)
    return lambda: bool(set(stack.site.workers()) - before) and not before & set(stack.site.workers()) and online(stack)


def relays(stack: Stack) -> list[int]:
    """The processes that publish listeners: haproxies that the holder itself has started."""
    holder = stack.site.holder
    return [pid for pid in stack.site.processes() if parent(pid) == holder and "-db" in command(pid)]


def kill_relay(stack: Stack) -> Condition:
    old = relays(stack)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    return lambda: bool(relays(stack)) and not set(old) & set(relays(stack)) and online(stack)


def kill_first_process(stack: Stack) -> Condition:
    agent = stack.site.agent()
    os.kill(parent(agent), signal.SIGKILL)
    return lambda: stack.site.agents() not in ([], [agent]) and online(stack)


def kill_holder(stack: Stack) -> Condition:
    old = stack.site.holder
    os.kill(old, signal.SIGKILL)
    return lambda: _another_holder(stack, old) and online(stack)


def _another_holder(stack: Stack, old: int) -> bool:
    try:
        return stack.site.holder != old
    except AssertionError:  # there is none
        return False


def kill_control_plane_and_holder(stack: Stack) -> Condition:
    holder = stack.site.holder
    stack.site.kill()
    os.kill(holder, signal.SIGKILL)
    stack.site.start()
    return lambda: online(stack)


# ── hung ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def hang_worker(stack: Stack) -> Condition:
    return _ended(stack, stack.site.workers(), signal.SIGSTOP)


def hang_master(stack: Stack) -> Condition:
    return _ended(stack, stack.site.masters(), signal.SIGSTOP)


def hang_agent_and_spoil_its_settings(stack: Stack) -> Condition:
    """It is started anew with its files, once it has been silent for too long."""
    old = stack.site.agent()
    assert stack.site.in_amphora("sh", "-c", ": > /etc/octavia-amphora/agent.json").returncode == 0
    os.kill(old, signal.SIGSTOP)
    return lambda: stack.site.agents() not in ([], [old]) and online(stack)


def hang_control_plane(stack: Stack) -> Condition:
    assert stack.site.process
    pid = stack.site.process.pid
    os.kill(pid, signal.SIGSTOP)
    for _ in range(50):
        ask(stack.url)
    os.kill(pid, signal.SIGCONT)
    return lambda: online(stack)


# ── full, starved, garbled ───────────────────────────────────────────────────────────────────────────────────────────
def fill_disk(stack: Stack) -> Condition:
    """The disk of the database and of the agent's records: nothing can be changed; all else goes on."""
    with full(stack.site.home):
        agent = stack.site.agent()
        os.kill(agent, signal.SIGKILL)
        until(
            lambda: stack.site.agents() not in ([], [agent]) and online(stack),
            what="the agent to be there again",
            seconds=60,
        )
    until(lambda: _can_change(stack), what="a change with space again", seconds=60)
    return lambda: online(stack)


def _can_change(stack: Stack) -> bool:
    from octavia_provider.model.errors import TransientError

    try:
        changes(stack)
    except TransientError:
        return False
    return True


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A disk (of ``folder``) without a byte of room."""
    filler = folder / "fill"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
        yield
    finally:
        filler.unlink()


@contextmanager
def few_files(pid: int, more: int = 0) -> Iterator[None]:
    """A process that may open so many files more than it has open (new ones get the lowest numbers that are free)."""
    looks: list[set[int]] = []

    def looked() -> bool:
        looks.append({int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()})
        return len(looks) == 10

    until(looked, what="ten looks")
    taken = set.intersection(*looks)  # without those that are open for a moment only, and free in the next one
    free = next(number for number in range(len(taken) + 1) if number not in taken)
    words = next(
        one for one in Path(f"/proc/{pid}/limits").read_text().splitlines() if one.startswith("Max open files")
    )
    soft, hard = words.split()[3:5]
    _limit(pid, f"{free + more}:{hard}")
    try:
        yield
    finally:
        _limit(pid, f"{soft}:{hard}")


def _limit(pid: int, files: str) -> None:
    """Of an agent from within its own user namespace: another's limits are for those to set who may set all of the machine's."""
    change = ["prlimit", "--pid", str(pid), f"--nofile={files}"]
    if Path(f"/proc/{pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink():
        change = ["nsenter", "--target", str(pid), "--user", *change]
    subprocess.run(change, check=True, timeout=20)


def starve_control_plane(stack: Stack) -> Condition:
    """Its log stays short, and it is well again as soon as it may open files."""
    assert stack.site.process
    log = stack.site.home / "control-plane.log"
    before = len(log.read_text().splitlines())
    with few_files(stack.site.process.pid):
        _nobody_answers(stack.site.home / "api.sock", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(100):
            ask(stack.url)
    assert len(log.read_text().splitlines()) - before < 500
    return lambda: online(stack)


def _nobody_answers(path: Path, question: bytes) -> None:
    """Who serves there has no descriptor for us: the kernel lets us wait."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(2.0)
        asking.connect(str(path))
        asking.sendall(question)
        with contextlib.suppress(TimeoutError):
            raise AssertionError(f"there was a descriptor: {asking.recv(100)!r}")


def starve_holder(stack: Stack) -> Condition:
    """With the holder the whole cloud ends: it must outlive anything. Who asks it meanwhile waits."""
    holder = stack.site.holder
    with few_files(holder):
        _nobody_answers(stack.site.home / "cloud" / "holder.sock", b'{"do":"networks"}\n')
        for _ in range(100):
            ask(stack.url)
    assert stack.site.holder == holder
    return lambda: stack.site.holder == holder and online(stack)


def starve_agent(stack: Stack) -> Condition:
    """A change has to wait, and nobody is blamed for it."""
    agent = stack.site.agent()
    with few_files(agent):
        given = {"timeout_client_data": 6000 + changes_made(stack)}
        from octavia_provider.client.deadline import Deadline

        stack.site.client.update("listener", stack.listener["id"], given, deadline=Deadline(1.0))
        until(
            lambda: stack.site.get("load_balancer", stack.load_balancer["id"])["provisioning_error"], what="the reason"
        )
        shown = stack.site.get("listener", stack.listener["id"])
        assert shown["provisioning_status"] == "PENDING_UPDATE", shown
    return lambda: stack.site.get("listener", stack.listener["id"])["provisioning_status"] == "ACTIVE" and online(stack)


def garble_records(stack: Stack) -> Condition:
    agent = stack.site.agent()
    for path in (stack.site.home / "cloud" / "amphorae").glob("*/*/*.json"):
        path.write_bytes(b"\x00garbage")
    os.kill(agent, signal.SIGKILL)
    until(lambda: stack.site.agents() not in ([], [agent]), what="the agent to be started anew")
    until(lambda: _can_change(stack), what="a change to be put in force", seconds=60)
    return lambda: online(stack)


FAULTS = (
    Fault("killed", "control plane", kill_control_plane, harmless=True),
    Fault("killed", "agent", kill_agent, harmless=True),
    Fault("killed", "haproxy's worker", kill_worker),
    Fault("killed", "haproxy's master", kill_master),
    Fault("killed", "relay", kill_relay),
    Fault("killed", "amphora's first process", kill_first_process),
    Fault("killed", "holder", kill_holder),
    Fault("killed", "control plane and holder", kill_control_plane_and_holder),
    Fault("hung", "haproxy's worker", hang_worker),
    Fault("hung", "haproxy's master", hang_master),
    Fault("hung", "agent, its settings garbled", hang_agent_and_spoil_its_settings, harmless=True),
    Fault("hung", "control plane", hang_control_plane, harmless=True),
    Fault("full", "disk, the agent killed", fill_disk, harmless=True),
    Fault("starved", "control plane", starve_control_plane, harmless=True),
    Fault("starved", "holder", starve_holder, harmless=True),
    Fault("starved", "agent", starve_agent, harmless=True),
    Fault("garbled", "agent's records", garble_records, harmless=True),
)
"""All of them."""

__all__ = ["FAULTS", "Fault"]
