# SPDX-License-Identifier: Apache-2.0
"""The filter, the users, the limits and what is shown, without a kernel; tests/netns/test_boundaries.py attacks the whole."""

from __future__ import annotations

import errno
import functools
import itertools
import re
import struct
import sys
from pathlib import Path

import pytest

from octavia_provider.clouds.netns.holder import errors, interpreter, kernel, limits, roots, seccomp, users

ALLOW, KILL = 0x7FFF0000, 0x80000000
HEADERS = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "/usr/include/asm-generic/unistd.h"}


@functools.cache
def program(machine: str, packets: bool = False) -> list[tuple[int, ...]]:
    text = seccomp.program(machine, packets=packets)
    return [struct.unpack_from("=HBBI", text, at) for at in range(0, len(text), 8)]


def run(
    machine: str,
    number: int,
    argument: int = 0,
    architecture: int | None = None,
    *,
    second: int = 0,
    packets: bool = False,
) -> int:
    """What the filter answers: an interpreter of the few instructions that it is made of (linux/bpf_common.h)."""
    given = seccomp.ARCHITECTURES[machine] if architecture is None else architecture
    data = struct.pack("=IIQ6Q", number, given, 0, argument, second, 0, 0, 0, 0)
    code = program(machine, packets)
    accumulator, at = 0, 0
    while True:
        what, yes, no, constant = code[at]
        at += 1
        match what:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, constant)[0]
            case 0x06:
                return int(constant)
            case 0x15 | 0x35 | 0x45:
                tests = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: accumulator & constant}
                at += yes if tests[what] else no


def refused(number: int) -> int:
    return 0x00050000 | number


MACHINES = pytest.mark.parametrize("machine", list(seccomp.ARCHITECTURES))


@MACHINES
def test_the_filter_refuses_its_list_and_lets_the_rest_pass(machine: str) -> None:
    column = list(seccomp.ARCHITECTURES).index(machine)
    listed = {numbers[column] for numbers in seccomp.REFUSED.values()} - {None}
    special = {(56, 220)[column], 435, (272, 97)[column], (41, 198)[column]}
    for number in range(600):
        if number not in special:
            assert run(machine, number) == (refused(errno.EPERM) if number in listed else ALLOW), number


@MACHINES
def test_processes_are_made_and_namespaces_are_not(machine: str) -> None:
    column = list(seccomp.ARCHITECTURES).index(machine)
    clone, unshare = (56, 220)[column], (272, 97)[column]
    assert run(machine, clone, 0x3D0F00) == ALLOW  # a thread, as libraries make it
    assert run(machine, clone, 17) == ALLOW  # fork
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert run(machine, clone, flag | 17) == run(machine, unshare, flag) == refused(errno.EPERM)
    assert run(machine, unshare, 0x80) == refused(errno.EPERM)
    assert run(machine, unshare, 0x400) == ALLOW  # the table of files: of this process alone
    assert run(machine, 435) == refused(errno.ENOSYS)


@MACHINES
def test_four_families_of_sockets(machine: str) -> None:
    socket = (41, 198)[list(seccomp.ARCHITECTURES).index(machine)]
    assert {family for family in range(64) if run(machine, socket, family) == ALLOW} == {1, 2, 10, 16}
    assert run(machine, socket, 40) == refused(errno.EAFNOSUPPORT)


@MACHINES
def test_who_announces_addresses_sends_packets_and_uses_no_option_of_such_sockets(machine: str) -> None:
    column = list(seccomp.ARCHITECTURES).index(machine)
    socket, setsockopt = (41, 198)[column], (54, 208)[column]
    families = {family for family in range(64) if run(machine, socket, family, packets=True) == ALLOW}
    assert families == {1, 2, 10, 16, 17}
    assert run(machine, setsockopt, 5, second=1, packets=True) == ALLOW
    assert run(machine, setsockopt, 5, second=263, packets=True) == refused(errno.EPERM)


def test_another_architectures_calls_end_the_process() -> None:
    assert run("x86_64", 0, architecture=0x40000003) == KILL
    assert run("x86_64", seccomp.X32 | 1) == refused(errno.ENOSYS)
    assert seccomp.program("riscv64") == b""


