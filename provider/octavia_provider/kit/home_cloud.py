# SPDX-License-Identifier: Apache-2.0
"""Which cloud a home belongs to, and how its control plane is started.

A control plane on OpenStack writes it down (``openstack.json``) before it makes anything. Without that file a home is the embedded
cloud's, or nobody's yet.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from . import paths
from .homes import Problem

EMBEDDED, OPENSTACK = "embedded", "openstack"
_LOCAL_KINDS = frozenset({"local_network", "local_host"})
"""What only the embedded cloud makes."""


def write(home: Path, *, os_cloud: str | None, control_plane: str) -> None:
    """This home belongs to OpenStack: to this cloud of ``clouds.yaml`` (None: that of the environment), by this control plane's tag."""
    written = {"os_cloud": os_cloud, "control_plane": control_plane}
    paths.openstack_file(home).write_text(f"{json.dumps(written)}\n")


def openstack(home: Path) -> dict[str, Any] | None:
    """What :func:`write` has written; None: it does not belong to OpenStack. ``OSError`` or ``ValueError`` where it cannot be read."""
    try:
        found: dict[str, Any] = json.loads(paths.openstack_file(home).read_text())
    except FileNotFoundError:
        return None
    return found


def is_openstack(home: Path) -> bool:
    """Whether it belongs to OpenStack."""
    return paths.openstack_file(home).exists()


def start_command(home: Path) -> str:
    """What starts the control plane of this home; on OpenStack it needs its settings too."""
    if not is_openstack(home):
        return "octaviactl start"
    words = ["octaviactl", "serve", "--cloud", "openstack"]
    if home != paths.home():
        words += ["--home", str(home)]
    if name := _os_cloud(home):
        words += ["--os-cloud", name]
    return shlex.join(words)


def start_hint(home: Path) -> str:
    """:func:`start_command`, for people."""
    if not is_openstack(home):
        return start_command(home)
    settings = "with its --config FILE or OCTAVIA_OPENSTACK_… as before"
    return f"{start_command(home)} {settings}; systemctl start octavia, where it is a service"


def problem(home: Path, cloud: str, kinds: Collection[str] = ()) -> Problem | None:
    """Why a control plane of ``cloud`` may not serve this home, if so. ``kinds``: of the objects in its store."""
    if cloud == EMBEDDED and is_openstack(home):
        name = _os_cloud(home)
        whose = f"OpenStack ({name} in clouds.yaml)" if name else "OpenStack"
        return Problem(f"belongs to {whose}, and would get an embedded control plane", start_hint(home))
    if cloud == OPENSTACK and not is_openstack(home) and _is_embedded(home, kinds):
        hint = "octaviactl start; for OpenStack another OCTAVIA_HOME, or octaviactl purge before, which ends what runs"
        return Problem("belongs to this machine's embedded cloud, and would get a control plane of OpenStack", hint)
    return None


def _is_embedded(home: Path, kinds: Collection[str]) -> bool:
    return (home / "cloud" / "holder.sock").exists() or not _LOCAL_KINDS.isdisjoint(kinds)


def _os_cloud(home: Path) -> str | None:
    """Its name, where the file can be read."""
    try:
        return (openstack(home) or {}).get("os_cloud")
    except (OSError, ValueError):
        return None
