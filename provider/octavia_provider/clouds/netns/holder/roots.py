# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: S108 - folders of roots that are made here, each with memory of its own, not of the machine
"""File systems of amphorae, hosts and relays: what of the machine is seen in them, all of it read-only.

An amphora and a relay see programs and libraries. A host sees what its user may read on the machine, as its command
expects, but for what leads out of the walls or is private: sockets and files in ``/run`` and ``/tmp``, devices, the
homes of root and of this installation.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from . import kernel, limits, namespaces, users

ROOT = f"{namespaces.SCRATCH}/root"
"""Where a root is put together before it becomes one."""
RELAYS = f"{namespaces.SCRATCH}/relays"
"""The root of all relays of the holder."""
PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (
    "alternatives", "ca-certificates", "crypto-policies", "gai.conf", "host.conf", "hosts", "iproute2",
    "keepalived/keepalived.config-opts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types",
    "nsswitch.conf", "os-release", "pki", "protocols", "python3", "resolv.conf", "services", "ssl", "timezone",
)  # fmt: skip
"""Of ``/etc``, where there is such a one. keepalived 2.3 does not begin without its options, which name how it was built."""
PRIVATE = ("/run", "/tmp", "/var/tmp", "/var/run", "/var/lock", "/root", "/boot", "/sys", "/lost+found")
"""Folders of the machine that a host sees empty; those that it may write to are told in ``host``."""
NODES = ("null", "zero", "full", "random", "urandom")
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
PASSWD = f"""root:x:0:0:root:/:/usr/sbin/nologin
haproxy:x:{users.HAPROXY}:{users.HAPROXY}:haproxy:/nonexistent:/usr/sbin/nologin
nobody:x:{users.NOBODY}:{users.NOBODY}:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = f"root:x:0:\nhaproxy:x:{users.HAPROXY}:\nnogroup:x:{users.NOBODY}:\n"
_READ_ONLY = kernel.ATTR_RDONLY | kernel.ATTR_NOSUID | kernel.ATTR_NODEV


def python(argv: Sequence[str] = ()) -> list[str]:
    """Folders without which our interpreter, our packages and what ``argv`` names do not run, wherever they are.

    The whole machine is none of them: ``python -m`` has the folder that it was started in on its path.
    """
    named = [str(Path(word).parent) for word in argv[1:] if word.startswith("/")]
    haproxy = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:{namespaces.PATH}")
    beside = [str(Path(haproxy).resolve().parent)] if haproxy else []
    found = [sys.prefix, sys.base_prefix, *(path for path in sys.path if path), *named, *beside]
    return [path for path in dict.fromkeys(map(os.path.abspath, found)) if path != "/" and Path(path).is_dir()]


def named_by(command: Iterable[str], environment: Mapping[str, str], home: str) -> list[str]:
    """Files and folders that a host's command or environment names and would not see: they are shown to it, where they are.

    A variable may name several, as ``PYTHONPATH`` does. With a file its folder is shown, where that is not private itself:
    a program finds what is beside it.
    """
    words = [*command, *(word for value in environment.values() for word in value.split(":"))]
    shown = (_shown(os.path.normpath(word), home) for word in words if word.startswith("/"))
    return [path for path in dict.fromkeys(shown) if path]


def _shown(path: str, home: str) -> str:
    """What is shown for a path that is named; empty for what is seen anyway, is not there, or is not to be seen."""
    if not path.startswith(tuple(f"{one}/" for one in PRIVATE)) or _within(os.path.realpath(path), home):
        return ""
    if Path(path).is_dir():
        return path
    folder = str(Path(path).parent)
    private = folder in PRIVATE or _within(os.path.realpath(folder), home)
    return (path if private else folder) if Path(path).is_file() else ""


def amphora(state: str, shown: Sequence[str], home: str, seats: int = 0) -> None:
    """The root of an amphora, from now on that of this process's mount namespace. ``state``: its folder on the machine. ``seats``: so
    many load balancers may share it."""
    with _made(ROOT):
        _own(ROOT)
        _system(ROOT, shown, home)
        Path(ROOT, "etc/passwd").write_text(PASSWD, encoding="ascii")
        Path(ROOT, "etc/group").write_text(GROUP, encoding="ascii")
        for path, size in (
            (namespaces.AMPHORA_ETC, "16m"),
            (namespaces.AMPHORA_RUN, f"{256 + 8 * limits.seats_of(seats)}m"),
        ):
            _memory(f"{ROOT}{path}", "0755", size)
        _folder(f"{ROOT}{namespaces.AMPHORA_STATE}")
        kernel.mount(state, f"{ROOT}{namespaces.AMPHORA_STATE}", flags=kernel.MS_BIND)
        kernel.mount_setattr(
            f"{ROOT}{namespaces.AMPHORA_STATE}", kernel.ATTR_NOSUID | kernel.ATTR_NODEV | kernel.ATTR_NOEXEC
        )
    _enter(ROOT)


