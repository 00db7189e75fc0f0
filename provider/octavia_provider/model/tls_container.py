# SPDX-License-Identifier: Apache-2.0
"""The TLS container: what Octavia's container references stand for (there: Barbican, Castellan)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import certificates as x509
from . import common, formats, private_keys
from .attributes import Rule, attribute, computed

NO_RELOAD = "none: haproxy is told at run time, on every load balancer that uses it, and no connection ends"
PEM_LENGTH = 1_048_576
"""Characters: the roots that systems ship have 300 KB, with their texts (openssl x509 -text) thrice that."""
SORTS: Mapping[str, str] = {
    "certificate": "a certificate with its private key",
    "ca_certificates": "certificates of authorities (ca_certificates)",
    "crl": "revocation lists (crl)",
}


def _one_sort(values: Mapping[str, Any]) -> str | None:
    if sum(values[sort] is not None for sort in SORTS) != 1:
        return "is required, or ca_certificates, or crl, and one of them only: a container holds one sort of thing"
    return None


def _goes_with_certificate(name: str, needed: str, message: str) -> Rule:
    def check(values: Mapping[str, Any]) -> str | None:
        return message if values[name] is not None and values[needed] is None else None

    return Rule(on=(name, needed), at=name, check=check, doc=f"{name} goes with {needed}.")


def _needs_key(values: Mapping[str, Any]) -> str | None:
    if values["certificate"] is not None and values["private_key"] is None:
        return "is required with certificate"
    return None


def _certificate(values: Mapping[str, Any]) -> str | None:
    if values["certificate"] is None:
        return None
    found = x509.certificates(values["certificate"])
    if len(found) > 1:
        return f"holds {len(found)} certificates; give the first one here and the others as intermediates"
    return x509.weakness(found[0])


def _passphrase(values: Mapping[str, Any]) -> str | None:
    """What is wrong with the passphrase; what is wrong with the key itself is said of the key."""
    key, passphrase = values["private_key"], values["passphrase"]
    if key is None:
        return None
    if passphrase is None:
        return "is required: the private key is encrypted" if private_keys.encrypted(key) else None
    if not private_keys.encrypted(key):
        return "is given, but the private key is not encrypted"
    return private_keys.WRONG_PASSPHRASE if _unopened(values) == private_keys.WRONG_PASSPHRASE else None


def _unopened(values: Mapping[str, Any]) -> str | None:
    try:
        private_keys.private_key(values["private_key"], values["passphrase"])
    except ValueError as error:
        return str(error)
    return None


def _key(values: Mapping[str, Any]) -> str | None:
    """What is wrong with the key, where it can be told."""
    key, certificate = values["private_key"], values["certificate"]
    if key is None or (private_keys.encrypted(key) and values["passphrase"] is None):
        return None
    try:
        opened = private_keys.private_key(key, values["passphrase"])
    except ValueError as error:
        return None if str(error) == private_keys.WRONG_PASSPHRASE else str(error)
    if certificate is not None and opened.public_key() != x509.certificates(certificate)[0].public_key():
        return "does not belong to the certificate: its public key is another"
    return None


def _chain(values: Mapping[str, Any]) -> str | None:
    if values["intermediates"] is None or values["certificate"] is None:
        return None
    below = x509.certificates(values["certificate"])[0]
    for place, issuer in enumerate(x509.certificates(values["intermediates"]), start=1):
        if not x509.issued_by(below, issuer):
            of = "the certificate" if place == 1 else f"number {place - 1}"
            return (
                f"are not in order: number {place} has not signed {of}; it is {x509.whose(issuer)}, and the one that has is "
                f"{x509.issuer(below)}"
            )
        if message := x509.weakness(issuer):
            return f"{x509.named(place, issuer)} {message}"
        below = issuer
    return None


def _authorities(values: Mapping[str, Any]) -> str | None:
    if values["ca_certificates"] is None:
        return None
    for place, one in enumerate(x509.certificates(values["ca_certificates"]), start=1):
        if message := x509.weakness(one):
            return f"{x509.named(place, one)} {message}"
    return None


def _pem(parse: Callable[[str], Any]) -> Callable[[str], str]:
    def canonical(value: str) -> str:
        return x509.pem(parse(value))

    return canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsContainer(common.Resource):
    """A TLS container: a certificate with its private key and chain, or certificates of authorities, or revocation
    lists. Listeners and pools refer to it; what changes in it is in force on all of them without a reload."""

    KIND: ClassVar[str] = "tls_container"
    LABEL: ClassVar[str] = "TLS container"
    COLLECTION: ClassVar[str] = "tls_containers"
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(on=tuple(SORTS), at="certificate", check=_one_sort, doc="It holds one sort of thing."),
        Rule(on=("certificate", "private_key"), at="private_key", check=_needs_key, doc="A certificate has its key."),
        _goes_with_certificate("private_key", "certificate", "goes with certificate only"),
        _goes_with_certificate("intermediates", "certificate", "go with certificate only"),
        _goes_with_certificate("passphrase", "private_key", "goes with private_key only"),
        Rule(
            on=("certificate",), at="certificate", check=_certificate,
            doc="One certificate, strong enough for TLS (RSA from 2048 bits, SHA-256).",
        ),
        Rule(
            on=("private_key", "passphrase"), at="passphrase",
            check=_passphrase, doc="passphrase opens private_key.",
        ),
        Rule(
            on=("private_key", "passphrase", "certificate"), at="private_key", check=_key,
            doc="private_key is RSA, ECDSA or Ed25519, and belongs to certificate.",
        ),
        Rule(
            on=("intermediates", "certificate"), at="intermediates", check=_chain,
            doc="Each of intermediates has signed the one before it, the first one certificate.",
        ),
        Rule(
            on=("ca_certificates",), at="ca_certificates", check=_authorities,
            doc="Authorities have keys strong enough for TLS.",
        ),
    )  # fmt: skip

    description: str = common.description()
    tags: tuple[str, ...] = common.tags()
    certificate: str | None = attribute(
        "The certificate, in PEM.", max_length=PEM_LENGTH, format=_pem(x509.certificates), cost=NO_RELOAD
    )
    private_key: str | None = attribute(
        "Its private key, in PEM. The API never shows it.",
        max_length=PEM_LENGTH, format=private_keys.canonical, secret=True, cost=NO_RELOAD,
    )  # fmt: skip
    passphrase: str | None = attribute(
        "What the private key is encrypted with, where it is. The API never shows it.",
        max_length=1024, format=formats.text, secret=True,
    )  # fmt: skip
    intermediates: str | None = attribute(
        "The certificates between it and a root that clients know, in PEM, the one that signed it first.",
        max_length=PEM_LENGTH, format=_pem(x509.certificates), cost=NO_RELOAD,
    )  # fmt: skip
    ca_certificates: str | None = attribute(
        "Instead: authorities by which certificates of clients or members are verified, in PEM.",
        max_length=PEM_LENGTH, format=_pem(x509.certificates), cost=NO_RELOAD,
    )  # fmt: skip
    crl: str | None = attribute(
        "Instead: revocation lists, in PEM, one of every authority they are used with.",
        max_length=PEM_LENGTH, format=_pem(x509.revocation_lists), cost=NO_RELOAD,
    )  # fmt: skip
    subject: str | None = computed("Whose certificate it is, or that of the first authority (RFC 4514).", always=True)
    subject_alternative_names: tuple[str, ...] | None = computed("The names it is valid for.")
    not_before: str | None = computed(
        "From when it is valid (UTC); of revocation lists: when the newest was made.", always=True
    )
    not_after: str | None = computed("Until when it is valid (UTC); the earliest end where it holds several.")
    serial_number: str | None = computed("The certificate's serial number, in hexadecimal.")
    fingerprint: str | None = computed("The certificate's SHA-256 fingerprint, in hexadecimal.")

    @property
    def sort(self) -> str:
        """Which of ``SORTS`` it holds."""
        return next(sort for sort in SORTS if getattr(self, sort) is not None)

    def served(self) -> str:
        """Certificate, chain and key in one PEM, as haproxy loads them."""
        if self.certificate is None or self.private_key is None:
            raise ValueError(f"TLS container {self.name or self.id} has no certificate")
        pss = private_keys.for_pss(x509.certificates(self.certificate)[0])
        key = private_keys.served(self.private_key, self.passphrase, pss=pss)
        return self.certificate + (self.intermediates or "") + key


def facts(values: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that are read from the content."""
    if values.get("crl"):
        lists = x509.revocation_lists(values["crl"])
        ends = [one.next_update_utc for one in lists if one.next_update_utc is not None]
        return {
            "subject": lists[0].issuer.rfc4514_string(),
            "not_before": max(one.last_update_utc for one in lists).strftime("%Y-%m-%dT%H:%M:%S"),
            "not_after": min(ends).strftime("%Y-%m-%dT%H:%M:%S") if ends else None,
        }
    found = x509.certificates(values.get("certificate") or values["ca_certificates"])
    chain = x509.certificates(values["intermediates"]) if values.get("intermediates") else []
    ends = [x509.facts(one)["not_after"] for one in (*found, *chain)]
    return {**x509.facts(found[0]), "not_after": min(ends)}
