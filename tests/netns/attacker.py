# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH208, PTH112 - what is called is what is tried
"""Tries to leave the place where it runs, and tells what became of each attempt. Run as it is, with no package.

``attempts(targets)``: name → "refused: …" or "done: …". Nothing here does harm where it succeeds.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine
NUMBERS = {
    "x86_64": {
        "ptrace": 101, "mount": 165, "pivot_root": 155, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
        "keyctl": 250, "add_key": 248, "io_uring_setup": 425, "kexec_load": 246, "init_module": 175,
        "finit_module": 313, "open_tree": 428, "fsopen": 430, "clone3": 435, "process_vm_readv": 310,
        "pidfd_getfd": 438, "open_by_handle_at": 304, "swapon": 167, "reboot": 169, "acct": 163,
    },
    "aarch64": {
        "ptrace": 117, "mount": 40, "pivot_root": 41, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
        "keyctl": 219, "add_key": 217, "io_uring_setup": 425, "kexec_load": 104, "init_module": 105,
        "finit_module": 273, "open_tree": 428, "fsopen": 430, "clone3": 435, "process_vm_readv": 270,
        "pidfd_getfd": 438, "open_by_handle_at": 265, "swapon": 224, "reboot": 142, "acct": 89,
    },
}[MACHINE]  # fmt: skip
NAMESPACES = {
    "mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000,
    "net": 0x40000000, "time": 0x80,
}  # fmt: skip
MOST_PROCESSES = 3000
"""Forked by the attempt to fill the machine, if nothing stops it."""


def attempt(work: Callable[[], object]) -> str:
    try:
        return f"done: {work()!r}"
    except OSError as error:
        return f"refused: {errno.errorcode.get(error.errno or 0, repr(error))}"
    except (MemoryError, ValueError) as error:
        return f"refused: {type(error).__name__}"


def call(name: str, *arguments: Any) -> int:
    """A system call. Arguments are chosen so that the kernel refuses them too where nothing else does, with EFAULT or
    EINVAL: what is wanted is that it never comes to that."""
    result = int(libc.syscall(NUMBERS[name], *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def unshare(flag: int) -> None:
    if libc.unshare(flag) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def setns(kind: str) -> None:
    descriptor = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
    if libc.setns(descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def read(path: str) -> str:
    return Path(path).read_bytes()[:40].decode(errors="replace")


def write(path: str) -> str:
    with Path(path).open("ab"):
        return "opened"


def write_anew(folder: str) -> str:
    path = Path(folder, f"octavia-attack-{os.getpid()}")
    path.touch()
    path.unlink()
    return "made"


def list_(folder: str) -> list[str]:
    found = sorted(os.listdir(folder))
    if not found:
        raise OSError(errno.ENOENT, "empty")
    return found


def connect_unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.connect(path)
    return "connected"


def connect(address: str, port: int) -> str:
    with socket.create_connection((address, port), timeout=2):
        return "connected"


def send(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.connect((address, port))
        for _ in range(3):
            opened.send(b"forged")
            time.sleep(0.05)  # an ICMP answer says with the next one that nobody may be reached
    return "sent"


def opened(family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> str:
    socket.socket(family, kind, protocol).close()
    return "opened"


def packet_options() -> str:
    """PACKET_RX_RING and the like (SOL_PACKET): where the holes of packet sockets were."""
    with socket.socket(17, socket.SOCK_RAW) as packets:
        packets.setsockopt(263, 5, bytes(16))
    return "taken"


def fork_many(users: int = 0) -> str:
    """As many processes as there may be, perhaps as many users, each with a limit of its own: the limit has to come first."""
    children: list[int] = []
    reader, writer = os.pipe()
    try:
        while len(children) < MOST_PROCESSES:
            pid = os.fork()
            if pid == 0:
                os.close(writer)
                if users:
                    os.setresuid(*[1 + len(children) % users] * 3)
                os.read(reader, 1)
                os._exit(0)
            children.append(pid)
    finally:
        os.close(writer)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(reader)
    return f"{len(children)} processes"


def take_memory(size: int) -> str:
    taken = []
    for _ in range(size >> 26):
        taken.append(bytearray(64 << 20))  # noqa: PERF401 - not touched: a limit is met all the same
    return f"{len(taken)} times 64 MiB"


def escape_chroot(secret: str) -> str:
    """In a child, which would else be what sees another root."""
    pid = os.fork()
    if pid == 0:
        try:
            os.chroot("/tmp")
            for _ in range(20):
                os.chdir("..")
            os.chroot(".")
            read(secret)
        except OSError as error:
            os._exit(error.errno or errno.EPERM)
        os._exit(0)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise OSError(code, "chroot")
    return "out"


def become(uid: int) -> str:
    pid = os.fork()
    if pid == 0:
        try:
            os.setresuid(uid, uid, uid)
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise OSError(errno.EPERM, "setuid")
    return "became"


def make_device() -> str:
    os.mknod("/tmp/octavia-attack-device", 0o20666, os.makedev(1, 1))
    return "made"


Work = dict[str, Callable[[], object]]


def attempts(targets: dict[str, Any]) -> dict[str, str]:
    """All of them; see the test for ``targets``."""
    work = {**on_files(targets), **on_others(targets), **on_the_kernel(), **on_itself(targets)}
    return {name: attempt(one) for name, one in work.items()}


def on_files(targets: dict[str, Any]) -> Work:
    work: Work = {}
    for path in targets.get("read", ()):
        work[f"read {path}"] = lambda path=path: read(path)
    for path in targets.get("list", ()):
        work[f"list {path}"] = lambda path=path: list_(path)
    for path in ("/", "/etc", "/usr", "/usr/bin", "/var/lib", "/opt", "/home", "/root", "/boot", "/sys/fs"):
        if os.path.isdir(path):
            work[f"make a file in {path}"] = lambda path=path: write_anew(path)
    for path in ("/etc/passwd", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname",
                 "/proc/sys/vm/overcommit_memory", "/dev/kmsg", "/dev/mem", "/proc/1/mem"):  # fmt: skip
        work[f"write {path}"] = lambda path=path: write(path)
    for path in ("/etc/shadow", "/proc/kcore", "/proc/1/environ", "/proc/1/root/etc/shadow", "/proc/1/fd/0"):
        work[f"read {path}"] = lambda path=path: read(path)
    return work


def on_others(targets: dict[str, Any]) -> Work:
    """Processes and networks."""
    work: Work = {}
    for path in targets.get("sockets", ()):
        work[f"connect {path}"] = lambda path=path: connect_unix(path)
    for name, (address, port) in targets.get("tcp", {}).items():
        work[f"reach {name}"] = lambda address=address, port=port: connect(address, port)
    for name, (address, port) in targets.get("udp", {}).items():
        work[f"send to {name}"] = lambda address=address, port=port: send(address, port)
    for pid in targets.get("processes", ()):
        work[f"trace {pid}"] = lambda pid=pid: call("ptrace", 16, pid, 0, 0)
        work[f"read the memory of {pid}"] = lambda pid=pid: read(f"/proc/{pid}/mem")
        work[f"read the memory of {pid} by a call"] = lambda pid=pid: call("process_vm_readv", pid, 0, 0, 0, 0, 0)
        work[f"look at the files of {pid}"] = lambda pid=pid: os.listdir(f"/proc/{pid}/fd")
        work[f"look through the root of {pid}"] = lambda pid=pid: os.listdir(f"/proc/{pid}/root")
    for pid in targets.get("victims", ()):
        work[f"end {pid}"] = lambda pid=pid: os.kill(pid, 0)
    return work


def on_the_kernel() -> Work:
    work: Work = {}
    for kind, flag in NAMESPACES.items():
        work[f"unshare {kind}"] = lambda flag=flag: unshare(flag)
    work["enter a namespace"] = lambda: setns("net")
    for name in NUMBERS:
        if name not in ("ptrace", "process_vm_readv"):
            work[f"call {name}"] = lambda name=name: call(name, -1, -1, -1, -1, -1)
    for name, family in (("vsock", 40), ("alg", 38), ("key", 15), ("bluetooth", 31), ("can", 29)):
        work[f"open a {name} socket"] = lambda family=family: opened(family)
    work["make a device"] = make_device
    work["open a packet socket"] = lambda: opened(17, socket.SOCK_RAW)
    work["take a packet socket's options"] = packet_options
    work["open a raw socket"] = lambda: opened(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    work["change the network"] = lambda: write("/proc/sys/net/ipv4/ip_forward")
    return work


def on_itself(targets: dict[str, Any]) -> Work:
    as_users: Work = {"fork as many users": lambda: fork_many(900)} if os.geteuid() == 0 else {}
    return {
        **as_users,
        "leave a chroot": lambda: escape_chroot(targets["read"][0]),
        "become root": lambda: become(0),
        "become nobody": lambda: become(65534),
        "write a core": lambda: 1 if resource.getrlimit(resource.RLIMIT_CORE)[1] else write("/nowhere/core"),
        "take memory": lambda: take_memory(int(targets.get("memory", 0))),
        "fork": fork_many,
    }


def status() -> dict[str, str]:
    """What the kernel says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"attempts": attempts(json.loads(sys.argv[1]))}) + "\n")
