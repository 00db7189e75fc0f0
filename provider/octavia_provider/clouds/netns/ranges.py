# SPDX-License-Identifier: Apache-2.0
"""Which loopback addresses of this machine a home publishes its listeners at: a range of its own, reserved in a registry.

The registry is one file for the whole machine, read and written under a lock. It is kept over reboots, so that a home that
has not started again yet still has its range. An entry lasts as long as its home: until that is purged, or its store is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import structlog
from pydantic import ConfigDict, TypeAdapter

from octavia_provider.kit import paths
from octavia_provider.model.errors import PermanentError, Refused

from .listening import listening_addresses

log = structlog.get_logger(__name__)

REGISTRY = Path("/var/lib/octavia-loopback")
PREFIX = 20
RANGES = tuple(IPv4Network((int(IPv4Address("127.64.0.0")) + (n << 32 - PREFIX), PREFIX)) for n in range(2048))
_ENTRIES = TypeAdapter(dict[IPv4Network, str], config=ConfigDict(defer_build=True))
PATIENCE = 10.0
"""Seconds to wait for others who reserve; each needs some milliseconds."""


def reserve(home: Path, published: Collection[str] = (), registry: Path = REGISTRY) -> str:
    """The range of this home, reserved if it has none yet: 4,096 addresses, as ``127.96.160.0/20``.

    ``published``: addresses that its load balancers have; they keep them, whatever the registry says. Else a home keeps what
    it has reserved, or gets the first free range from where its path's hash points. ``Refused`` when all are taken.
    Where the registry cannot be written (a read-only file system), the hash alone decides.
    """
    try:
        with _locked(registry) as entries:
            return str(_reserve(entries, home, published))
    except OSError as error:
        chosen = str(_first(home, published))
        log.warning("no range of loopback addresses is reserved", error=str(error), used_all_the_same=chosen)
        return chosen


def release(home: Path, registry: Path = REGISTRY) -> None:
    """Give back what this home has reserved, if it has anything."""
    with contextlib.suppress(OSError):
        if (registry / "ranges.json").exists():
            with _locked(registry) as entries:
                _drop(entries, home)


def _reserve(entries: dict[str, str], home: Path, published: Collection[str]) -> IPv4Network:
    reserved = next((IPv4Network(taken) for taken, owner in entries.items() if owner == str(home)), None)
    chosen = _around(published) or reserved or _free(entries, home)
    owner = entries.get(str(chosen), str(home))
    if owner != str(home) and _lives(owner):
        log.warning("two homes publish in one range of loopback addresses", range=str(chosen), other=owner)
        return chosen  # load balancers keep their addresses; both homes had theirs before there was a registry
    _drop(entries, home)
    entries[str(chosen)] = str(home)
    return chosen


def _free(entries: dict[str, str], home: Path) -> IPv4Network:
    for taken in [taken for taken, owner in entries.items() if not _lives(owner)]:
        del entries[taken]
    start = RANGES.index(_hashed(home))
    used = {
        IPv4Network((address, PREFIX), strict=False) for address in listening_addresses()
    }  # by whom no registry knows
    for candidate in (*RANGES[start:], *RANGES[:start]):
        if str(candidate) not in entries and candidate not in used:
            return candidate
    raise Refused(
        f"all {len(RANGES)} ranges of loopback addresses are reserved by other homes", subject=f"home {home}",
        hint="purge a home that is not needed: octaviactl purge --home PATH",
    )  # fmt: skip


def _first(home: Path, published: Collection[str]) -> IPv4Network:
    return _around(published) or _hashed(home)


def _around(published: Iterable[str]) -> IPv4Network | None:
    return next((IPv4Network((address, PREFIX), strict=False) for address in published), None)


def _hashed(home: Path) -> IPv4Network:
    number = int.from_bytes(hashlib.sha256(os.fsencode(home)).digest()[:2], "big")
    return RANGES[number % len(RANGES)]


def _lives(owner: str) -> bool:
    """Whether a home is one still; either file may be lost while its cloud runs."""
    return paths.database(Path(owner)).exists() or paths.key_file(Path(owner)).exists()


def _drop(entries: dict[str, str], home: Path) -> None:
    for taken in [taken for taken, owner in entries.items() if owner == str(home)]:
        del entries[taken]


@contextlib.contextmanager
def _locked(registry: Path) -> Iterator[dict[str, str]]:
    """The entries, range → home, for nobody else to change; changes are written at the end."""
    registry.mkdir(mode=0o755, parents=True, exist_ok=True)
    _check_owner(registry)
    descriptor = os.open(registry / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock(descriptor, registry)
        before = _read(registry / "ranges.json")
        entries = dict(before)
        yield entries
        if entries != before:
            _write(registry / "ranges.json", entries)
    finally:
        os.close(descriptor)


def _check_owner(registry: Path) -> None:
    found = registry.lstat()
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022 or not stat.S_ISDIR(found.st_mode):
        raise PermanentError(
            "may be written by other users, so what it says of loopback addresses is not to be trusted.",
            subject=str(registry), hint=f"look who made it; rm -r {registry}",
        )  # fmt: skip


def _lock(descriptor: int, registry: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise PermanentError(
                    f"has been locked by another process for {PATIENCE:.0f} s.", subject=str(registry / "lock"),
                    hint=f"fuser {registry / 'lock'} tells which",
                ) from None  # fmt: skip
            time.sleep(0.02)
        else:
            return


def _read(file: Path) -> dict[str, str]:
    """What stands there; nothing, where it is damaged: homes with load balancers write themselves in again."""
    try:
        return {str(taken): owner for taken, owner in _ENTRIES.validate_json(file.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except ValueError as error:
        log.warning("the registry of loopback addresses is damaged; it is begun anew", file=str(file), error=str(error))
        return {}


def _write(file: Path, entries: dict[str, str]) -> None:
    made = file.with_suffix(".new")
    with made.open("w", encoding="utf-8") as opened:
        json.dump(entries, opened, indent=1)
        opened.flush()
        os.fsync(opened.fileno())
    made.replace(file)
