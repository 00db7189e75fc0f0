# SPDX-License-Identifier: Apache-2.0
"""Certificates, keys and authorities as tools and systems write them, served by a real haproxy to real clients."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

import pem

from .installation import Installation, until
from .test_tls import begin, container, host, listener, pool, served, update
from .tls_client import ask, refused

SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def old_root(folder: Path) -> pem.Pair:
    """An authority that signs itself with SHA-1."""
    key = folder / "root.key"
    command = ["openssl", "req", "-x509", "-sha1", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=old"]
    text = subprocess.run(command, capture_output=True, check=True).stdout
    return pem.Pair(x509.load_pem_x509_certificate(text), load_pem_private_key(key.read_bytes(), None))


@pytest.mark.covers(
    "tls_container.ca_certificates", "pool.ca_tls_container_ref", "listener.client_ca_tls_container_ref"
)
def test_authorities_as_debian_ships_them(site: Installation, tmp_path: Path) -> None:
    """With a root that signs itself with SHA-1, whose clients and members are taken; a stranger's are not."""
    old, stranger = old_root(tmp_path), pem.authority("stranger")
    alice, eve, member = pem.make("alice", old), pem.make("eve", stranger), pem.make("a.test", old)
    stack = begin(site)
    bundle = container(site, "authorities", ca_certificates=SYSTEM.read_text() + old.pem)
    server = host(stack, "m1", PAIR=member.pem + member.key_pem)
    behind = pool(stack, server, 443, tls_enabled=True, ca_tls_container_ref=bundle)
    web = listener(
        stack, default_pool_id=behind["id"], default_tls_container_ref=container(site, "cert", **pem.make("a.test").container()),
        client_authentication="MANDATORY", client_ca_tls_container_ref=bundle,
    )  # fmt: skip
    url = str(web["url"])
    until(lambda: served(url, client=alice))
    assert ask(url, client=alice).status == 200  # the member was verified too
    assert "unknown ca" in refused(url, client=eve)
    update(site, "tls_container", bundle, ca_certificates=SYSTEM.read_text() + stranger.pem)
    until(lambda: "unknown ca" in refused(url, client=alice))


@pytest.mark.covers("tls_container.private_key", "tls_container.certificate")
def test_keys_as_tools_write_them(site: Installation, tmp_path: Path) -> None:
    """Parameters before, text around, PSS: each is served, one after the other, by the same listener."""
    pair, rsa = pem.make("a.test"), pem.make("a.test", rsa_bits=2048)
    plain = pair.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    file = tmp_path / "key.pem"
    pss = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    file.write_text(pss)
    of_pss = subprocess.run(
        ["openssl", "req", "-x509", "-key", file, "-subj", "/CN=pss"], capture_output=True, text=True, check=True
    ).stdout
    forms = {
        "a.test": {"certificate": f"Bag Attributes\n    friendlyName: web\n{pair.pem}", "private_key": PARAMETERS + plain},
        "pss": {"certificate": of_pss, "private_key": pss, "intermediates": "", "passphrase": ""},
        "rsa": {"certificate": rsa.pem.replace("\n", "\r\n"), "private_key": f"\ufeff{rsa.pem}{rsa.key_pem}".strip()},
    }  # fmt: skip
    stack = begin(site)
    plain_pool = pool(stack, host(stack, "m1"))
    cert = container(site, "cert", **pem.make("first.test").container())
    web = listener(stack, default_pool_id=plain_pool["id"], default_tls_container_ref=cert)
    url = str(web["url"])
    until(lambda: served(url))
    for name, content in forms.items():
        update(site, "tls_container", cert, **content)
        assert ask(url).common_name == ("a.test" if name == "rsa" else name)
