# SPDX-License-Identifier: Apache-2.0
"""What listeners and pools say of TLS alike: versions, ciphers, ALPN; and the containers that they refer to."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from .metadata import Choice, Cost, OneOf, Reference, Rule, Unordered
from .scalars import ContainerRef

RELOAD = "a seamless reload of haproxy; no request is lost"
ANOTHER = f"{RELOAD}. (What changes in the container itself is in force without one)"

# No SSLv3, which Octavia lists: OpenSSL 3 is built without it.
VERSIONS = (
    Choice("TLSv1", "TLS 1.0 (deprecated by RFC 8996)"), Choice("TLSv1.1", "TLS 1.1 (deprecated by RFC 8996)"),
    Choice("TLSv1.2", "TLS 1.2"), Choice("TLSv1.3", "TLS 1.3"),
)  # fmt: skip
ALPN = (
    Choice("h2", "HTTP/2"), Choice("http/1.1", "HTTP/1.1"), Choice("http/1.0", "HTTP/1.0"),
)  # fmt: skip
DEFAULT_VERSIONS = ("TLSv1.2", "TLSv1.3")
DEFAULT_ALPN = ("h2", "http/1.1", "http/1.0")
# octavia's default: OWASP's cipher suite B, with the ECDSA forms, without which an ECDSA certificate has no cipher
DEFAULT_CIPHERS = (
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
    ":ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
    ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    ":ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    ":DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256"
)
SUITES = frozenset({
    "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
})  # fmt: skip
"""The cipher suites of TLS 1.3 (RFC 8446, appendix B.4), by OpenSSL's names."""
_CIPHERS = re.compile(r"[A-Za-z0-9\-+!:@=_.]+")


def split_ciphers(ciphers: str) -> tuple[str, str]:
    """For TLS 1.2 and older, and for TLS 1.3: OpenSSL and haproxy keep them apart, Octavia has one list."""
    names = [name for name in ciphers.split(":") if name]
    old = ":".join(name for name in names if not name.startswith("TLS_"))
    return old, ":".join(name for name in names if name.startswith("TLS_"))


def ciphers(value: str) -> str:
    """A list in OpenSSL's words of which at least something is known."""
    if not _CIPHERS.fullmatch(value):
        raise ValueError("may hold letters, digits and -+!:@=_. only: names of OpenSSL's ciphers, joined by colons")
    old, new = split_ciphers(value)
    unknown = [name for name in new.split(":") if new and name not in SUITES]
    if unknown:
        raise ValueError(f"{unknown[0]} is no cipher suite of TLS 1.3; there are {', '.join(sorted(SUITES))}")
    if old and not _selectable(old):
        raise ValueError("names no cipher that OpenSSL knows for TLS 1.2 (openssl ciphers lists them)")
    if not old and not new:
        raise ValueError("names no cipher")
    return value


def _selectable(old: str) -> bool:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(old)
    except ssl.SSLError:
        return False
    return True


Ciphers = Annotated[str, AfterValidator(ciphers), Cost(RELOAD)]
Versions = Annotated[tuple[Annotated[str, OneOf(VERSIONS)], ...], Unordered(), Cost(RELOAD)]
Alpn = Annotated[tuple[Annotated[str, OneOf(ALPN)], ...], Cost(RELOAD)]
Container = Annotated[ContainerRef | None, Reference("tls_container"), Cost(ANOTHER)]
"""A reference to a TLS container."""
NAMED = " The id of a TLS container, or a URL that ends with it; on OpenStack a reference to Barbican too."


def ciphers_of(who: str, applies: str) -> str:
    """What ``tls_ciphers`` of a listener or a pool is."""
    return (
        f"The ciphers that {who} takes, in OpenSSL's words, those of TLS 1.3 (TLS_…) in the same list; {applies}. "
        "OWASP's suite B when not given."
    )


