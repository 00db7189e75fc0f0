# SPDX-License-Identifier: Apache-2.0
"""What is in PEM: read with ``cryptography``, which is imported when the first certificate comes (a plugin that sees
none starts without it). Broken input raises ``ValueError``; no message holds any of the content.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import armor, echo

if TYPE_CHECKING:
    import ssl

    from cryptography import x509

RSA_BITS = 2048
CURVE_BITS = 224  # what OpenSSL serves with at its security level 2 (112 bits)
"""OpenSSL's security level 2, Debian's default: haproxy refuses a shorter key when it loads it."""
DIGESTS = ("sha224", "sha256", "sha384", "sha512")
"""What it takes signatures by: MD5 and SHA-1 are too weak for it, of SHA-3 it does not know how strong it is."""
WEAK_DIGESTS = ("sha1", "md5")
"""What it takes of a root all the same."""
CERTIFICATE = ("CERTIFICATE", "X509 CERTIFICATE")
CRL = ("X509 CRL",)
_CONVERT: Mapping[str, str] = {
    "TRUSTED CERTIFICATE": "openssl x509 -in FILE", "PKCS7": "openssl pkcs7 -print_certs -in FILE",
    "PKCS #7 SIGNED DATA": "openssl pkcs7 -print_certs -in FILE", "CMS": "openssl pkcs7 -print_certs -in FILE",
}  # fmt: skip


@functools.lru_cache(maxsize=64)
def certificates(pem: str) -> tuple[x509.Certificate, ...]:
    """All certificates of a text, one at least."""
    from cryptography import x509

    with _quiet():
        found = _all(
            pem, CERTIFICATE, "certificate in PEM (-----BEGIN CERTIFICATE-----)", x509.load_pem_x509_certificate
        )
        _readable(found)
    return tuple(found)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of serial numbers that RFC 5280 forbids: some roots of old have one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@functools.lru_cache(maxsize=64)
def revocation_lists(pem: str) -> tuple[x509.CertificateRevocationList, ...]:
    """All revocation lists of a text, one at least."""
    from cryptography import x509

    def load(block: bytes) -> x509.CertificateRevocationList:
        one = x509.load_pem_x509_crl(block)
        _ = one.issuer, one.last_update_utc, one.next_update_utc, len(one)  # parsed when they are asked for
        return one

    return tuple(_all(pem, CRL, "revocation list in PEM (-----BEGIN X509 CRL-----)", load))


def _all(pem: str, labels: Sequence[str], what: str, load: Callable[[bytes], Any]) -> list[Any]:
    """Everything with one of these labels; ``ValueError`` says which of many cannot be read."""
    from cryptography.x509 import InvalidVersion

    found: list[Any] = []
    try:
        blocks = list(armor.blocks(pem))
    except ValueError as error:
        raise ValueError(f"holds no {what}, or a damaged one: it {error}") from None
    mine = [block for block in blocks if block.label in labels]
    if not mine:
        raise ValueError(f"holds no {what}{_instead(pem, blocks)}")
    for place, block in enumerate(mine, start=1):
        try:
            found.append(load(armor.Block(labels[0], (), block.body).text.encode()))
        except (ValueError, InvalidVersion):
            which = f"number {place} of {len(mine)}" if len(mine) > 1 else "it"
            raise ValueError(f"holds no {what}, or a damaged one: {which} cannot be read") from None
    return found


def _instead(pem: str, blocks: Sequence[armor.Block]) -> str:
    """What a text holds that should hold something else."""
    how = next((_CONVERT[block.label] for block in blocks if block.label in _CONVERT), None)
    if how:
        return f", but {blocks[0].label}; take what this writes: {how}"
    if blocks:
        return f", but {blocks[0].label}"
    return ", but PEM that was put into base64; decode it first" if armor.in_base64(pem) else ", or a damaged one"


def named(place: int, certificate: x509.Certificate) -> str:
    """How a message calls one of many."""
    return f"number {place} ({whose(certificate)})"


def whose(certificate: x509.Certificate) -> str:
    """The subject, as a message shows it."""
    return _called(certificate.subject)


def issuer(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    """Who signed it, likewise."""
    return _called(signed.issuer)


def _called(name: x509.Name) -> str:
    text = name.rfc4514_string()
    return echo.printable(echo.cut(text, echo.SHOWN)) if text else "without a subject"


def weakness(certificate: x509.Certificate) -> str | None:
    """Why OpenSSL would not serve with this certificate."""
    return _weak_key(certificate) or _weak_signature(certificate)


def _weak_key(certificate: x509.Certificate) -> str | None:
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
    return None


def _weak_signature(certificate: x509.Certificate) -> str | None:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "is signed in a way that is not known; use SHA-256"
    if digest is not None and digest.name in WEAK_DIGESTS and _vouches_for_itself(certificate):
        return None
    if digest is not None and digest.name not in DIGESTS:
        return f"is signed with {digest.name.upper()}, which TLS does not take; use SHA-256"
    return None


@_quiet()
def _vouches_for_itself(certificate: x509.Certificate) -> bool:
    """Whether it names itself as its issuer: its signature proves nothing, and OpenSSL does not look at it
    (ssl/t1_lib.c: ssl_security_cert_sig; X509v3: EXFLAG_SS)."""
    from cryptography import x509

    if certificate.issuer != certificate.subject:
        return False
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return True
    return issuer is None or issuer == own


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


@_quiet()
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


def dns_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """The DNS names among its alternative names, and the common names of its subject."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        alternatives = []
    else:
        alternatives = found.get_values_for_type(x509.DNSName)
    return alternatives, [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _readable(found: Sequence[x509.Certificate]) -> None:
    """``cryptography`` parses lazily, and takes some that OpenSSL does not: what cannot be shown, compared or loaded later is
    refused now."""
    import ssl

    openssl = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for place, certificate in enumerate(found, start=1):
        if not _loads(certificate, openssl):
            which = f"number {place} of {len(found)}" if len(found) > 1 else "it"
            raise ValueError(
                f"holds a certificate that cannot be read: {which} is a damaged one, or has a key of an unknown kind"
            )


def _loads(certificate: x509.Certificate, openssl: ssl.SSLContext) -> bool:
    import ssl

    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        facts(certificate)
        certificate.public_key()
        openssl.load_verify_locations(cadata=certificate.public_bytes(Encoding.DER))
    except (ValueError, UnsupportedAlgorithm, ssl.SSLError):
        return False
    return True
