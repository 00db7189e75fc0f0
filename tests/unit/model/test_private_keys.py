# SPDX-License-Identifier: Apache-2.0
"""Private keys: taken in every form that tools write, told apart where they cannot be used, and taken by no input that is
not secret."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed448, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

import pem
from octavia_provider.model import armor, private_keys
from octavia_provider.model.kinds import KINDS, TlsContainer
from octavia_provider.model.metadata import Attribute, inputs
from octavia_provider.model.validation import validate
from unit.model.bad_inputs import GOOD

RSA, EC = pem.make("a.test", rsa_bits=2048), pem.make("a.test")
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
BAG = "Bag Attributes\n    localKeyID: 54 69 6D 65\nKey Attributes: <No Attributes>\n"


def form(pair: pem.Pair, how: PrivateFormat, passphrase: str = "") -> str:
    sealed = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return str(pair.key.private_bytes(Encoding.PEM, how, sealed).decode())


def openssl(*words: str, given: str = "") -> str:
    return subprocess.run(["openssl", *words], input=given, capture_output=True, text=True, check=True).stdout


def bare(key: str) -> str:
    return "\n".join(line for line in key.splitlines() if line and "-----" not in line)


def pkcs12(pair: pem.Pair) -> bytes:
    sealed = BestAvailableEncryption(b"x")
    return serialize_key_and_certificates(b"a", pair.key, pair.certificate, None, sealed)  # type: ignore[arg-type]


PLAIN = form(RSA, PrivateFormat.TraditionalOpenSSL)
FORMS: dict[str, tuple[pem.Pair, str]] = {
    "PKCS #1": (RSA, PLAIN), "PKCS #8": (RSA, RSA.key_pem), "SEC 1": (EC, form(EC, PrivateFormat.TraditionalOpenSSL)),
    "with parameters before": (EC, PARAMETERS + form(EC, PrivateFormat.TraditionalOpenSSL)),
    "with parameters after": (EC, form(EC, PrivateFormat.TraditionalOpenSSL) + PARAMETERS),
    "of OpenSSH": (EC, form(EC, PrivateFormat.OpenSSH)), "with attributes": (RSA, BAG + RSA.key_pem),
    "with text": (RSA, openssl("pkey", "-text", given=RSA.key_pem)), "with words after it": (RSA, PLAIN + "\nend\n"),
    "with its certificate": (RSA, RSA.pem + RSA.key_pem), "before its certificate": (RSA, RSA.key_pem + RSA.pem),
    "twice": (EC, EC.key_pem * 2), "CRLF": (RSA, PLAIN.replace("\n", "\r\n")), "CR": (RSA, PLAIN.replace("\n", "\r")),
    "a byte order mark": (RSA, "\ufeff" + PLAIN), "no line break at the end": (RSA, PLAIN.strip()),
    "indented": (RSA, "\n".join(f"    {line}  " for line in PLAIN.splitlines())), "blank lines": (RSA, PLAIN.replace("\n", "\n\n")),
    "line breaks written out": (RSA, PLAIN.replace("\n", "\\n")), "on one line": (EC, EC.key_pem.replace("\n", "")),
}  # fmt: skip
SEALED: dict[str, tuple[pem.Pair, str]] = {
    "PKCS #8": (EC, EC.sealed_key("open sesame")), "PKCS #1": (RSA, form(RSA, PrivateFormat.TraditionalOpenSSL, "open sesame")),
    "3DES": (RSA, openssl("rsa", "-traditional", "-des3", "-passout", "pass:open sesame", given=RSA.key_pem)),
    "scrypt": (RSA, openssl("pkcs8", "-topk8", "-scrypt", "-passout", "pass:open sesame", given=RSA.key_pem)),
    "with attributes": (RSA, BAG + RSA.sealed_key("open sesame")),
}  # fmt: skip


def refusals(**values: Any) -> dict[str, str]:
    found = validate(TlsContainer, {**RSA.container(), **values}).violations
    return {str(violation.path[0]): violation.message for violation in found}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.covers("tls_container.private_key")
def test_a_key_is_taken_in_every_form(name: str) -> None:
    pair, key = FORMS[name]
    made = validate(TlsContainer, {"certificate": pair.pem, "private_key": key})
    assert made.violations == []
    assert len(list(armor.blocks(made.values["private_key"]))) == 1
    served = TlsContainer.trusted(made.values).served()
    assert [block.label for block in armor.blocks(served)] == ["CERTIFICATE", "PRIVATE KEY"]
    assert private_keys.private_key(served.partition(pair.pem)[2], None).public_key() == pair.key.public_key()


@pytest.mark.parametrize("name", SEALED)
def test_an_encrypted_key_opens_with_its_passphrase_alone(name: str) -> None:
    pair, key = SEALED[name]
    given = {"certificate": pair.pem, "private_key": key}
    assert refusals(**given, passphrase="open sesame") == {}
    assert refusals(**given, passphrase="wrong") == {"passphrase": "does not open the private key"}
    for none in (None, "", "  \n"):
        assert refusals(**given, passphrase=none) == {"passphrase": "is required: the private key is encrypted"}


def public(key: Any) -> str:
    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def kind(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (public(RSA.key.public_key()), "but a public key"),
        (RSA.pem, "but a certificate"),
        (openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=a", given=PLAIN), "but a certificate request"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@here", "but a public key of OpenSSH"),
        (PARAMETERS, "but parameters of a curve"),
        ("PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 14\nAAAA", "but one in PuTTY's form"),
        (base64.b64encode(PLAIN.encode()).decode(), "put into base64; decode it first"),
        ("".join(PLAIN.splitlines()[1:-1]), "base64 without its lines BEGIN and END"),
        ("hunter2", "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)"),
        (PLAIN[:400], "is cut off: there is a line BEGIN RSA PRIVATE KEY and no END"),
        (PLAIN.replace("\nMII", "\nM!I"), "is damaged: its RSA PRIVATE KEY is not base64"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "is damaged: it is in PEM, and what is in it"),
        (PLAIN + EC.key_pem, "holds 2 private keys"),
        (EC.key_pem, "does not belong to the certificate"),
        (kind(dsa.generate_private_key(2048)), "is a key of DSA, which is not supported; use RSA, ECDSA or Ed25519"),
        (kind(x25519.X25519PrivateKey.generate()), "is a key of X25519, which is not supported"),
        (kind(ed448.Ed448PrivateKey.generate()), "does not belong to the certificate"),
    ],
)
def test_what_is_wrong_with_a_key_is_said__and_nothing_of_the_key(key: str, says: str) -> None:
    found = refusals(private_key=key)
    assert list(found) == ["private_key"]
    assert says in found["private_key"]
    assert not any(line in found["private_key"] for line in key.splitlines() if len(line) > 40)


def test_a_passphrase_for_a_key_that_is_not_encrypted() -> None:
    assert refusals(passphrase="x") == {"passphrase": "is given, but the private key is not encrypted"}


def test_an_unknown_cipher_is_not_a_wrong_passphrase() -> None:
    key = openssl("rsa", "-traditional", "-camellia256", "-passout", "pass:x", given=PLAIN)
    assert "is encrypted in a way that is not supported" in refusals(private_key=key, passphrase="x")["private_key"]


def test_a_key_for_pss_signatures_alone_is_served_as_one(tmp_path: Path) -> None:
    """Its certificate says so; haproxy refuses the two where the key says that it is for any signature."""
    file = tmp_path / "key.pem"
    file.write_text(openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"))
    certificate = openssl("req", "-x509", "-new", "-key", str(file), "-subj", "/CN=a.test")
    made = validate(TlsContainer, {"certificate": certificate, "private_key": file.read_text()})
    assert made.violations == []
    served = TlsContainer.trusted(made.values).served()
    assert "RSA-PSS" in openssl("pkey", "-text", "-noout", given=served) or "rsassaPss" in openssl(
        "asn1parse", given=served.partition("-----END CERTIFICATE-----\n")[2]
    )


# ── inputs that are not secret ───────────────────────────────────────────────────────────────────────────────────────────
KEYS = {
    "PKCS #1": PLAIN, "PKCS #8": RSA.key_pem, "SEC 1": form(EC, PrivateFormat.TraditionalOpenSSL), "encrypted": RSA.sealed_key("x"),
    "OpenSSH": form(EC, PrivateFormat.OpenSSH), "DSA": form(pem.Pair(RSA.certificate, dsa.generate_private_key(2048)), PrivateFormat.TraditionalOpenSSL),
    "any": "-----BEGIN ANY PRIVATE KEY-----\nMAAA\n-----END ANY PRIVATE KEY-----", "PGP": "-----BEGIN PGP PRIVATE KEY BLOCK-----",
    "SSH2": "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----", "cut off": PLAIN[:200], "one line": PLAIN.replace("\n", " "),
    "written out": PLAIN.replace("\n", "\\n"), "as text": openssl("pkey", "-text", "-noout", given=PLAIN),
    "EC as text": openssl("pkey", "-text", "-noout", given=EC.key_pem), "base64": base64.b64encode(PLAIN.encode()).decode(),
    "PuTTY": "PuTTY-User-Key-File-3: ssh-rsa", "JSON": '{"kty": "RSA", "n": "AA", "d": "AAAA"}',
    "PKCS #8 without its lines": bare(RSA.key_pem), "PKCS #1 without its lines": bare(PLAIN), "EC without its lines": bare(EC.key_pem),
    "SEC 1 without its lines": bare(form(EC, PrivateFormat.TraditionalOpenSSL)), "encrypted without its lines": bare(RSA.sealed_key("x")),
    "Ed25519 without its lines": bare(openssl("genpkey", "-algorithm", "ed25519")),
    "without its first line": PLAIN.partition("\n")[2], "another label": PLAIN.replace("RSA PRIVATE KEY", "KEY"),
    "two blanks": PLAIN.replace("PRIVATE KEY", "PRIVATE  KEY"), "base64 of more": base64.b64encode(b"# mine\n" + PLAIN.encode()).decode(),
    "base64 twice": base64.b64encode(base64.b64encode(PLAIN.encode())).decode(),
    "PKCS #12": base64.encodebytes(pkcs12(RSA)).decode(),
}  # fmt: skip


@pytest.mark.parametrize("attribute", ["certificate", "intermediates", "ca_certificates", "crl"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("order", ["before", "after", "alone"])
def test_a_key_beside_what_is_asked_for_is_refused(attribute: str, key: str, order: str) -> None:
    wanted = pem.crl(pem.authority()) if attribute == "crl" else RSA.pem
    text = {"before": KEYS[key] + "\n" + wanted, "after": wanted + KEYS[key], "alone": KEYS[key]}[order]
    found = [v for v in validate(TlsContainer, {attribute: text}).violations if v.path == (attribute,)]
    assert "holds a private key" in found[0].message
    assert "private_key" in found[0].message
    assert not any(line in str(found) for line in KEYS[key].splitlines() if len(line) > 40)


@pytest.mark.parametrize(
    "text",
    [
        RSA.pem, bare(RSA.pem), base64.b64encode(RSA.pem.encode()).decode(), pem.crl(pem.authority()), "A" * 500, "M" * 500,
        openssl("pkey", "-pubout", given=PLAIN), bare(openssl("pkey", "-pubout", given=EC.key_pem)),
        openssl("rsa", "-RSAPublicKey_out", given=PLAIN), bare(openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", given=RSA.pem)),
        "begin with a new private key", "send private key holders a note",
    ],
    ids=["certificate", "bare certificate", "base64", "list", "A", "M", "public key", "bare public key of EC", "RSA public key",
        "bare PKCS #7", "begin", "send"],
)  # fmt: skip
def test_what_holds_no_key_is_none(text: str) -> None:
    assert not armor.holds_private_key(text)


def texts(kind: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Attribute]]:
    for name, attribute in inputs(kind).items():
        if attribute.nested is not None:
            yield from texts(attribute.nested, (*path, name))
        elif str in (attribute.annotation, attribute.item) and not attribute.hidden:
            yield (*path, name), attribute


@pytest.mark.parametrize(
    ("kind", "path", "attribute"),
    [(kind, path, attribute) for kind, cls in KINDS.items() for path, attribute in texts(cls)],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_no_text_that_is_not_secret_takes_a_key(kind: str, path: tuple[str, ...], attribute: Attribute) -> None:
    value: Any = [EC.key_pem] if attribute.is_list else {"A": EC.key_pem} if attribute.is_map else EC.key_pem
    owner: Any = KINDS[kind]
    for name in reversed(path):
        value = {name: value}
    for name in path[:-1]:  # where a list of objects is asked for
        outer = inputs(owner)[name]
        value[name] = [value[name]] if outer.is_list else value[name]
        owner = outer.nested
    found = validate(KINDS[kind], {**GOOD[kind], **value}).violations
    said = [v.message for v in found if v.path[0] == path[0]]
    assert any("holds a private key" in one or "must not be longer" in one for one in said), found
    assert EC.key_pem.splitlines()[1] not in str(found)


def test_a_key_where_a_name_is_expected_is_not_said_again() -> None:
    found = validate(
        KINDS["listener"], {**GOOD["listener"], EC.key_pem: 1, "insert_headers": {EC.key_pem: "true"}}
    ).violations
    assert len(found) == 2
    assert EC.key_pem.splitlines()[1] not in str(found)


def test_what_tells_of_keys_and_is_none_is_taken() -> None:
    """``openssl x509 -text`` of a certificate has such words."""
    text = "X509v3 Private Key Usage Period:\n    Not Before: Jan  1 00:00:00 2020 GMT\n" + RSA.pem
    assert refusals(certificate=text) == {}
    assert refusals(description="where its private key lies") == {}
