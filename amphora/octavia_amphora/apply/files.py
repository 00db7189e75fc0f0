# SPDX-License-Identifier: Apache-2.0
"""Certificates with their keys, authorities and revocation lists, in memory-backed storage.

Contents lie by digest in one directory, for what is in force and for what is to be; the directory that haproxy reads
has them by name, as hard links. So a roll back and an agent that starts again find what they need, and a reboot
leaves nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration, File, crt_line, crt_list, without_contents
from octavia_amphora.wire.messages import Refusal

from .disk import quarantine, remove, write
from .errors import PushRefused


class Files:
    """The files of one load balancer."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def store(self, configuration: Configuration) -> Configuration:
        """Keep the contents that came; the configuration without them. ``PushRefused`` when one is neither here nor came."""
        for one in configuration.files.values():
            _check_names(one)
            self._quarantine_damaged(one)
            path = self._paths.contents / one.digest
            if one.content and hashlib.sha256(one.content.encode()).hexdigest() != one.digest:
                raise PushRefused(
                    Refusal("bad_request", f"the content of file {one.name} has not the digest that is given")
                )
            if one.content and not path.exists():
                write(path, one.content.encode(), mode=self._paths.mode)
            elif not path.exists():
                raise PushRefused(
                    Refusal("base", f"file {one.name} came without content and is not here. Push the whole")
                )
        return without_contents(configuration)

    def _quarantine_damaged(self, one: File) -> None:
        """A content that is not what its name says is as good as none."""
        path = self._paths.contents / one.digest
        try:
            good = hashlib.sha256(path.read_bytes()).hexdigest() == one.digest
        except FileNotFoundError:
            return
        except OSError:
            good = False
        if not good:
            quarantine(path, "its content has not the digest that is its name")

    def has_contents(self, configuration: Configuration) -> bool:
        """Whether every content is here: not after a reboot."""
        return all((self._paths.contents / one.digest).exists() for one in configuration.files.values())

    def content(self, one: File) -> str:
        """The content of a file."""
        return (self._paths.contents / one.digest).read_text()

    def link_files(self, configuration: Configuration, directory: Path) -> None:
        """Make a directory hold what this configuration names, and nothing else."""
        if not self.has_contents(configuration):
            raise PushRefused(Refusal("failed", "certificates are not here any more (a reboot). Push the whole"))
        for one in configuration.files.values():
            link = directory / f".{one.name}.tmp"
            remove(link)
            os.link(self._paths.contents / one.digest, link)
            link.replace(directory / one.name)
        lists = {crt_list(f.name): f for f in configuration.frontends.values() if f.certificates}
        for name, frontend in lists.items():
            text = "".join(f"{crt_line(frontend, one)}\n" for one in frontend.certificates)
            write(directory / name, text.encode(), mode=self._paths.mode)
        _keep_only(directory, {*configuration.files, *lists})

    def remove_unused(self, *kept: Configuration | None) -> None:
        """Contents that no configuration needs any more leave the memory."""
        _keep_only(self._paths.contents, {f.digest for one in kept if one for f in one.files.values()})
        _keep_only(self._paths.candidate_files, ())


def _keep_only(directory: Path, names: Iterable[str]) -> None:
    kept = frozenset(names)
    for path in directory.iterdir():
        if path.name not in kept:
            remove(path)


def _check_names(one: File) -> None:
    """Names and digests become paths: neither may lead elsewhere."""
    for text in (one.name, one.digest):
        if not text or "/" in text or text.startswith(".") or not text.isprintable():
            raise PushRefused(Refusal("bad_request", f"{text!r} is not the name or the digest of a file"))
