# SPDX-License-Identifier: Apache-2.0
"""What could stand in a TLS container: certificates, keys and lists of every make, in every dress, whole or spoilt.

All is chosen by the draw but the numbers in keys. Signing is what takes time, so keys are made once a session.
"""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

import pem

from .chance import Draw
from .strings import hostile

KEYS: Mapping[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()), "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()), "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "P-192": lambda: ec.generate_private_key(ec.SECP192R1()), "k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048), "RSA 3": lambda: rsa.generate_private_key(3, 2048),
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024), "RSA 2047": lambda: rsa.generate_private_key(65537, 2047),
    "Ed25519": ed25519.Ed25519PrivateKey.generate, "Ed448": ed448.Ed448PrivateKey.generate,
    "DSA": lambda: dsa.generate_private_key(2048), "X25519": x25519.X25519PrivateKey.generate,
}  # fmt: skip
GOOD = ("P-256", "P-256", "P-384", "RSA", "Ed25519") * 4
DIGESTS = (
    hashes.SHA256,
    hashes.SHA256,
    hashes.SHA256,
    hashes.SHA384,
    hashes.SHA512,
    hashes.SHA224,
    hashes.SHA3_256,
)
SPANS = ((-1, 30), (-1, 30), (-1, 30), (-30, -1), (1, 30), (-9000, 9000), (-1, 2_000_000))
"""Days from now: in force, over, not yet, long."""


@functools.cache
def key(name: str) -> Any:
    """The key of this make."""
    return KEYS[name]()


@functools.cache
def authorities() -> tuple[pem.Pair, ...]:
    """A root, one below it, and a stranger."""
    root = pem.authority("root")
    return root, pem.authority("middle", root), pem.authority("stranger")


def certificate(draw: Draw, kind: str, issuer: pem.Pair | None) -> pem.Pair | None:
    """One of this kind of key; None where no such thing can be made (a key that cannot sign, without an issuer)."""
    mine = key(kind)
    subject = _name(draw)
    start, end = draw.choice(SPANS)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(mine.public_key())
        .serial_number(draw.choice((1, 2, draw.getrandbits(64) + 1, (1 << 158) + 1)))
        .not_valid_before(pem.NOW + dt.timedelta(days=start))
        .not_valid_after(pem.NOW + dt.timedelta(days=end))
    )
    for extension, critical in _extensions(draw):
        builder = builder.add_extension(extension, critical)
    try:
        return pem.Pair(_signed(draw, builder, issuer.key if issuer else mine), mine)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return None


def _signed(draw: Draw, builder: x509.CertificateBuilder, by: Any) -> x509.Certificate:
    if isinstance(by, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return builder.sign(by, None)
    digest = draw.choice(DIGESTS)()
    if isinstance(by, rsa.RSAPrivateKey) and draw.happens(30):
        scheme = padding.PSS(mgf=padding.MGF1(digest), salt_length=padding.PSS.DIGEST_LENGTH)
        return builder.sign(by, digest, rsa_padding=scheme)
    return builder.sign(by, digest)


def _name(draw: Draw) -> x509.Name:
    if draw.happens(10):
        return x509.Name([])
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, "a.test")]
    if draw.happens(40):
        text = hostile(draw).encode()[:64].decode(errors="ignore") or "x"
        parts.append(x509.NameAttribute(draw.choice((NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)), text))
    return x509.Name(parts)


