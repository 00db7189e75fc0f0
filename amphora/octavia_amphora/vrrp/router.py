# SPDX-License-Identifier: Apache-2.0
"""The number by which an amphora tells its load balancers' packets from each other: that of their VRRP router, or where two have the
same, another one. It is kept beside what it is used in, in memory, so that an agent that comes next uses the same."""

from __future__ import annotations

from pathlib import Path

from .addresses import VrrpError

_NAME = "router"
_MOST = 255


def number(folder: Path, router_id: int) -> int:
    """Of the load balancer with this folder, beside those of the others."""
    if (known := given(folder)) is not None:
        return known
    taken = {given(other.parent) for other in folder.parent.glob(f"*/{_NAME}")}
    free: int | None = next((one for one in (router_id, *range(1, _MOST + 1)) if one not in taken), None)
    if free is not None:
        (folder / _NAME).write_text(str(free), encoding="ascii")
        return free
    raise VrrpError(f"this amphora is one of the pairs of {_MOST} load balancers already")


def given(folder: Path) -> int | None:
    """The number that it has; None where it has none yet."""
    try:
        return int((folder / _NAME).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
