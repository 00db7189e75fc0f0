# SPDX-License-Identifier: Apache-2.0
"""Requests that removed servers are still answering: who takes a server away from the load balancer may stop it next.

So a push that removes servers is answered when these have nothing to do any more, or after a moment: a connection can
last for days, and goes on after that too, for as long as its server does.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator

from octavia_amphora.haproxy import runtime
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration

POLL_SECONDS = 0.02
"""haproxy 2.6 cannot be waited for here (``wait srv-removable`` came later), so it is asked, so often."""
_SERVERS = 4  # the type of lines that are servers
_SESSIONS = 4  # "scur", a column: idle connections, which are kept for a while, are none of these


def removed_servers(old: Configuration | None, new: Configuration | None) -> set[str]:
    """The servers that one has and the other has not, as ``BACKEND/SERVER``. UDP's are none: nobody knows when a flow ends."""
    if old is None or new is None or old is new:
        return set()
    gone: set[str] = set()
    for name, backend in old.backends.items():
        now = new.backends.get(name)
        if not backend.datagrams and now is not backend:
            gone.update(f"{name}/{server}" for server in backend.servers.keys() - (now.servers.keys() if now else ()))
    return gone


async def wait_until_idle(paths: Paths, servers: set[str], workers: Iterable[int], seconds: float) -> None:
    """Wait until no worker, current or old, has a session with one of these servers, no longer than ``seconds``."""
    deadline = time.monotonic() + seconds
    while servers and await _have_sessions(paths, servers, workers):
        if time.monotonic() >= deadline:
            return
        await asyncio.sleep(POLL_SECONDS)


async def _have_sessions(paths: Paths, servers: set[str], workers: Iterable[int]) -> bool:
    backends = {name.partition("/")[0] for name in servers}
    for pid, backend in itertools.product(workers, backends):
        try:
            text = await runtime.execute(paths.master_socket, f"@!{pid} show stat {backend} {_SERVERS} -1", timeout=1.0)
        except runtime.RuntimeApiError:
            continue
        if not servers.isdisjoint(servers_with_sessions(text)):
            return True
    return False


def servers_with_sessions(text: str) -> Iterator[str]:
    """``BACKEND/SERVER`` of each server with sessions (management guide, section 9.1, ``show stat``)."""
    for line in text.splitlines():
        words = line.split(",")
        if len(words) > _SESSIONS and words[_SESSIONS] not in ("", "0") and not line.startswith("#"):
            yield f"{words[0]}/{words[1]}"
