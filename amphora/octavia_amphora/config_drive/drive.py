# SPDX-License-Identifier: Apache-2.0
"""A config drive: found by its label among the block devices, mounted for as long as it is read."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LABEL = b"config-2"
"""Of Nova's config drives, in whatever case: FAT has its labels in capitals."""
DEVICES = Path("/sys/class/block")
MOUNT_POINT = Path("/run/octavia-amphora-config-drive")
PAUSE = 0.02
_ISO9660 = (32768, b"\x01CD001", 40, 32)
"""Where the descriptor of the volume begins, with what, where in it is the label, and how long (ECMA-119, 8.4)."""
_FAT = ((0, b"", 43, 11), (0, b"", 71, 11))
"""FAT12 and FAT16, FAT32: the label is in the boot sector."""


class NoDrive(Exception):
    """No block device is a config drive."""


def is_config_drive(head: bytes) -> bool:
    """``head``: the first 34 KiB of a device."""
    for start, begins, label, length in (_ISO9660, *_FAT):
        found = head[start + label : start + label + length].strip()
        if head[start:].startswith(begins) and found.lower() == LABEL:
            return True
    return False


def wait_for(seconds: float, *, devices: Path = DEVICES, nodes: Path = Path("/dev")) -> Path:
    """The device of the config drive. A CD drive is there a while after the kernel."""
    deadline = time.monotonic() + seconds
    while True:
        names = sorted(one.name for one in devices.iterdir() if not one.name.startswith(("loop", "ram", "zram")))
        for name in names:
            if is_config_drive(_head(nodes / name)):
                return nodes / name
        if time.monotonic() > deadline:
            raise NoDrive(f"none of {', '.join(names) or 'no block device'} is labelled config-2 after {seconds:g} s")
        time.sleep(PAUSE)


def _head(node: Path) -> bytes:
    try:
        with node.open("rb", buffering=0) as device:
            return device.read(34 * 1024) or b""
    except OSError:
        return b""  # a drive without a disc


@contextmanager
def mounted(device: Path) -> Iterator[Path]:
    """Its folder ``openstack/latest``."""
    MOUNT_POINT.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-o", "ro,nosuid,nodev,noexec", str(device), str(MOUNT_POINT)], check=True)
    try:
        yield MOUNT_POINT / "openstack/latest"
    finally:
        subprocess.run(["umount", "-l", str(MOUNT_POINT)], check=True)
        MOUNT_POINT.rmdir()
