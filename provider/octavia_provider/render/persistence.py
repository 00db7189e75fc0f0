# SPDX-License-Identifier: Apache-2.0
"""Session persistence → lines of a backend: by what a client is kept at its member."""

from __future__ import annotations

from octavia_provider.model.pool import Pool

from .lines import Lines, quote


def sets_cookies(pool: Pool) -> bool:
    """Whether haproxy gives clients a cookie, which names their server."""
    return pool.session_persistence is not None and pool.session_persistence.type == "HTTP_COOKIE"


def add(lines: Lines, pool: Pool) -> None:
    """The lines of the pool's persistence, where it has one."""
    persistence = pool.session_persistence
    if persistence is None:
        return
    if persistence.type == "SOURCE_IP":
        lines.add(pool.id, "stick-table type ipv6 size 10k")
        lines.add(pool.id, "stick on src")
    elif persistence.type == "HTTP_COOKIE":
        lines.add(pool.id, "cookie SRV insert indirect nocache")
    else:
        name = f'"{persistence.cookie_name}"'  # quoted for the argument list, then as a word (section 2.2)
        lines.add(pool.id, "stick-table type string len 64 size 10k")
        lines.add(pool.id, "stick store-response", quote(f"res.cook({name})"))
        lines.add(pool.id, "stick match", quote(f"req.cook({name})"))
