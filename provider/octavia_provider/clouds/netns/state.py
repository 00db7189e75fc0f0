# SPDX-License-Identifier: Apache-2.0
"""What amphorae keep on this machine's disk, read from outside."""

from __future__ import annotations

from pathlib import Path

import msgspec

from octavia_amphora.wire.messages import VersionStamp
from octavia_provider.ports import StateVersion


class _Newest(msgspec.Struct):
    """Of an agent's record of its newest push, the stamp alone (the configuration may be large)."""

    stamp: VersionStamp


def pushed(home: Path) -> dict[str, dict[str, StateVersion]]:
    """Amphora id → load balancer id → the newest push; what is damaged is left out."""
    found: dict[str, dict[str, StateVersion]] = {}
    for path in (home / "cloud" / "amphorae").glob("*/*/newest.json"):
        try:
            newest = msgspec.json.decode(path.read_bytes(), type=_Newest)
        except (OSError, msgspec.MsgspecError):
            continue
        found.setdefault(path.parts[-3], {})[path.parts[-2]] = newest.stamp.order
    return found
