# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests: made when asked for, nothing is kept in files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import ed25519 as ed25519_keys
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.sealed_key("")

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    def sealed_key(self, passphrase: str) -> str:
        how = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()

    def container(self, **more: Any) -> dict[str, Any]:
        """The attributes of a TLS container with it."""
        return {"certificate": self.pem, "private_key": self.key_pem, **more}


def make(
    name: str,
    issuer: Pair | None = None,
    *,
    authority: bool = False,
    rsa_bits: int = 0,
    days: int = 30,
    since: int = 1,
    curve: ec.EllipticCurve | None = None,
) -> Pair:
    """A certificate for a DNS name, signed by ``issuer`` or by itself; valid for ``since`` days, and ``days`` more."""
    key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(curve or ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=since))
        .not_valid_after(NOW + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def ed25519() -> Any:
    """A key of that kind."""
    return ed25519_keys.Ed25519PrivateKey.generate()


def named(key: Any, common: str, names: Iterable[str], issuer: Pair | None = None) -> Pair:
    """A certificate for this key, with a common name and these alternative names (none: without the extension)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=30))
    )
    if found := [x509.DNSName(name) for name in names]:
        builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
    signing = issuer.key if issuer else key
    digest = None if isinstance(signing, ed25519_keys.Ed25519PrivateKey) else hashes.SHA256()
    return Pair(builder.sign(signing, digest), key)


def authority(name: str = "authority", issuer: Pair | None = None) -> Pair:
    """An authority."""
    return make(name, issuer, authority=True, days=3650)


def crl(issuer: Pair, *revoked: Pair) -> str:
    """A revocation list, in PEM."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - dt.timedelta(days=1))
        .next_update(NOW + dt.timedelta(days=9))
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(NOW)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
