# SPDX-License-Identifier: Apache-2.0
"""PEM is told in words: subject, end and fingerprint; a key never."""

from __future__ import annotations

from octavia_provider.model import certificates, pem
from pem import authority, crl, make


def test_a_certificate_a_bundle_and_a_list() -> None:
    one, root = make("a.example.com"), authority()
    facts = certificates.facts(one.certificate)
    assert pem.in_words(one.pem) == f"CN=a.example.com until {facts['not_after'][:10]}, SHA-256 {facts['fingerprint']}"
    bundle = pem.in_words(root.pem * 5) or ""
    assert bundle.count("CN=authority until") == 3
    assert bundle.endswith("; and 2 more")
    assert (pem.in_words(crl(root)) or "").startswith("revocations of CN=authority until ")


def test_what_is_not_told() -> None:
    one = make("a.example.com")
    assert pem.in_words(one.pem + one.key_pem) == "[private key]"
    assert pem.in_words("no PEM") is None
    assert pem.in_words("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n") is None


def test_a_change_of_one() -> None:
    one = make("a.example.com")
    assert (pem.change(None, one.pem) or "").startswith("none → CN=a.example.com")
    assert (pem.change(one.pem, object()) or "").endswith("→ not known yet")
    assert pem.change("a", "b") is None
