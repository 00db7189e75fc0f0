# SPDX-License-Identifier: Apache-2.0
"""The files of one load balancer's keepalived: what it reads, what it is told by, and what it tells by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from octavia_amphora.wire.vrrp import TRACK_FILE, Vrrp

GARP_REPEAT = 3
"""So often a new owner announces each address at once, and again after a second."""


@dataclass(frozen=True, slots=True)
class VrrpFiles:
    """Where they are: in memory-backed storage, for each load balancer apart (two processes cannot share one of them)."""

    folder: Path

    @property
    def config(self) -> Path:
        """``keepalived.conf``."""
        return self.folder / "keepalived.conf"

    def write_config(self, text: str) -> None:
        """Replace it as a whole: keepalived may still be about to read it for an earlier reload, and nothing of it would do harm."""
        scratch = self.config.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(self.config)

    @property
    def track(self) -> Path:
        """0: haproxy serves; 1: it does not, and another amphora is to have the addresses."""
        return self.folder / "haproxy.track"

    @property
    def notices(self) -> Path:
        """The FIFO by which keepalived tells its states."""
        return self.folder / "vrrp.fifo"

    @property
    def state(self) -> Path:
        """The last of those, for the agent that comes next."""
        return self.folder / "vrrp.state"

    @property
    def parent_pid(self) -> Path:
        """The process id of keepalived itself."""
        return self.folder / "keepalived.pid"

    @property
    def child_pid(self) -> Path:
        """The process id of its child, which does the work."""
        return self.folder / "vrrp.pid"

    @property
    def log(self) -> Path:
        """What it says on its standard error."""
        return self.folder / "keepalived.log"


def configuration_text(vrrp: Vrrp, links: Mapping[str, str], *, name: str, folder: Path) -> str:
    """``keepalived.conf``. ``links``: name in the text → interface. ``name``: the amphora's."""
    files = VrrpFiles(folder)
    lines = [
        "global_defs {",
        f"    router_id {name}",
        "    vrrp_version 3",
        "    vrrp_garp_master_delay 1",
        f"    vrrp_garp_master_repeat {GARP_REPEAT}",
        f"    vrrp_notify_fifo {files.notices}",
        "}",
        f"track_file {TRACK_FILE} {{",
        f"    file {files.track}",
        "    weight 0",
        "}",
        *(f"${variable}={link}" for variable, link in links.items()),
    ]
    return "\n".join(lines) + "\n\n" + vrrp.text
