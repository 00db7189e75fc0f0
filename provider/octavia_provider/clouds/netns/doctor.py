# SPDX-License-Identifier: Apache-2.0
"""What the embedded cloud needs of a machine, for ``octaviactl doctor``: each check with its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from octavia_amphora.wire import haproxy_versions
from octavia_amphora.wire.haproxy_versions import OLDEST
from octavia_provider.model.errors import OctaviaError

from .holder import interpreter
from .holder.namespaces import PATH

PYTHON = (3, 11)
PYTHONS_TRIED = ((3, 11), (3, 13))
"""The tests run with these."""

TRIAL_FIX = (
    "use Linux 5.14 or newer with namespaces (of users too: sysctl user.max_user_namespaces), veth and bridge, on a machine that "
    "lets root use them (a container: --privileged)"
)


TRIAL_HOST = {
    "id": "doctor", "network_id": "doctor", "address": "192.168.0.2", "prefix": 24, "gateway": "192.168.0.1",
    "ipv6_address": None, "ipv6_prefix": None, "ipv6_gateway": None, "forward_port": None, "environment": {},
    "command": ["sleep", "1000"], "account": {"name": "nobody", "home": "/", "identity": [65534, 65534, [65534]]},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, whether it is well, what was seen, and what to do where it is not.

    ``implies``: what follows from what was seen, in sentences.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""
    implies: tuple[str, ...] = ()


def check() -> list[Check]:
    """All findings. The last one, a trial of the whole, is left out where an earlier one already explains its failure."""
    found = list(_parts())
    if all(one.ok for one in found):
        found.append(_trial())
    return found


def lacking() -> list[Check]:
    """What keeps the cloud from being made: found in some tens of milliseconds, before anything is made."""
    found = [one for one in _parts() if not one.ok]
    return found or [one for one in (_namespaces(),) if not one.ok]


def _parts() -> Iterator[Check]:
    yield Check("Linux", sys.platform == "linux", sys.platform, "use a Linux machine, or a virtual one")
    root = os.geteuid() == 0
    yield Check("root", root, f"user {os.geteuid()}", "run it with sudo: only root may make network namespaces")
    yield _python()
    hidden = interpreter.unreadable()
    yield Check(
        "packages that agents can read",
        hidden is None,
        str(hidden or sys.prefix),
        f"chmod -R o+rX {hidden}: agents are unprivileged",
    )
    yield _program("ip", "apt-get install iproute2")
    yield _program("nft", "apt-get install nftables")
    yield _program("conntrack", "apt-get install conntrack")
    yield _program("keepalived", "apt-get install keepalived")
    yield _program("unshare", "apt-get install util-linux")
    yield _program("setpriv", "apt-get install util-linux")
    yield _haproxy()


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{PATH}")


def _program(name: str, fix: str) -> Check:
    path = _find(name)
    return Check(name, path is not None, path or "not found", fix)


def _python() -> Check:
    version, names = sys.version_info[:2], ", ".join(f"{major}.{minor}" for major, minor in PYTHONS_TRIED)
    tried = f"the tests run with {names}" + ("" if version in PYTHONS_TRIED else ", not with this one")
    wanted = ".".join(map(str, PYTHON))
    return Check(
        f"Python {wanted} or newer", version >= PYTHON, f"{sys.executable}: Python {platform.python_version()}",
        f"apt-get install python3, of a release that has {wanted}", (tried,),
    )  # fmt: skip


def _haproxy() -> Check:
    name, fix = f"haproxy {OLDEST} or newer", f"apt-get install haproxy, of a release that has {OLDEST}"
    path = _find("haproxy")
    if path is None:
        return Check(name, ok=False, detail="not found", fix=fix)
    try:
        said = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, ok=False, detail=f"{path}: {error}", fix=fix)
    version = haproxy_versions.parse(said)
    if version is None:
        return Check(name, ok=False, detail=f"{path}: says no version", fix=fix)
    implied = tuple(haproxy_versions.implications(version))
    return Check(name, version >= OLDEST, f"{path}: {said.splitlines()[0]}", fix, implied)


def _namespaces() -> Check:
    """Whether the kernel lets us have them, by the tools that the cloud uses; nothing of it stays."""
    name = "network, mount and PID namespaces, bridges"
    inside = "ip link add name one type bridge && ip link add name two type veth peer name three && nft list ruleset"
    command = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "sh", "-c", inside]
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{PATH}"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, ok=False, detail=str(error), fix=TRIAL_FIX)
    said = " ".join(done.stderr.split()) or f"code {done.returncode}"
    return Check(name, ok=done.returncode == 0, detail=said, fix=TRIAL_FIX)


def _trial() -> Check:
    """Build a cloud with a host in a home of its own, and take it away."""
    from .client import Client
    from .cloud import SUBNET_BASE

    name = "namespaces of networks, mounts, processes and users, bridges"
    with tempfile.TemporaryDirectory(prefix="octavia-") as home:
        client = Client(Path(home), SUBNET_BASE, ())
        try:
            client.start().close()
            client.ask("ensure_network", id="doctor", cidrs=["192.168.0.0/24"])
            client.ask("ensure_host", spec=TRIAL_HOST)
        except OctaviaError as error:
            return Check(name, ok=False, detail=error.message, fix=TRIAL_FIX)
        finally:
            client.stop()
    return Check(name, ok=True, detail="a cloud with a host was built and taken away")
