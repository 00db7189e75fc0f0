# SPDX-License-Identifier: Apache-2.0
"""Private keys as tools write them: PKCS #1, PKCS #8, SEC 1, OpenSSH's, encrypted or not. No message holds any of one."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import armor

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KINDS = "use RSA, ECDSA or Ed25519"
WRONG_PASSPHRASE = "does not open the private key"  # noqa: S105 - a message
UNKNOWN_CIPHER = (
    "is encrypted in a way that is not supported; write it anew: openssl pkey -aes256, or ssh-keygen -p -m PKCS8"
)
_OTHERS: Mapping[str, str] = {
    "CERTIFICATE REQUEST": "a certificate request", "NEW CERTIFICATE REQUEST": "a certificate request",
    "PUBLIC KEY": "a public key", "RSA PUBLIC KEY": "a public key", "SSH2 PUBLIC KEY": "a public key",
    "CERTIFICATE": "a certificate", "X509 CERTIFICATE": "a certificate", "TRUSTED CERTIFICATE": "a certificate",
    "X509 CRL": "a revocation list", "PKCS7": "certificates in PKCS #7", "EC PARAMETERS": "parameters of a curve",
    "DH PARAMETERS": "Diffie-Hellman parameters", "DSA PARAMETERS": "DSA parameters",
}  # fmt: skip
_NAMES = {"DSA": "DSA", "Ed448": "Ed448", "X25519": "X25519", "X448": "X448", "DH": "Diffie-Hellman"}
_PSS = bytes.fromhex("300b06092a864886f70d01010a")
"""The algorithm of RSA keys that are for PSS signatures alone (RFC 4055, section 1.2), in DER."""
_PSS_NAME = "1.2.840.113549.1.1.10"


def canonical(text: str) -> str:
    """The one private key of a text, as a block of PEM without what stands around it; ``ValueError`` where there is none,
    or more than one. What it holds is seen when it is opened."""
    found = dict.fromkeys(block for block in _blocks(text) if block.label.endswith("PRIVATE KEY"))
    if not found:
        raise ValueError(_none(text))
    if len(found) > 1:
        raise ValueError(f"holds {len(found)} private keys; give the one that belongs to certificate")
    return next(iter(found)).text


def encrypted(text: str) -> bool:
    """Whether a passphrase is needed; ``text`` is canonical."""
    block = next(armor.blocks(text))
    if block.label == "OPENSSH PRIVATE KEY":
        return base64.b64decode(block.body)[19:23] != b"none"  # PROTOCOL.key of OpenSSH: a magic word, then the cipher
    return block.label.startswith("ENCRYPTED") or any("ENCRYPTED" in header for header in block.headers)


def private_key(text: str, passphrase: str | None) -> PrivateKeyTypes:
    """The key, decrypted where it is encrypted; ``ValueError`` says why it cannot be used."""
    from cryptography.exceptions import UnsupportedAlgorithm

    sealed = encrypted(text)
    if sealed and not passphrase:
        raise ValueError("is encrypted, and there is no passphrase")
    try:
        key = _load(text, passphrase.encode() if passphrase and sealed else None)
    except UnsupportedAlgorithm:
        raise ValueError(UNKNOWN_CIPHER if sealed else f"is of a kind that is not supported; {KINDS}") from None
    except (ValueError, TypeError) as error:
        raise ValueError(_why(str(error), sealed=sealed)) from None
    if kind := _unusable(key):
        raise ValueError(f"is a key of {kind}, which is not supported; {KINDS}")
    return key


def _load(text: str, passphrase: bytes | None) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    if "OPENSSH PRIVATE KEY" in text:
        return load_ssh_private_key(text.encode(), passphrase)
    return load_pem_private_key(text.encode(), passphrase)


def _why(said: str, *, sealed: bool) -> str:
    if "cipher" in said or "scheme" in said:
        return UNKNOWN_CIPHER
    if sealed and re.search("password|passphrase|corrupt", said, re.IGNORECASE):
        return WRONG_PASSPHRASE
    return "is damaged: it is in PEM, and what is in it is no private key"


def _unusable(key: PrivateKeyTypes) -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    if isinstance(
        key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
    ):
        return None
    written = type(key).__name__.lower()
    return next((kind for word, kind in _NAMES.items() if written.startswith(word.lower())), "an unknown kind")


def _blocks(text: str) -> list[armor.Block]:
    try:
        return list(armor.blocks(text))
    except ValueError:
        if not armor.holds_private_key(text):
            raise ValueError(_none(text)) from None
        raise


def _none(text: str) -> str:
    labels = [match.strip() for match in re.findall(r"-----BEGIN ([^\n-]{1,40})-----", text)]
    found = next((_OTHERS[label] for label in labels if label in _OTHERS), None)
    said = "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)"
    if found:
        return f"{said}, but {found}"
    if re.match(r"\s*(ssh-|ecdsa-)", text):
        return f"{said}, but a public key of OpenSSH"
    if "PuTTY-User-Key-File" in text:
        return f"{said}, but one in PuTTY's form; export it in OpenSSH's, then: ssh-keygen -p -m PKCS8 -f FILE"
    if armor.in_base64(text):
        return f"{said}, but PEM that was put into base64; decode it first"
    if re.match(r"\s*MI[A-Za-z0-9+/]", text):
        return f"{said}, but base64 without its lines BEGIN and END; of PKCS #12: openssl pkcs12 -nodes"
    return said


@functools.lru_cache(maxsize=256)
def served(text: str, passphrase: str | None, *, pss: bool) -> str:
    """The key, not encrypted, as PKCS #8: as haproxy loads it beside its certificate. ``pss``: that says RSASSA-PSS.

    Opening an RSA key takes tens of milliseconds, and each rendering needs it.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = private_key(text, passphrase)
    if not pss:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    inner = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    # RFC 5958: version 0, algorithm, key. ``cryptography`` forgets which of RSA's algorithms it was
    whole = _der(0x30, b"\x02\x01\x00" + _PSS + _der(0x04, inner))
    return armor.Block("PRIVATE KEY", (), base64.b64encode(whole).decode()).text


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def for_pss(certificate: x509.Certificate) -> bool:
    """Whether the certificate's key is said to be for PSS signatures alone."""
    return certificate.public_key_algorithm_oid.dotted_string == _PSS_NAME