def _extensions(draw: Draw) -> list[tuple[Any, bool]]:
    names: list[x509.GeneralName] = [
        x509.DNSName(draw.choice(("a.test", "*.a.test", "x" * 250, "a b", "*"))),
        x509.IPAddress(ipaddress.ip_address("fd00::1")), x509.UniformResourceIdentifier("https://a.test/%0a"),
        x509.RFC822Name("a@a.test"), x509.DirectoryName(x509.Name([])), x509.RegisteredID(ObjectIdentifier("1.2.3")),
    ]  # fmt: skip
    found: list[tuple[Any, bool]] = []
    if draw.happens(70):
        found.append((x509.SubjectAlternativeName(draw.sample(names, draw.randint(1, 3))), draw.happens(20)))
    if draw.happens(50):
        found.append((x509.BasicConstraints(draw.happens(40), None), draw.happens(70)))
    if draw.happens(20):
        usage = draw.choice(
            (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING)
        )
        found.append((x509.ExtendedKeyUsage([usage]), draw.happens(50)))
    if draw.happens(10):
        found.append((x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x04\x01x"), draw.happens(50)))
    return found


# ── dress ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
def dressed(draw: Draw, text: str) -> str:
    """The same in another dress: line ends, words around it, other labels; or spoilt."""
    dress = draw.choice((
        *(lambda t: t,) * 24,
        lambda t: t.replace("\n", "\r\n"), lambda t: t.strip(), lambda t: f"\n\n{t}\n\n", lambda t: f"Subject: x\n{t}",
        lambda t: f"\ufeff{t}", lambda t: t + hostile(draw)[:300], lambda t: hostile(draw)[:300] + t, lambda t: t * 2,
        lambda t: t.replace("CERTIFICATE-", "TRUSTED CERTIFICATE-"), lambda t: t.replace("BEGIN ", "BEGIN X"),
        lambda t: "".join(f"  {line}\n" for line in t.splitlines()), _one_line, lambda t: _flipped(draw, t),
        lambda t: t[: draw.randint(0, len(t))], lambda t: t.replace("\n", "\n\n"), lambda t: t.replace("-----END", "----END"),
    ))  # fmt: skip
    return str(dress(text))


def _one_line(text: str) -> str:
    if text.count("\n") < 2:
        return text
    head, *body, foot = text.strip("\n").split("\n")
    return f"{head}\n{''.join(body)}\n{foot}\n"


def _flipped(draw: Draw, text: str) -> str:
    at = draw.randrange(len(text) or 1)
    return text[:at] + draw.choice("Ab9+/= \n") + text[at + 1 :]


def _private(draw: Draw, pair: pem.Pair) -> tuple[str, str | None]:
    """The key as it is written, and its passphrase."""
    passphrase = (hostile(draw)[:200] or "x") if draw.happens(30) else None
    sealed = BestAvailableEncryption(passphrase.encode()[:1000]) if passphrase else NoEncryption()
    form = draw.choice((PrivateFormat.PKCS8, PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL))
    try:
        text = pair.key.private_bytes(Encoding.PEM, form, sealed).decode()
    except (ValueError, TypeError):
        text = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if (
        form is PrivateFormat.TraditionalOpenSSL
        and isinstance(pair.key, ec.EllipticCurvePrivateKey)
        and draw.happens(50)
    ):
        text = f"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{text}"
    return text, passphrase if not draw.happens(5) else hostile(draw)[:200]


# ── the three sorts ──────────────────────────────────────────────────────────────────────────────────────────────────────
def served(draw: Draw) -> dict[str, Any]:
    """A certificate with its key, and what may have signed it."""
    root, middle, stranger = authorities()
    issuer = draw.choice((None, root, middle, stranger))
    pair = certificate(draw, draw.choice((*GOOD, *KEYS)), issuer) or pem.make("a.test", middle)
    private, passphrase = _private(draw, pair)
    found = {"certificate": dressed(draw, pair.pem), "private_key": dressed(draw, private), "passphrase": passphrase}
    if draw.happens(50):
        chains = ([middle, root], [middle], [root], [root, middle], [stranger], [middle, middle], [pair, middle])
        chain = chains[0] if issuer is middle and draw.happens(60) else draw.choice(chains)
        found["intermediates"] = dressed(draw, "".join(one.pem for one in chain))
    if draw.happens(5):
        found["private_key"] = pem.make("other.test").key_pem
    return {name: value for name, value in found.items() if value is not None}


def trusted(draw: Draw) -> dict[str, Any]:
    """Authorities: those of above, and whatever else is a certificate."""
    some = [draw.choice(authorities()).pem for _ in range(draw.randint(0, 3))]
    more = certificate(draw, draw.choice((*GOOD, *KEYS)), draw.choice((None, authorities()[0])))
    return {"ca_certificates": dressed(draw, "".join([*some, *([more.pem] if more else [])]))}


def revoked(draw: Draw) -> dict[str, Any]:
    """Lists of the root and others."""
    texts = [_list(draw, draw.choice(authorities())) for _ in range(draw.randint(0, 2))]
    return {"crl": dressed(draw, "".join([_list(draw, authorities()[0]), *texts]))}


def _list(draw: Draw, issuer: pem.Pair) -> str:
    start, end = draw.choice(SPANS)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(pem.NOW + dt.timedelta(days=start))
        .next_update(pem.NOW + dt.timedelta(days=end))
    )
    if draw.happens(30):
        builder = builder.add_extension(x509.CRLNumber(draw.getrandbits(100)), critical=False)
    if draw.happens(10):
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    for _ in range(draw.choice((0, 1, 50))):
        entry = x509.RevokedCertificateBuilder().serial_number(draw.getrandbits(64) + 1).revocation_date(pem.NOW)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, draw.choice((hashes.SHA256, hashes.SHA512))()).public_bytes(Encoding.PEM).decode()


SORTS: Mapping[str, Callable[[Draw], dict[str, Any]]] = {
    "certificate": served,
    "ca_certificates": trusted,
    "crl": revoked,
}
