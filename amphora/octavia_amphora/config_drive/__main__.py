# SPDX-License-Identifier: Apache-2.0
"""``python -m octavia_amphora.config_drive``: run once at the start of an amphora, before its agent."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

from . import documents, drive, network

DRIVE_SECONDS, INTERFACE_SECONDS, RETRY_SECONDS = 30.0, 30.0, 2.0
SSH, KEYS = Path("/etc/ssh/sshd_config"), Path("/root/.ssh/authorized_keys")


def main() -> None:
    """Ends when all is done. What fails is told on standard error, which is in Nova's console log, and tried again: the agent waits for this."""
    told = ""
    while True:
        try:
            done = apply()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else would try again
            if (words := f"octavia-amphora: config drive: {error}") != told:
                print(words, file=sys.stderr, flush=True)  # noqa: T201
            told = words
            time.sleep(RETRY_SECONDS)
        else:
            break
    seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    print(f"octavia-amphora: config drive: {done}, {seconds:.1f} s after the kernel began")  # noqa: T201 - it is the unit's log


def apply() -> str:
    """All that it tells, in words."""
    device = drive.wait_for(DRIVE_SECONDS)
    with drive.mounted(device) as folder:
        texts = {name: _text(folder / name) for name in ("user_data", "meta_data.json", "network_data.json")}
    found = documents.files(texts["user_data"]) if texts["user_data"] else []
    for one in found:
        write(one)
    if name := documents.host_name(texts["meta_data.json"] or "{}"):
        socket.sethostname(name)
        Path("/etc/hostname").write_text(f"{name}\n", encoding="ascii")
    if SSH.exists() and (keys := documents.public_keys(texts["meta_data.json"] or "{}")):
        write(documents.File(str(KEYS), 0o600, "".join(f"{key}\n" for key in keys).encode()))
    interface = documents.management({one.path: one.content for one in found})
    if interface is None:
        interface = documents.first_interface(texts["network_data.json"] or "{}")
    there = network.configure(interface, INTERFACE_SECONDS) if interface else "no interface"
    return f"{device}: {len(found)} files, host {name}, {there} {' '.join(interface.addresses if interface else ())}"


def write(file: documents.File) -> None:
    """With its permissions from its first byte on."""
    path = Path(file.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(file.content)
    path.chmod(file.mode)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
