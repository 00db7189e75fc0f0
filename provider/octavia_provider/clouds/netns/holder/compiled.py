# SPDX-License-Identifier: Apache-2.0
"""The agent's byte code: an agent cannot write it (its root is read-only), and would compile itself at each start."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

AGENT = "import octavia_amphora.main, octavia_amphora.apply.engine, octavia_amphora.beat.sender, octavia_amphora.metrics.server"
SAMPLES = ("octavia_amphora/apply/engine.py", "aiohttp/client.py")
"""Files by which it is seen whether an installer, or an earlier cloud, has compiled all."""


def begin() -> None:
    """Have it made, aside, where it is not there yet; whoever reaps this process's children reaps that one."""
    if all(_is_there(sample) for sample in SAMPLES):
        return
    subprocess.Popen(
        [sys.executable, "-P", "-c", f"{AGENT}, octavia_amphora.server.app"], stdin=subprocess.DEVNULL, cwd="/"
    )


def _is_there(sample: str) -> bool:
    package, _, rest = sample.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return True  # nothing that we could help
    source = Path(found.submodule_search_locations[0], rest)
    return Path(importlib.util.cache_from_source(str(source))).exists()
