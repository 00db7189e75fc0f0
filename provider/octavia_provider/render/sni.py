# SPDX-License-Identifier: Apache-2.0
"""Which certificate of a listener is shown for which name: the one that has the most exact name (RFC 6125, section 6.4).

haproxy looks for the name and for its wildcard together, and picks ECDSA before RSA before all else among what it finds
(``ssl_sock_switchctx_cbk``, 2.6): an ECDSA certificate for ``*.example.com`` goes before an RSA one for
``api.example.com``. So a line of the list says which names its certificate does not stand for: those that another has
exactly, and only with keys that come later. Where the other's key comes first, the wildcard stays, for clients that
cannot use that key. haproxy takes a subject's common name for a name even where there are alternative names, which
make it void: it is left away where it would go before a name of another.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from octavia_provider.model import certificates

_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")  # what is no name stands in no list


@dataclass(frozen=True, slots=True)
class Named:
    """The names of a certificate in lower case; ``common``: those that haproxy takes for its names beside. ``rank``: of its
    key, the highest is picked first."""

    names: frozenset[str]
    common: frozenset[str]
    rank: int

    def covers(self, name: str) -> bool:
        """Whether it has a wildcard for the name."""
        return f"*.{name.partition('.')[2]}" in self.names


@functools.lru_cache(maxsize=4096)
def named(pem: str) -> Named:
    """What a certificate stands for. ``pem``: the certificate, the first of its chain."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    certificate = certificates.certificates(pem)[0]
    alternatives, common = certificates.dns_names(certificate)
    key = certificate.public_key()
    rank = 2 if isinstance(key, ec.EllipticCurvePublicKey) else 1 if isinstance(key, rsa.RSAPublicKey) else 0
    names = _names(alternatives or common)
    return Named(names, _names(common) - names, rank)


def _names(found: Sequence[str]) -> frozenset[str]:
    return frozenset(name for one in found if _NAME.fullmatch(name := one.lower().rstrip(".")))


def filters(listed: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """``listed``: a file and its certificate, in order. For those files that need it, the words that follow the file's name in
    the ``crt-list``: the names it is for, and with an exclamation mark those it is not for."""
    if len(listed) < 2:
        return {}
    known = {file: named(pem) for file, pem in listed.items()}
    best: dict[str, int] = {}
    for one in known.values():
        for name in one.names:
            best[name] = max(best.get(name, 0), one.rank)
    wildcards = {name for name in best if name.startswith("*.")}
    words = {file: tuple(_words(one, best, wildcards)) for file, one in known.items()}
    return {file: said for file, said in words.items() if said}


def _words(one: Named, best: Mapping[str, int], wildcards: set[str]) -> Iterator[str]:
    mine = one.names
    others: list[str] = []
    if any(name.startswith("*.") for name in mine):
        others = sorted(
            name for name, rank in best.items()
            if rank < one.rank and name not in mine and not name.startswith("*.") and one.covers(name)
        )  # fmt: skip
    void = any(name in best or f"*.{name.partition('.')[2]}" in wildcards for name in one.common)
    if others or void:
        yield from sorted(mine)
        yield from (f"!{name}" for name in others)
