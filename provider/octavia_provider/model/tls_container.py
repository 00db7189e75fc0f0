# SPDX-License-Identifier: Apache-2.0
"""The TLS container: what Octavia's container references stand for (there: Barbican, Castellan)."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from . import certificates as x509
from . import common, private_keys
from .metadata import Always, Cost, Output, Rule, Secret
from .scalars import Text

NO_RELOAD = "none: haproxy is told at run time, on every load balancer that uses it, and no connection ends"
PEM_LENGTH = 1_048_576
"""Characters: the roots that systems ship have 300 KB, with their texts (openssl x509 -text) thrice that."""
SORTS: Mapping[str, str] = {
    "certificate": "a certificate with its private key",
    "ca_certificates": "certificates of authorities (ca_certificates)",
    "crl": "revocation lists (crl)",
}


def _one_sort(container: "TlsContainer") -> str | None:
    if sum(getattr(container, sort) is not None for sort in SORTS) != 1:
        return "is required, or ca_certificates, or crl, and one of them only: a container holds one sort of thing"
    return None


def _goes_with_certificate(name: str, needed: str, message: str) -> Rule:
    def check(container: "TlsContainer") -> str | None:
        return message if getattr(container, name) is not None and getattr(container, needed) is None else None

    return Rule(on=(name, needed), at=name, check=check, doc=f"{name} goes with {needed}.")


def _needs_key(container: "TlsContainer") -> str | None:
    if container.certificate is not None and container.private_key is None:
        return "is required with certificate"
    return None


def _certificate(container: "TlsContainer") -> str | None:
    if container.certificate is None:
        return None
    found = x509.certificates(container.certificate)
    if len(found) > 1:
        return f"holds {len(found)} certificates; give the first one here and the others as intermediates"
    return x509.weakness(found[0])


def _passphrase(container: "TlsContainer") -> str | None:
    """What is wrong with the passphrase; what is wrong with the key itself is said of the key."""
    key, passphrase = container.private_key, container.passphrase
    if key is None:
        return None
    if passphrase is None:
        return "is required: the private key is encrypted" if private_keys.encrypted(key) else None
    if not private_keys.encrypted(key):
        return "is given, but the private key is not encrypted"
    return private_keys.WRONG_PASSPHRASE if _unopened(key, passphrase) == private_keys.WRONG_PASSPHRASE else None


def _unopened(key: str, passphrase: str) -> str | None:
    try:
        private_keys.private_key(key, passphrase)
    except ValueError as error:
        return str(error)
    return None


def _key(container: "TlsContainer") -> str | None:
    """What is wrong with the key, where it can be told."""
    key, certificate = container.private_key, container.certificate
    if key is None or (private_keys.encrypted(key) and container.passphrase is None):
        return None
    try:
        opened = private_keys.private_key(key, container.passphrase)
    except ValueError as error:
        return None if str(error) == private_keys.WRONG_PASSPHRASE else str(error)
    if certificate is not None and opened.public_key() != x509.certificates(certificate)[0].public_key():
        return "does not belong to the certificate: its public key is another"
    return None


def _chain(container: "TlsContainer") -> str | None:
    if container.intermediates is None or container.certificate is None:
        return None
    below = x509.certificates(container.certificate)[0]
    for place, issuer in enumerate(x509.certificates(container.intermediates), start=1):
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


def _authorities(container: "TlsContainer") -> str | None:
    if container.ca_certificates is None:
        return None
    for place, one in enumerate(x509.certificates(container.ca_certificates), start=1):
        if message := x509.weakness(one):
            return f"{x509.named(place, one)} {message}"
    return None


def _pem(parse: Callable[[str], Any]) -> AfterValidator:
    def canonical(value: str) -> str:
        return x509.pem(parse(value))

    return AfterValidator(canonical)


Certificates = Annotated[str, Field(max_length=PEM_LENGTH), _pem(x509.certificates)]
RevocationLists = Annotated[str, Field(max_length=PEM_LENGTH), _pem(x509.revocation_lists)]
PrivateKey = Annotated[str, Field(max_length=PEM_LENGTH), AfterValidator(private_keys.canonical)]


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

    description: common.Description = ""
    tags: common.Tags = ()
    certificate: Annotated[Certificates | None, Cost(NO_RELOAD)] = Field(None, description="The certificate, in PEM.")
    private_key: Annotated[PrivateKey | None, Secret(), Cost(NO_RELOAD)] = Field(
        None, description="Its private key, in PEM. The API never shows it."
    )
    passphrase: Annotated[Text | None, Secret()] = Field(
        None,
        max_length=1024,
        description="What the private key is encrypted with, where it is. The API never shows it.",
    )
    intermediates: Annotated[Certificates | None, Cost(NO_RELOAD)] = Field(
        None,
        description="The certificates between it and a root that clients know, in PEM, the one that signed it first.",
    )
    ca_certificates: Annotated[Certificates | None, Cost(NO_RELOAD)] = Field(
        None, description="Instead: authorities by which certificates of clients or members are verified, in PEM."
    )
    crl: Annotated[RevocationLists | None, Cost(NO_RELOAD)] = Field(
        None, description="Instead: revocation lists, in PEM, one of every authority they are used with."
    )
    subject: Annotated[str | None, Always(), Output()] = Field(
        None, description="Whose certificate it is, or that of the first authority (RFC 4514)."
    )
    subject_alternative_names: Annotated[tuple[str, ...] | None, Output()] = Field(
        None, description="The names it is valid for."
    )
    not_before: Annotated[str | None, Always(), Output()] = Field(
        None, description="From when it is valid (UTC); of revocation lists: when the newest was made."
    )
    not_after: Annotated[str | None, Output()] = Field(
        None, description="Until when it is valid (UTC); the earliest end where it holds several."
    )
    serial_number: Annotated[str | None, Output()] = Field(
        None, description="The certificate's serial number, in hexadecimal."
    )
    fingerprint: Annotated[str | None, Output()] = Field(
        None, description="The certificate's SHA-256 fingerprint, in hexadecimal."
    )

    source: Annotated[str | None, Output()] = Field(
        None, description="The URL in a certificate manager (Barbican) that it is a copy of; none of one made here."
    )

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
