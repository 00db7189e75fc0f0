# SPDX-License-Identifier: Apache-2.0
"""The walls: namespaces in which nothing that is done touches the machine, and mount points that need no folder on it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from . import kernel

MIRRORED = ("/run", "/etc", "/var/lib")
"""Folders in which the cloud has entries of its own; the machine's own folders are never written to."""
NAMES = "/run/netns"
"""Where ``ip netns`` looks for named network namespaces (iproute2, ip-netns(8))."""
SCRATCH = "/run/octavia-cloud"
"""The holder's own files, in memory."""
OWN_FILES = {
    "/etc/resolv.conf": "# no name server is reached from here: a look-up fails at once and does not wait\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
AMPHORA_ETC = "/etc/octavia-amphora"
AMPHORA_RUN = "/run/octavia-amphora"
AMPHORA_STATE = "/var/lib/octavia-amphora"
IPV6 = tuple(
    (f"net.ipv6.conf.{which}.{name}", value)
    for which in ("all", "default")
    for name, value in (("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0"))
)
"""Sysctls of every namespace: addresses are given by us, are there at once, and no neighbour adds any."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def raise_walls() -> None:
    """Leave the machine's network, mount and PID namespaces: returns in a new process, which is their first.

    The process that called ends here, so that the new one is nobody's child but the machine's init's.
    """
    kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC)
    if os.fork():
        os._exit(0)
    os.setsid()
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    for folder in MIRRORED:
        mirror(folder)
    for path, content in OWN_FILES.items():
        Path(path).write_text(content, encoding="ascii")
    for path in (NAMES, SCRATCH, AMPHORA_ETC, AMPHORA_RUN, AMPHORA_STATE):
        Path(path).mkdir(exist_ok=True)
    kernel.mount("netns", NAMES, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=1m")
    mount_proc()
    for name, value in (
        ("net.ipv4.ip_forward", "1"),  # networks reach each other
        ("net.ipv4.tcp_tw_reuse", "1"),  # relays open a connection for each that they take
        ("net.ipv4.conf.default.rp_filter", "0"),
        ("net.ipv4.conf.all.rp_filter", "0"),
        *IPV6,
        ("net.ipv6.conf.all.forwarding", "1"),
    ):
        kernel.sysctl(name, value)


def mirror(folder: str) -> None:
    """Put a folder in memory in the place of ``folder``, with the same entries in it (bind mounts, symbolic links).

    A mount point can then be made in it without making one on the machine. Entries that the machine adds later are not
    seen; what changes inside of folders is. Sockets and pipes are left out: they lead out of the walls.
    """
    old = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    mode = stat.S_IMODE(os.fstat(old).st_mode)
    entries = [entry.name for entry in Path(f"/proc/self/fd/{old}").iterdir()]
    kernel.mount("octavia", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode={mode:o}")
    for entry in entries:
        if f"{folder}/{entry}" not in (*OWN_FILES, NAMES):  # nobody inside enters the namespaces of the machine
            _mirror_entry(Path(f"/proc/self/fd/{old}", entry), Path(folder, entry))
    os.close(old)


def _mirror_entry(old: Path, new: Path) -> None:
    try:
        mode = old.lstat().st_mode
        if stat.S_ISLNK(mode):
            new.symlink_to(old.readlink())
        elif stat.S_ISDIR(mode):
            new.mkdir()
            kernel.mount(str(old), str(new), flags=kernel.MS_BIND | kernel.MS_REC)
        elif stat.S_ISREG(mode):
            new.touch(mode=0o600)
            kernel.mount(str(old), str(new), flags=kernel.MS_BIND)
    except FileNotFoundError:
        return  # it went away while we looked


def mount_proc() -> None:
    """The /proc of this process's own PID namespace."""
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)


def name_network(name: str, pid: int) -> int:
    """Give the network namespace of a process a name that ``ip netns`` knows; returns what ``named_network`` returns."""
    path = Path(NAMES, name)
    path.touch(mode=0o444)
    kernel.mount(f"/proc/{pid}/ns/net", str(path), flags=kernel.MS_BIND)
    return path.stat().st_ino


def named_network(name: str) -> int | None:
    """The number (inode) of the namespace of that name, None when there is none."""
    try:
        return Path(NAMES, name).stat().st_ino
    except FileNotFoundError:
        return None


def unname_network(name: str) -> None:
    """Take the name away; nothing happens when there is none."""
    path = Path(NAMES, name)
    kernel.unmount(str(path))
    path.unlink(missing_ok=True)
