# SPDX-License-Identifier: Apache-2.0
"""The Python that agents run with: its files are shown to them, so everybody has to be able to read and nobody to write them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import roots

AGENT = "import octavia_amphora.main, octavia_amphora.apply.load_balancers, octavia_amphora.heartbeat.sender, octavia_amphora.metrics.server"
SAMPLES = ("octavia_amphora/apply/load_balancers.py", "aiohttp/client.py")
"""By these it is seen how the packages were installed."""


def compile_agent() -> None:
    """Have the agent's byte code made, aside, where no installer and no earlier cloud has: an agent cannot write it, and
    would compile itself at each start. Whoever reaps this process's children reaps that one.
    """
    if not all(Path(importlib.util.cache_from_source(str(source))).exists() for source in _sources()):
        subprocess.Popen(
            [sys.executable, "-P", "-c", f"{AGENT}, octavia_amphora.server.app"], stdin=subprocess.DEVNULL, cwd="/"
        )


def unreadable() -> Path | None:
    """A file or folder that an unprivileged user may not read, as an installation under ``umask 077`` has them.

    An unprivileged user who asks may not even look: one in root's home is closed to it from above.
    """
    try:
        return _unreadable()
    except PermissionError as error:
        return Path(error.filename or sys.prefix)


def _unreadable() -> Path | None:
    shown = [Path(path).resolve() for path in roots.python()]
    for source in (*_sources(), Path(os.__file__), Path(sys.executable)):
        path = source.resolve()
        for one in (path, *path.parents):
            if not any(one.is_relative_to(folder) for folder in shown):
                break  # what is above is made anew where it is shown
            if not one.stat().st_mode & (0o1 if one.is_dir() else 0o4):
                return one
    return None


def _sources() -> Iterator[Path]:
    for sample in SAMPLES:
        package, _, rest = sample.partition("/")
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            yield Path(found.submodule_search_locations[0], rest)
