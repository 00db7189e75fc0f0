# SPDX-License-Identifier: Apache-2.0
"""The real agent and its certificate: another one while it runs, one that has expired, and the client's own."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509

from octavia_provider.agents import AgentClient
from octavia_provider.model.errors import PermanentError, Unreachable
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import AgentRefused, CertificateExpired, Credential

from .agents import CHECK, Amphora, Load, server
from .expiry import EXPIRED, Clock
from .sandbox import Sandbox

pytestmark = pytest.mark.netns
A, B = (server(port, options=CHECK) for port in (8001, 8002))
ADDRESS = "127.0.0.1"


@pytest_asyncio.fixture
async def stopped(walls: Sandbox, tmp_path: Path) -> AsyncIterator[Amphora]:
    """An agent that has not been started."""
    made = Amphora(walls, tmp_path)
    yield made
    await made.close()


async def shown(amphora: Amphora) -> int:
    """The serial number of the certificate that the agent shows to a new connection."""
    opened = amphora.sandbox.socket()
    opened.setblocking(False)
    await asyncio.get_running_loop().sock_connect(opened, amphora.host.agent)
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    anybody.minimum_version = (
        ssl.TLSVersion.TLSv1_3
    )  # where a client without a certificate is refused after its handshake
    _, writer = await asyncio.open_connection(sock=opened, ssl=anybody, server_hostname=amphora.id)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(der).serial_number


def serial(credential: Credential) -> int:
    return x509.load_pem_x509_certificate(credential.certificate).serial_number


async def test_another_certificate_is_taken_while_haproxy_serves(amphora: Amphora) -> None:
    workers = (await amphora.push(amphora.configuration(A, B))).workers
    agent, load = amphora.agent_pid(), Load(amphora)
    new = amphora.authority.issue_amphora(amphora.id, ADDRESS)
    assert await shown(amphora) != serial(new)
    assert await amphora.client.renew_certificate(amphora.host, new)
    assert await shown(amphora) == serial(new)
    assert (await amphora.push(amphora.configuration(A))).workers == workers
    assert amphora.agent_pid() == agent
    amphora.kill(signal.SIGTERM)
    await amphora.start()
    assert await shown(amphora) == serial(new)
    assert (await amphora.push(amphora.configuration(A))).workers == workers
    assert (amphora.directory / "cert").stat().st_mode & 0o777 == 0o600
    await load.stop()


async def test_a_certificate_that_would_lock_the_control_plane_out_is_refused(amphora: Amphora) -> None:
    good = amphora.authority.issue_amphora(amphora.id, ADDRESS)
    before = await shown(amphora)
    strange: dict[str, bytes] = {}
    stranger = CertificateAuthority.load(lambda name, make: strange.setdefault(name, make()), "another")
    for bad in (
        stranger.issue_amphora(amphora.id, ADDRESS),
        amphora.authority.issue_amphora("another-amphora", ADDRESS),
        amphora.authority_at(EXPIRED).issue_amphora(amphora.id, ADDRESS),
        amphora.authority.issue_controller(),
        replace(good, key=amphora.authority.issue_amphora(amphora.id, ADDRESS).key),
        replace(good, certificate=b""),
    ):
        with pytest.raises(AgentRefused, match="would not be believed"):
            await amphora.client.renew_certificate(amphora.host, bad)
        assert await shown(amphora) == before
    assert [path.name for path in amphora.directory.glob("cert*")] == ["cert"]


async def test_an_agent_whose_key_is_a_file_of_its_own_takes_none(stopped: Amphora) -> None:
    stopped.settle(stopped.authority.issue_amphora(stopped.id, ADDRESS), key="key")
    await stopped.start()
    new = stopped.authority.issue_amphora(stopped.id, ADDRESS)
    assert not await stopped.client.renew_certificate(stopped.host, new)
    assert (await stopped.client.info(stopped.host)).amphora_id == stopped.id


async def test_an_expired_certificate_is_believed_by_nobody(stopped: Amphora) -> None:
    stopped.settle(stopped.authority_at(EXPIRED).issue_amphora(stopped.id, ADDRESS))
    with pytest.raises(CertificateExpired, match="has expired"):
        await stopped.start()  # at once: that does not pass
    with pytest.raises(CertificateExpired):
        await stopped.client.renew_certificate(stopped.host, stopped.authority.issue_amphora(stopped.id, ADDRESS))


async def test_the_control_plane_renews_its_own_certificate(amphora: Amphora) -> None:
    clock = Clock(dt.timedelta(days=31))
    client = AgentClient(amphora.sandbox, amphora.authority_at(clock))  # type: ignore[arg-type]
    with pytest.raises(Unreachable):
        await client.info(amphora.host)
    clock.ago = dt.timedelta(0)
    assert (await client.info(amphora.host)).amphora_id == amphora.id
    await client.close()


async def test_the_authority_is_rotated_phase_by_phase_while_haproxy_serves(amphora: Amphora) -> None:
    """Whoever shows a certificate of the former one is believed until the last phase, and nobody after it."""
    workers, load = (await amphora.push(amphora.configuration(A, B))).workers, Load(amphora)
    authority, former = amphora.authority, AgentClient(amphora.sandbox, amphora.authority_at(Clock(dt.timedelta(0))))  # type: ignore[arg-type]
    for kept in (authority.begun, authority.advanced, authority.advanced):
        assert authority.follow(kept())
        assert await amphora.client.trust(amphora.host, authority.bundle)
        new = authority.issue_amphora(amphora.id, ADDRESS)
        assert await amphora.client.renew_certificate(amphora.host, new)
        assert await shown(amphora) == serial(new)
        assert (await amphora.push(amphora.configuration(A))).workers == workers
    with pytest.raises((Unreachable, PermanentError)):
        await former.info(amphora.host)
    await former.close()
    with pytest.raises(AgentRefused, match="no certificates"):
        await amphora.client.trust(amphora.host, b"nothing")
    amphora.kill(signal.SIGTERM)
    await amphora.start()
    assert (await amphora.push(amphora.configuration(A, B))).workers == workers
    await load.stop()
