# SPDX-License-Identifier: Apache-2.0
"""What secrets of Barbican hold, as inputs of a TLS container: PEM or DER, or PKCS #12 without a password. Whether it is good is
for the model to say (``model.tls_container``). ``ValueError`` where it is nothing of it; no message holds any of the content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from octavia_provider.model import armor, private_keys
from octavia_provider.model.certificates import CERTIFICATE, CRL, issued_by

if TYPE_CHECKING:
    from cryptography import x509

PARTS: Mapping[str, str] = {
    "certificate": "certificate", "private_key": "private_key", "intermediates": "intermediates",
    "private_key_passphrase": "passphrase",
}  # fmt: skip
"""The secrets of a certificate container, with our names."""
NOTHING = (
    "holds no certificate that can be used: certificates of authorities or revocation lists in PEM, or a certificate with its key in "
    "PKCS #12 (openssl pkcs12 -export -passout pass:)"
)
SEALED = "is PKCS #12 with a password, which Barbican has no place for: openssl pkcs12 -export -passout pass:"
KEY_ALONE = (
    "holds a private key in PEM; put it with its certificate into a container of the type certificate, or into PKCS #12"
)


def of_container(parts: Mapping[str, bytes]) -> dict[str, Any]:
    """Of the secrets of a certificate container. Where its certificate is followed by others, these are the first intermediates."""
    texts = {PARTS[name]: _text(name, content) for name, content in parts.items()}
    if (key := texts.get("private_key")) and "passphrase" in texts and not _encrypted(key):
        del texts["passphrase"]  # Octavia does not mind one that is not needed
    blocks = [one.text for one in _blocks(texts.get("certificate", "")) if one.label in CERTIFICATE]
    if len(blocks) > 1:
        texts["certificate"] = blocks[0]
        texts["intermediates"] = "".join(blocks[1:]) + texts.get("intermediates", "")
    return texts


def of_secret(content: bytes) -> dict[str, Any]:
    """Of a secret by itself."""
    text = _decoded(content)
    if text is not None and "-----BEGIN " in text:
        return _of_pem(text)
    return _of_der(content)


def _of_pem(text: str) -> dict[str, Any]:
    if armor.holds_private_key(text):
        raise ValueError(KEY_ALONE)
    labels = {one.label for one in _blocks(text)}
    if labels & {*CRL}:
        return {"crl": text}
    if labels & {*CERTIFICATE}:
        return {"ca_certificates": text}
    raise ValueError(NOTHING)


def _of_der(content: bytes) -> dict[str, Any]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    if (found := _of_pkcs12(content)) is not None:
        return found
    for name, load in (("ca_certificates", x509.load_der_x509_certificate), ("crl", x509.load_der_x509_crl)):
        try:
            return {name: load(content).public_bytes(Encoding.PEM).decode()}
        except ValueError:
            continue
    raise ValueError(NOTHING)


def _of_pkcs12(content: bytes) -> dict[str, Any] | None:
    """None where it is no PKCS #12."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

    sealed = False
    for password in (None, b""):  # two ways to write that there is none (RFC 7292, appendix B.1)
        try:
            bundle = pkcs12.load_pkcs12(content, password)
        except ValueError as error:
            sealed |= "password" in str(error).lower()
            continue
        if bundle.key is None or bundle.cert is None:
            raise ValueError("is PKCS #12 without a private key, or without its certificate")
        chain = _chain(bundle.cert.certificate, [one.certificate for one in bundle.additional_certs])
        pem = [one.public_bytes(Encoding.PEM).decode() for one in (bundle.cert.certificate, *chain)]
        key = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {"certificate": pem[0], "private_key": key, **({"intermediates": "".join(pem[1:])} if chain else {})}
    if sealed:
        raise ValueError(SEALED)
    return None


def _chain(leaf: x509.Certificate, others: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """Of certificates in any order those that lead from this one on; a root that is its own issuer ends it."""
    left, found = list(others), [leaf]
    while (issuer := next((one for one in left if issued_by(found[-1], one)), None)) is not None:
        left.remove(issuer)
        found.append(issuer)
    return found[1:]


def _text(name: str, content: bytes) -> str:
    """A part of a container as text; DER in PEM."""
    text = _decoded(content)
    if text is not None and (name == "private_key_passphrase" or "-----BEGIN " in text):
        return text
    try:
        return _pem_of_key(content) if name == "private_key" else _pem_of_certificate(content)
    except (ValueError, TypeError):
        raise ValueError(f"its {name} is neither PEM nor DER") from None


def _pem_of_key(content: bytes) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

    key = load_der_private_key(content, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _pem_of_certificate(content: bytes) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_der_x509_certificate(content).public_bytes(Encoding.PEM).decode()


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _blocks(text: str) -> list[armor.Block]:
    try:
        return list(armor.blocks(text))
    except ValueError:
        return []  # the model says what is wrong with it


def _encrypted(key: str) -> bool:
    try:
        return private_keys.encrypted(private_keys.canonical(key))
    except ValueError:
        return True
