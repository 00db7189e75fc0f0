# SPDX-License-Identifier: Apache-2.0
"""What is done so that an agent goes on answering: a new certificate, a restart with new files. haproxy goes on meanwhile.

An agent that runs takes its certificate over mTLS. One that cannot (it has slept past the end of its certificate, or is
of an earlier version) is started anew with its files through the cloud: nobody believes an expired certificate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from octavia_provider.model.errors import OctaviaError, Unreachable
from octavia_provider.ports import (
    CERTIFICATE,
    AgentRefused,
    Agents,
    Amphora,
    AmphoraSpec,
    Authority,
    CertificateExpired,
    Compute,
    Instance,
)

log = structlog.get_logger(__name__)
START_TIMEOUT = 30.0
TURN_SECONDS = 10.0
"""So much of it an amphora may take while others wait for their turn to start."""
ANSWER_TIMEOUT = 5.0

Issued = Callable[[str], None]
Restart = Callable[[Amphora, str], Awaitable[Amphora]]


async def restart(
    compute: Compute, agents: Agents, host: Instance, amphora: Amphora, reason: str,
    *, make: Callable[[Issued], AmphoraSpec],
) -> Amphora:  # fmt: skip
    """Its agent is started anew with its files and answers; the amphora as it is then. ``make`` issues a certificate."""
    log.warning("agent started anew", amphora=amphora.id, reason=reason)
    issued = [amphora.certificate_expires]
    await compute.restart_agent(make(issued.append))
    version = await agents.ready(host, START_TIMEOUT)
    return replace(amphora, certificate_expires=issued[-1], agent_version=version)


async def recover(agents: Agents, host: Instance, amphora: Amphora, restart: Restart) -> Amphora:
    """An agent that says nothing, though its host runs, is started anew."""
    try:
        await agents.ready(host, ANSWER_TIMEOUT)
    except Unreachable as error:
        return await restart(amphora, error.message)  # the event names the amphora
    return amphora


def due(authority: Authority, amphora: Amphora) -> bool:
    """Whether its certificate has to be renewed, or the authorities that it trusts are others by now."""
    return _certificate_due(authority, amphora) or _is_another(amphora.trusted, authority.trusted, authority)


def _certificate_due(authority: Authority, amphora: Amphora) -> bool:
    asked = CERTIFICATE in amphora.requests
    return (
        asked or authority.due(amphora.certificate_expires) or _is_another(amphora.issuer, authority.issuer, authority)
    )


def _is_another(known: str | None, now: str, authority: Authority) -> bool:
    """Of what was made before there could be several authorities nothing is known: it is the first one's."""
    return known != now and (known is not None or bool(authority.phase))


async def renew_certificate(
    agents: Agents, authority: Authority, host: Instance, amphora: Amphora, restart: Restart
) -> Amphora:
    """The amphora with another certificate, which trusts the authorities of now; as it was where that is not possible now and the
    present one is still good. First it trusts, then it shows: in each moment both sides believe each other."""
    issuer, trusted = authority.issuer, authority.trusted
    try:
        if _is_another(amphora.trusted, trusted, authority):
            if not await agents.trust(host, authority.bundle):
                return await restart(amphora, "its version takes no other authorities while it runs")
            log.info("authorities changed", amphora=amphora.id, trusted=trusted)
            amphora = replace(amphora, trusted=trusted)
        if not _certificate_due(authority, amphora):
            return amphora
        credential = authority.issue_amphora(amphora.id, host.agent[0])
        if await agents.renew_certificate(host, credential):
            log.info("certificate renewed", of="amphora", amphora=amphora.id, expires=credential.expires)
            return replace(amphora, certificate_expires=credential.expires, issuer=issuer, trusted=trusted)
        reason = "its version takes no certificate while it runs"
    except CertificateExpired as error:
        reason = error.message
    except (OctaviaError, AgentRefused) as error:
        log.warning("certificate not renewed", amphora=amphora.id, reason=str(error))
        return amphora
    return await restart(amphora, reason)
