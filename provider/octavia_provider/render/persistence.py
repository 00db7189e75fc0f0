# SPDX-License-Identifier: Apache-2.0
"""Session persistence → lines of a backend: by what a client is kept at its member.

The application's cookie is remembered by the digest of its value: all of it decides, however long it is. A value is what
stands between the equals sign and the semicolon (RFC 6265, section 5.2); ``req.cook`` and ``res.cook`` of haproxy 2.6 end it
at a comma too and take quotes for brackets, so it is cut out of the headers. A browser keeps the last cookie of a name that it is given.
"""

from __future__ import annotations

from octavia_provider.model.listener import Listener
from octavia_provider.model.pool import Pool, SessionPersistence

from . import tls
from .lines import Lines, quote

# The digest as text has 64 characters, which is what tables have held since there are any.
_TABLE = "stick-table type string len 64 size 10k"
# No part can take what the next one would. An argument in quotes is a word by itself (2.2).
_VALUE = r"\\s*+\\Q{name}\\E\\s*+=\\s*+([^;\\s]*+(?:\\h++[^;\\s]++)*+)[\\s\\S]*$"
_GIVEN = r'res.hdrs,regsub("^(?:[\\s\\S]*\\n)?(?i:set-cookie):{value}","\\1"),sha2(256),hex'
_SHOWN = r'req.hdrs,regsub("^(?:[\\s\\S]*?\\n)??(?i:cookie):(?:[^\\n]*?;)??{value}","\\1"),sha2(256),hex'


def sets_cookies(pool: Pool) -> bool:
    """Whether haproxy gives clients a cookie, which names their server."""
    return pool.session_persistence is not None and pool.session_persistence.type == "HTTP_COOKIE"


def add(lines: Lines, listener: Listener, pool: Pool) -> None:
    """The lines of the pool's persistence, where it has one."""
    persistence = pool.session_persistence
    if persistence is None:
        return
    if persistence.type == "SOURCE_IP":
        lines.add(pool.id, "stick-table type ipv6 size 10k")
        lines.add(pool.id, "stick on src")
    elif persistence.type == "HTTP_COOKIE":
        lines.add(pool.id, "cookie SRV insert indirect nocache", *_attributes(listener, persistence))
    else:
        name = persistence.cookie_name or ""
        value = _VALUE.replace("{name}", name)
        given, shown = (quote(f'{side}.cook("{name}")') for side in ("res", "req"))
        lines.add(pool.id, _TABLE)
        lines.add(
            pool.id, "stick store-response", quote(_GIVEN.replace("{value}", value)), f"if {{ {given} -m found }}"
        )
        lines.add(pool.id, "stick match", quote(_SHOWN.replace("{value}", value)), f"if {{ {shown} -m found }}")
        lines.add(pool.id, "stick match", shown)  # what earlier versions remembered, by the first 64 characters


def _attributes(listener: Listener, persistence: SessionPersistence) -> list[str]:
    """RFC 6265 (section 4.1.2), and SameSite as browsers have it: they take None with Secure alone."""
    words = [] if persistence.cookie_http_only is False else ["httponly"]
    secure = persistence.cookie_secure
    if secure is None:
        secure = tls.ends_here(listener) or persistence.cookie_same_site == "NONE"
    words += ["secure"] if secure else []
    if persistence.cookie_same_site:
        words.append(f"attr SameSite={persistence.cookie_same_site.capitalize()}")
    return words