def host(shown: Sequence[str], home: str) -> None:
    """The root of a host, from now on that of this process's mount namespace."""
    Path(ROOT).mkdir(exist_ok=True)
    kernel.mount("/", ROOT, flags=kernel.MS_BIND | kernel.MS_REC)
    kernel.mount("", ROOT, flags=kernel.MS_PRIVATE | kernel.MS_REC)  # nothing that the machine mounts later comes here
    kernel.mount_setattr(ROOT, _READ_ONLY, recursive=True)
    kept = [(path, os.open(path, os.O_PATH)) for path in shown]
    for path in PRIVATE:
        there = Path(ROOT + path)
        if there.is_dir() and not there.is_symlink():
            _memory(str(there), "0755", "256m" if path in ("/tmp", "/var/tmp") else "16m")
    _own(ROOT)
    if Path("/sys/devices/system").is_dir():  # how many processors there are
        _show(ROOT, "/sys/devices/system")
    for path, descriptor in kept:
        _place(f"{ROOT}{path}", is_folder=Path(path).is_dir())
        kernel.mount(f"/proc/self/fd/{descriptor}", f"{ROOT}{path}", flags=kernel.MS_BIND)
        kernel.mount_setattr(f"{ROOT}{path}", _READ_ONLY)
        os.close(descriptor)
    _hide(ROOT, home)
    _enter(ROOT)


def relays(home: str) -> None:
    """The root of all relays, made once; ``relays.write`` adds their configurations."""
    with _made(RELAYS):
        _system(RELAYS, python(), home)
        _folder(f"{RELAYS}{namespaces.SCRATCH}")
        _nodes(f"{RELAYS}/dev")
        kernel.mount(
            namespaces.SCRATCH,
            f"{RELAYS}{namespaces.SCRATCH}",
            "tmpfs",
            kernel.MS_NOSUID | kernel.MS_NODEV,
            "mode=0755,size=4m",
        )


@contextlib.contextmanager
def _made(root: str) -> Iterator[None]:
    """A folder in memory, in which all that is needed is made; nothing can be made in it afterwards."""
    Path(root).mkdir(exist_ok=True)
    kernel.mount("octavia", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=4m")
    yield
    kernel.mount_setattr(root, _READ_ONLY & ~kernel.ATTR_NODEV)


def _system(root: str, shown: Sequence[str], home: str) -> None:
    """Programs, libraries and settings."""
    for path in PROGRAMS:
        if Path(path).is_symlink():
            Path(root + path).symlink_to(Path(path).readlink())
        elif Path(path).is_dir():
            _show(root, path)
    for path in sorted({*shown, *(os.path.realpath(path) for path in shown)}):
        if path != "/" and not Path(root + path).exists():
            _show(root, path)
            if home.startswith(f"{path}/"):
                _hide(root, home)
    for name in SETTINGS:
        if Path("/etc", name).exists():
            _show(root, f"/etc/{name}")


def _own(root: str) -> None:
    """What has to be each one's own: processes, devices, places to write to."""
    for path, mode, size in (("/tmp", "1777", "256m"), ("/run", "0755", "16m"), ("/var/tmp", "1777", "256m")):
        _memory(f"{root}{path}", mode, size)
    for path in (namespaces.NAMES, namespaces.SCRATCH):
        Path(root + path).mkdir(mode=0o755, exist_ok=True)
    _memory(f"{root}/dev", "0755", "1m")
    _nodes(f"{root}/dev")
    _memory(f"{root}/dev/shm", "1777", "64m")
    for name, target in LINKS.items():
        Path(f"{root}/dev", name).symlink_to(target)
    kernel.mount_setattr(f"{root}/dev", kernel.ATTR_RDONLY | kernel.ATTR_NOSUID | kernel.ATTR_NOEXEC)
    _folder(f"{root}/proc")
    kernel.mount("proc", f"{root}/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)


def _nodes(folder: str) -> None:
    _folder(folder)
    for name in NODES:
        Path(folder, name).touch()
        kernel.mount(f"/dev/{name}", f"{folder}/{name}", flags=kernel.MS_BIND)


def _memory(path: str, mode: str, size: str) -> None:
    _folder(path)
    kernel.mount("octavia", path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode={mode},size={size}")


def _show(root: str, path: str) -> None:
    """The machine's file or folder of that path, in the same place, read-only."""
    _place(root + path, is_folder=Path(path).is_dir())
    kernel.mount(path, root + path, flags=kernel.MS_BIND | kernel.MS_REC)
    kernel.mount_setattr(root + path, _READ_ONLY, recursive=True)


def _hide(root: str, home: str) -> None:
    """The home of this installation, with its key, where something that is shown has it."""
    if Path(root + home).is_dir():
        kernel.mount(
            "octavia", root + home, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_RDONLY, "mode=0,size=4k"
        )


def _place(path: str, *, is_folder: bool) -> None:
    _folder(path if is_folder else str(Path(path).parent))
    if not is_folder:
        Path(path).touch()


def _folder(path: str) -> None:
    Path(path).mkdir(mode=0o755, parents=True, exist_ok=True)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/") or folder.startswith(f"{path}/")


def _enter(root: str) -> None:
    """The root of this mount namespace, and of us; what was mounted before is gone from it (pivot_root(2))."""
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")
