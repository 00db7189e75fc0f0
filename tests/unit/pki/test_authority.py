# SPDX-License-Identifier: Apache-2.0
"""The CA: who is given what, and who believes whom."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable

import pytest
from cryptography import x509

from octavia_provider.agents.client import context
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import Authority, Credential

AMPHORA = "0f2c9f6c-7d1f-4f6e-9d0a-1a2b3c4d5e6f"


class Secrets:
    """As a store keeps them."""

    def __init__(self) -> None:
        self.made: dict[str, bytes] = {}

    def __call__(self, name: str, make: Callable[[], bytes]) -> bytes:
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]


@pytest.fixture
def authority() -> CertificateAuthority:
    return CertificateAuthority.load(Secrets(), "cp-1")


def server_side(credential: Credential, tmp_path: object) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=credential.authority.decode())
    pair = tmp_path / "pair.pem"  # type: ignore[operator]
    pair.write_bytes(credential.key + credential.certificate)
    made.load_cert_chain(pair)
    return made


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> dict[str, object]:
    """A TLS handshake in memory; the client's certificate as the server saw it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (one, two):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    return two.getpeercert() or {}


def test_agent_and_controller_believe_each_other(authority: Authority, tmp_path: object) -> None:
    agent, controller = authority.issue_amphora(AMPHORA, "10.0.0.9"), authority.issue_controller()
    seen = shake_hands(server_side(agent, tmp_path), context(controller), AMPHORA)
    assert ("URI", authority.controller_name) in seen["subjectAltName"]  # type: ignore[operator]
    assert authority.controller_name == "octavia://controller/cp-1"
    for name in ("another-amphora", "10.0.0.8"):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(server_side(agent, tmp_path), context(controller), name)
    shake_hands(server_side(agent, tmp_path), context(controller), "10.0.0.9")


def test_an_amphora_is_no_client_and_a_controller_no_server(authority: Authority, tmp_path: object) -> None:
    agent, controller = authority.issue_amphora(AMPHORA, "10.0.0.9"), authority.issue_controller()
    with pytest.raises(ssl.SSLError):
        shake_hands(server_side(agent, tmp_path), context(agent), AMPHORA)
    with pytest.raises(ssl.SSLError):
        shake_hands(server_side(controller, tmp_path), context(controller), AMPHORA)


def test_another_authority_is_not_believed(authority: Authority, tmp_path: object) -> None:
    stranger = CertificateAuthority.load(Secrets(), "cp-1")
    with pytest.raises(ssl.SSLError):
        shake_hands(
            server_side(stranger.issue_amphora(AMPHORA, "10.0.0.9"), tmp_path),
            context(authority.issue_controller()),
            AMPHORA,
        )


def test_the_authority_is_the_same_after_a_restart() -> None:
    secrets = Secrets()
    first = CertificateAuthority.load(secrets, "cp-1")
    assert CertificateAuthority.load(secrets, "cp-1").certificate == first.certificate
    assert list(secrets.made) == ["certificate-authority"]


def test_lifetimes() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    secrets = Secrets()
    young = CertificateAuthority.load(secrets, "cp-1", clock=lambda: now, lifetime=dt.timedelta(days=2))
    credential = young.issue_controller()
    leaf = x509.load_pem_x509_certificate(credential.certificate)
    assert leaf.not_valid_before_utc < now
    assert leaf.not_valid_after_utc == now + dt.timedelta(days=2)
    assert credential.expires == leaf.not_valid_after_utc.isoformat()
    late = now + dt.timedelta(days=3649)
    old = CertificateAuthority.load(secrets, "cp-1", clock=lambda: late)
    leaf = x509.load_pem_x509_certificate(old.issue_amphora(AMPHORA, "fd00::1").certificate)
    assert leaf.not_valid_after_utc == now + dt.timedelta(days=3650)


def test_certificates_are_due_when_two_thirds_of_their_life_are_over() -> None:
    begin, day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.timedelta(days=1)
    passed = dt.timedelta(0)
    authority = CertificateAuthority.load(Secrets(), "cp-1", clock=lambda: begin + passed)
    expires = authority.issue_controller().expires
    for days, due in ((0, False), (19.9, False), (20, True), (29, True), (31, True), (400, True)):
        passed = days * day
        assert authority.due(expires) is due, days
    assert authority.due(None)
    passed = 3625 * day  # its certificates end with the authority, and no other would be good for longer
    last = authority.issue_controller().expires
    assert last == authority.expires
    for days in (3625, 3640, 3651):
        passed = days * day
        assert not authority.due(last)
    assert authority.due(expires)