def versions_of(who: str, applies: str) -> str:
    """What ``tls_versions`` of a listener or a pool is."""
    return f"The versions of TLS that {who} takes, without a gap; {applies}. TLSv1.2 and TLSv1.3 when not given."


def alpn_of(who: str, applies: str) -> str:
    """What ``alpn_protocols`` of a listener or a pool is."""
    return f"What {who} offers by ALPN, the best first; {applies}. h2, http/1.1 and http/1.0 when not given."


def _versions(made: Any) -> str | None:
    given = made.tls_versions
    if given is None:
        return None
    order = [choice.value for choice in VERSIONS]
    places = sorted(order.index(version) for version in set(given))
    if not places:
        return "must name one version at least"
    if places != list(range(places[0], places[-1] + 1)):
        return (
            f"must have no gap: OpenSSL serves from the oldest to the newest, and {order[places[0] + 1]} lies between"
        )
    return None


def _ciphers_for_versions(made: Any) -> str | None:
    if made.tls_ciphers is None or not all(v in {c.value for c in VERSIONS} for v in made.tls_versions or ()):
        return None
    versions = set(made.tls_versions or DEFAULT_VERSIONS)
    old, new = split_ciphers(made.tls_ciphers)
    if not old and versions != {"TLSv1.3"}:
        return "has no cipher for TLS 1.2; add one, or take TLSv1.3 alone into tls_versions"
    if not new and versions == {"TLSv1.3"}:
        return "has no cipher suite of TLS 1.3 (TLS_…), and tls_versions has no other version"
    return None


def _alpn(made: Any) -> str | None:
    given = made.alpn_protocols
    if given is None:
        return None
    return None if given else "must name one protocol at least"


TERMS = ("tls_ciphers", "tls_versions", "alpn_protocols")
TLS_DEFAULTS: Mapping[str, Any] = {
    "tls_ciphers": DEFAULT_CIPHERS, "tls_versions": DEFAULT_VERSIONS, "alpn_protocols": DEFAULT_ALPN,
}  # fmt: skip


def rules(on: tuple[str, ...], applies: Callable[[Any], bool]) -> tuple[Rule, ...]:
    """The rules of ``TERMS``, which hold where TLS is spoken: where ``applies`` says so, by the attributes ``on``."""

    def rule(names: tuple[str, ...], check: Callable[[Any], str | None], doc: str) -> Rule:
        return Rule(on=(*on, *names), at=names[0], check=lambda made: check(made) if applies(made) else None, doc=doc)

    return (
        rule(("tls_versions",), _versions, "tls_versions has no gap."),
        rule(("tls_ciphers", "tls_versions"), _ciphers_for_versions, "tls_ciphers holds at least one cipher for the versions in tls_versions."),
        rule(("alpn_protocols",), _alpn, "alpn_protocols names at least one protocol."),
    )  # fmt: skip


def without_effect(
    names: tuple[str, ...], on: tuple[str, ...], idle: Callable[[Any], bool], message: str
) -> tuple[Rule, ...]:
    """Notes: each of ``names`` is taken and means nothing where it is ``idle``."""

    def note(name: str) -> Rule:
        def check(made: Any) -> str | None:
            return message if getattr(made, name) is not None and idle(made) else None

        return Rule(on=(*on, name), at=name, check=check, doc=f"{name} {message}.")

    return tuple(map(note, names))


def needs(name: str, other: str, why: str) -> Rule:
    """A rule: ``name`` is given only together with ``other``."""

    def check(made: Any) -> str | None:
        return f"needs {other}: {why}" if getattr(made, name) and not getattr(made, other) else None

    return Rule(on=(name, other), at=name, check=check, doc=f"{name} needs {other}.")


def only_when(name: str, other: str, wanted: Callable[[Any], bool], message: str, doc: str) -> Rule:
    """A rule: ``name`` is given only where ``wanted(other)``."""

    def check(made: Any) -> str | None:
        return message if getattr(made, name) and not wanted(getattr(made, other)) else None

    return Rule(on=(name, other), at=name, check=check, doc=doc)