@MACHINES
def test_the_numbers_are_the_kernels_own(machine: str) -> None:
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip("linux-libc-dev is not installed")
    text = header.read_text()
    real = {m[1]: int(m[2]) for m in re.finditer(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    column = list(seccomp.ARCHITECTURES).index(machine)
    for name, numbers in seccomp.REFUSED.items():
        if name in real:
            assert numbers[column] == real[name], name
    assert len(real.keys() & seccomp.REFUSED.keys()) > 40


def test_no_two_tenants_share_a_user() -> None:
    blocks = users.Blocks("/var/lib/octavia")
    one, two = blocks.take("one"), blocks.take("two")
    inside = (*range(users.SYSTEM), users.NOBODY)
    mine = {users.outside(one, user) for user in inside} | {users.relay(one)}
    others = {users.outside(two, user) for user in inside} | {users.relay(two)}
    assert len(mine) == len(others) == len(inside) + 1
    assert not mine & others
    assert min(mine | others) >= users.FIRST > 1_879_048_191  # systemd's containers end there
    assert blocks.take("one") == one
    blocks.give_back("one")
    assert blocks.take("three") == one
    assert blocks.take("four") not in (one, two)


def test_every_home_has_its_range_below_what_systemd_keeps() -> None:
    last = users.FIRST + users.HOMES * users.CONTAINERS * users.EACH
    assert last <= 2_147_352_576
    blocks = users.Blocks("/x")
    names = (str(number) for number in itertools.count())
    given = [blocks.take(next(names)) for _ in range(users.CONTAINERS)]
    assert len(set(given)) == users.CONTAINERS
    with pytest.raises(errors.Problem, match="users for 4096"):
        blocks.take("one too many")


def test_a_person_is_the_same_inside_and_a_system_user_is_not() -> None:
    block = users.Blocks("/x").take("web")
    assert users.outside(block, 1000) == 1000
    assert users.outside(block, 0) == block
    assert users.mapping(block, [1000, 33]) == f"0 {block} 1000\n65534 {block + 1000} 1\n1000 1000 1\n"


def test_a_machine_without_user_namespaces_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "unshare")  # what the kernel says where user.max_user_namespaces is 0

    monkeypatch.setattr(kernel, "unshare", refuse)
    maps = (users.mapping(users.FIRST),) * 2
    with pytest.raises(errors.Problem, match="make a user namespace") as raised:
        users.namespace(users.FIRST, 512, maps, {})
    assert "max_user_namespaces" in raised.value.data["hint"]


def test_the_machine_limits_a_tenant_together_where_it_can(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    groups = limits.Groups("/home", tmp_path)
    assert groups.there
    assert groups.enter("host-web", 77, memory=1 << 30, processes=512)
    (folder,) = tmp_path.glob("octavia-*")
    assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids"
    told = {path.name: path.read_text() for path in (folder / "host-web").iterdir()}
    assert told == {"memory.max": str(1 << 30), "pids.max": str(512 + limits.SPARE), "cgroup.procs": "77"}


def test_groups_go_with_the_cloud(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    groups = limits.Groups("/home", tmp_path)
    (folder,) = tmp_path.glob("octavia-*")
    (folder / "host-left").mkdir()
    assert limits.Groups("/home", tmp_path).there  # of the next cloud, after one that was killed
    assert not (folder / "host-left").exists()
    (folder / "host-web").mkdir()
    (folder / "cgroup.subtree_control").unlink()  # the kernel's files are no hindrance to rmdir
    limits.remove("/home", tmp_path)
    assert not folder.exists()
    limits.remove("/home", tmp_path)
    groups.leave("host-web")


def test_a_machine_without_cgroup_v2_has_limits_of_processes_alone(tmp_path: Path) -> None:
    assert not limits.Groups("/home", tmp_path).there
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    groups = limits.Groups("/home", tmp_path)
    assert not groups.there
    assert not groups.enter("host-web", 77, memory=1, processes=1)
    groups.leave("host-web")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cgroup.subtree_control"]


def test_what_a_command_names_is_shown_unless_it_is_the_home(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    for folder in (home, project):
        folder.mkdir()
        (folder / "file").touch()
    (project / "link").symlink_to(home / "file")

    def shown(*words: str, **environment: str) -> list[str]:
        return roots.named_by(words, environment, str(home))

    assert shown("x", PYTHONPATH=f"{project}:{home}", NAME="web") == [str(project)]
    assert shown("python3", f"{project}/file", "-m", str(project)) == [str(project)]
    (tmp_path / "alone").touch()
    assert shown(str(tmp_path / "alone")) == [str(tmp_path / "alone")]  # its folder holds the home
    assert (
        shown(f"{home}/file", f"{project}/../home/file", f"{project}/link", str(tmp_path), "/tmp", "/usr/bin/env") == []
    )


def test_an_installation_that_only_root_can_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "packages" / "aiohttp" / "client.py"
    source.parent.mkdir(parents=True)
    source.touch(mode=0o644)
    monkeypatch.setattr(interpreter, "_sources", lambda: iter([source]))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "packages")])
    assert interpreter.unreadable() is None
    source.parent.chmod(0o700)
    assert interpreter.unreadable() == source.parent
    source.parent.chmod(0o755)
    source.chmod(0o600)
    assert interpreter.unreadable() == source


def test_the_folder_that_python_was_started_in_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m`` puts it first on its path: the control plane starts in ``/``, which has what is root's alone."""
    monkeypatch.setattr(sys, "path", ["/", *sys.path])
    assert "/" not in roots.python()
    assert sys.prefix in roots.python()
