# SPDX-License-Identifier: Apache-2.0
"""What is in PEM: read with ``cryptography``, which is imported when the first certificate comes (a plugin that sees
none starts without it). Broken input raises ``ValueError``; no message holds any of the content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

RSA_BITS = 2048
CURVE_BITS = 224  # what OpenSSL serves with at its security level 2 (112 bits)
"""OpenSSL's security level 2, Debian's default: haproxy refuses a shorter key when it loads it."""
DIGESTS = ("sha224", "sha256", "sha384", "sha512")
"""What it takes signatures by: MD5 and SHA-1 are too weak for it, of SHA-3 it does not know how strong it is."""


def certificates(pem: str) -> list[x509.Certificate]:
    """All certificates of a text, one at least."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, x509.InvalidVersion):
        raise ValueError("holds no certificate in PEM (-----BEGIN CERTIFICATE-----), or a damaged one") from None
    for one in found:
        _readable(one)
    return found


def revocation_lists(pem: str) -> list[x509.CertificateRevocationList]:
    """All revocation lists of a text, one at least."""
    from cryptography import x509

    end = "-----END X509 CRL-----"
    parts = [f"{part}{end}" for part in pem.split(end)[:-1]]
    try:
        found = [x509.load_pem_x509_crl(part.encode()) for part in parts]
        for one in found:
            _ = one.issuer, one.last_update_utc, one.next_update_utc, len(one)  # parsed when they are asked for
    except (ValueError, x509.InvalidVersion):
        found = []
    if not found:
        raise ValueError("holds no revocation list in PEM (-----BEGIN X509 CRL-----), or a damaged one")
    return found


def private_key(pem: str, passphrase: str | None) -> PrivateKeyTypes:
    """The key, decrypted where it is encrypted."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem.encode(), passphrase.encode() if passphrase else None)
    except UnsupportedAlgorithm:
        raise ValueError("is a key of a kind that is not supported; use RSA, ECDSA or Ed25519") from None
    except TypeError:  # encrypted and no passphrase, or the other way round
        raise ValueError(
            "is given, but the private key is not encrypted"
            if passphrase
            else "is required: the private key is encrypted"
        ) from None
    except ValueError:
        said = "does not open the private key, or that is no private key in PEM"
        raise ValueError(said if passphrase else "is no private key in PEM, or a damaged one") from None


def weakness(certificate: x509.Certificate) -> str | None:
    """Why OpenSSL would not serve with this certificate."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS:
            return f"has an RSA key of {key.key_size} bits; {RSA_BITS} are the least that TLS takes"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.key_size < CURVE_BITS:
            return f"has a key on a curve of {key.key_size} bits; {CURVE_BITS} are the least that TLS takes"
    elif not isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return "has a key of a kind that is not supported; use RSA, ECDSA or Ed25519"
    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "is signed in a way that is not known; use SHA-256"
    if digest is not None and digest.name not in DIGESTS:
        return f"is signed with {digest.name.upper()}, which TLS does not take; use SHA-256"
    return None


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one has signed the other."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def revokes_for(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    """Whether the list is this authority's."""
    from cryptography.exceptions import UnsupportedAlgorithm

    if crl.issuer != authority.subject:
        return False
    try:
        return bool(crl.is_signature_valid(authority.public_key()))  # type: ignore[arg-type]
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def pem(found: Sequence[Any]) -> str:
    """Certificates or revocation lists as PEM: the same for the same content, no blank lines."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def key_pem(key: PrivateKeyTypes) -> str:
    """The key, not encrypted, as PKCS #8."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def facts(certificate: x509.Certificate) -> Mapping[str, Any]:
    """What is shown of a certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        alternatives = []
    else:
        alternatives = [str(getattr(name, "value", name)) for name in names]
    return {
        "subject": certificate.subject.rfc4514_string(),
        "subject_alternative_names": alternatives,
        "not_before": certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%S"),
        "not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%S"),
        "serial_number": f"{certificate.serial_number:x}",
        "fingerprint": certificate.fingerprint(SHA256()).hex(),
    }


def _readable(certificate: x509.Certificate) -> None:
    """``cryptography`` parses lazily, and takes some that OpenSSL does not: what cannot be shown, compared or loaded later is
    refused now."""
    import ssl

    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        facts(certificate)
        certificate.public_key()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem([certificate]))
    except (ValueError, UnsupportedAlgorithm, ssl.SSLError):
        raise ValueError(
            "holds a certificate that cannot be read: a damaged one, or a key of an unknown kind"
        ) from None
