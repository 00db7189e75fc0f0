# SPDX-License-Identifier: Apache-2.0
"""Certificates and lists of them: what is taken, and which of many a message means."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import pem
from octavia_provider.model.kinds import TlsContainer
from octavia_provider.model.validation import validate

CA, OTHER = pem.authority("one"), pem.authority("other")
MIDDLE = pem.authority("middle", CA)
PAIR = pem.make("a.test", MIDDLE)
SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")


def root(name: str, *how: str, bits: int = 2048) -> str:
    """A root that signs itself in a way that ``cryptography`` does not sign in."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        f"rsa:{bits}",
        "-nodes",
        "-keyout",
        "/dev/null",
        "-subj",
        f"/CN={name}",
        *how,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def below(name: str, folder: Path, *how: str) -> tuple[str, str]:
    """A root, and a certificate that it has signed in this way."""
    key, own = folder / "ca.key", folder / "ca.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", own, "-subj", "/CN=top"], capture_output=True, check=True)  # fmt: skip
    return own.read_text(), root(name, "-CA", str(own), "-CAkey", str(key), *how)


def refusals(**values: object) -> dict[str, str]:
    return {str(violation.path[0]): violation.message for violation in validate(TlsContainer, values).violations}


@pytest.mark.parametrize("digest", ["-sha1", "-md5", "-sha256"])
@pytest.mark.covers("tls_container.ca_certificates")
def test_a_root_may_sign_itself_as_it_likes(digest: str) -> None:
    assert refusals(ca_certificates=CA.pem + root("old", digest) + OTHER.pem) == {}


def test_the_authorities_of_this_system_are_taken() -> None:
    """As Debian ships them (package ca-certificates), by the hundred, some signed with SHA-1."""
    bundle = SYSTEM.read_text()
    made = validate(TlsContainer, {"ca_certificates": bundle})
    assert made.violations == []
    assert made.values["ca_certificates"].count("BEGIN") == bundle.count("BEGIN") > 100


def test_which_of_many_is_weak(tmp_path: Path) -> None:
    top, signed = below("the weak one", tmp_path, "-sha1")
    many = CA.pem + top + signed + OTHER.pem
    assert refusals(ca_certificates=many) == {
        "ca_certificates": "number 3 (CN=the weak one) is signed with SHA1, which TLS does not take; use SHA-256"
    }
    short = root("the short one", bits=1024)
    assert (
        "number 2 (CN=the short one) has an RSA key of 1024 bits"
        in refusals(ca_certificates=CA.pem + short)["ca_certificates"]
    )


def test_which_of_many_cannot_be_read() -> None:
    damaged = OTHER.pem.replace("\nMII", "\nMIJ")
    assert "number 2 of 3 cannot be read" in refusals(ca_certificates=CA.pem + damaged + MIDDLE.pem)["ca_certificates"]
    cut = CA.pem + OTHER.pem[:300]
    assert "is cut off: there is a line BEGIN CERTIFICATE" in refusals(ca_certificates=cut)["ca_certificates"]
    lists = pem.crl(CA) + pem.crl(OTHER).replace("\nMI", "\nMJ")
    assert "number 2 of 2 cannot be read" in refusals(crl=lists)["crl"]


def test_which_of_a_chain_is_out_of_order() -> None:
    given = {**PAIR.container(), "intermediates": MIDDLE.pem + OTHER.pem}
    said = refusals(**given)["intermediates"]
    assert said == (
        "are not in order: number 2 has not signed number 1; it is CN=other, and the one that has is CN=one"
    )


def test_what_is_no_certificate_is_named() -> None:
    assert "but X509 CRL" in refusals(ca_certificates=pem.crl(CA))["ca_certificates"]
    trusted = CA.pem.replace(" CERTIFICATE", " TRUSTED CERTIFICATE")
    assert (
        "but TRUSTED CERTIFICATE; take what this writes: openssl x509"
        in refusals(ca_certificates=trusted)["ca_certificates"]
    )


@pytest.mark.parametrize("none", ["", " ", "\n", "\t \r\n"])
def test_empty_text_is_none(none: str) -> None:
    served = {**PAIR.container(), "intermediates": none, "passphrase": none, "ca_certificates": none, "crl": none}
    made = validate(TlsContainer, served)
    assert made.violations == []
    assert [made.values[name] for name in ("intermediates", "passphrase", "ca_certificates", "crl")] == [None] * 4
    authorities = validate(TlsContainer, {"certificate": none, "private_key": none, "ca_certificates": CA.pem})
    assert authorities.violations == []
    assert "is required" in refusals(certificate=none, private_key=none)["certificate"]
