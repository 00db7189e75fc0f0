# SPDX-License-Identifier: Apache-2.0
"""The files of an installation: all in one home directory, set by ``OCTAVIA_HOME``.

Several control planes can share a home; each has a folder there for its socket, log and lock (``instance``).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
"""Of a control plane among several of one home."""
SOCKET_LENGTH = 90
"""Bytes; the kernel's limit for a Unix socket's path is 108 (``unix(7)``), and others add to ours."""


def home(path: str | os.PathLike[str] | None = None) -> Path:
    """The home: ``path``, else ``OCTAVIA_HOME``, else /var/lib/octavia for root and XDG's state directory for others (XDG
    Base Directory Specification 0.8)."""
    chosen = path or os.environ.get("OCTAVIA_HOME")
    if chosen:
        return Path(os.path.realpath(Path(chosen).expanduser()))
    if os.geteuid() == 0:
        return Path("/var/lib/octavia")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "octavia"


def instance(home: Path, name: str | None) -> Path:
    """Where a control plane keeps what is its own (socket, log, lock): the home; with a name, a folder of it."""
    return home if name is None else home / "instances" / name


def instances(home: Path) -> list[Path]:
    """The folders of all control planes that this home has had; the one without a name first."""
    try:
        return [home, *sorted(path for path in (home / "instances").iterdir() if path.is_dir())]
    except OSError:
        return [home]


def api_socket(home: Path) -> Path:
    """The Unix socket of the embedded control plane's API. ``ValueError`` where the home's path is too long for one."""
    path = home / "api.sock"
    if len(os.fsencode(path)) > SOCKET_LENGTH:
        raise ValueError(f"the path {path} is longer than {SOCKET_LENGTH} bytes; choose a shorter OCTAVIA_HOME")
    return path


def log_file(home: Path) -> Path:
    """The log of the embedded control plane."""
    return home / "control-plane.log"


def start_lock(home: Path) -> Path:
    """Held by whoever starts the embedded control plane."""
    return home / "start.lock"


def serve_lock(home: Path) -> Path:
    """Held by the one control plane that serves this home."""
    return home / "serve.lock"


def database(home: Path) -> Path:
    """The store of the embedded control plane."""
    return home / "octavia.db"


def database_url(home: Path) -> Path:
    """Says which database of a server is the store, where it is not that file; without a password."""
    return home / "database.url"


def openstack_file(home: Path) -> Path:
    """Says, where amphorae are in OpenStack, in which cloud of ``clouds.yaml`` and by whose tag (JSON)."""
    return home / "openstack.json"


def key_file(home: Path) -> Path:
    """The key that secrets in the store are encrypted with."""
    return home / "octavia.key"


def database_copy(home: Path) -> Path:
    """A copy of the store, a moment old: for ``octaviactl adopt``."""
    return home / "octavia.db.copy"
