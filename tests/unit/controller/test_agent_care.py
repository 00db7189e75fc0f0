# SPDX-License-Identifier: Apache-2.0
"""What is done about an agent whose certificate is due, or that says nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from octavia_amphora.wire.messages import Refusal
from octavia_provider.controller import agent_care
from octavia_provider.model.errors import TransientError, Unreachable
from octavia_provider.ports import (
    CERTIFICATE,
    AgentRefused,
    Amphora,
    AmphoraSpec,
    CertificateExpired,
    Credential,
    Instance,
)

HOST = Instance(amphora_id="a", load_balancer_id="lb", agent=("10.0.0.9", 9443))
AMPHORA = Amphora(id="a", load_balancer_id="lb", status="ALLOCATED", certificate_expires="soon")
CREDENTIAL = Credential(certificate=b"c", key=b"k", authority=b"a", expires="later")
PUSHED = replace(AMPHORA, certificate_expires="later", issuer="new", trusted="new,old")
RESTARTED = replace(AMPHORA, certificate_expires="latest", agent_version="2")


class Cloud:
    """An agent, its cloud and the authority: ``outcome`` is what becomes of what is asked of the agent first."""

    issuer, trusted, bundle, phase = "new", "new,old", b"both", ""

    def __init__(self, outcome: bool | Exception) -> None:
        self.outcome = outcome
        self.restarted = False
        self.calls: list[str] = []

    def _answer(self) -> bool:
        if isinstance(self.outcome, Exception) and not self.restarted:
            raise self.outcome
        return bool(self.outcome)

    def issue_amphora(self, amphora_id: str, address: str) -> Credential:
        assert (amphora_id, address) == (HOST.amphora_id, HOST.agent[0])
        return CREDENTIAL

    def due(self, expires: str | None) -> bool:
        return expires == "soon"

    async def trust(self, host: Instance, bundle: bytes) -> bool:
        assert (host, bundle) == (HOST, b"both")
        self.calls.append("trust")
        return self._answer()

    async def renew_certificate(self, host: Instance, credential: Credential) -> bool:
        assert (host, credential) == (HOST, CREDENTIAL)
        self.calls.append("certificate")
        return self._answer()

    async def ready(self, host: Instance, timeout: float) -> str:
        assert host == HOST
        self._answer()
        return "2"

    async def restart_agent(self, order: AmphoraSpec) -> None:
        assert order.id == AMPHORA.id
        self.restarted = True

    @property
    def restart(self) -> agent_care.Restart:
        return partial(agent_care.restart, self, self, HOST, make=order)  # type: ignore[arg-type]


def order(issued: agent_care.Issued) -> AmphoraSpec:
    issued("latest")
    return AmphoraSpec(id=AMPHORA.id, load_balancer_id="lb", vips=(), files=lambda *_: {})


@pytest.mark.parametrize(
    ("outcome", "after"),
    [
        (True, PUSHED),
        (False, RESTARTED),
        (CertificateExpired("has expired"), RESTARTED),
        (Unreachable("no answer"), AMPHORA),
        (TransientError("its disk is full"), AMPHORA),
        (AgentRefused(Refusal("refused", "would not be believed")), AMPHORA),
    ],
)
async def test_a_certificate_is_renewed_by_a_restart_only_where_it_must(
    outcome: bool | Exception, after: Amphora
) -> None:  # fmt: skip
    cloud = Cloud(outcome)
    assert await agent_care.renew_certificate(cloud, cloud, HOST, AMPHORA, cloud.restart) == after  # type: ignore[arg-type]
    assert cloud.restarted is (after == RESTARTED)


KNOWN = replace(AMPHORA, certificate_expires="late", issuer="old", trusted="old")


@pytest.mark.parametrize(
    ("amphora", "phase", "calls"),
    [
        (AMPHORA, "", ["certificate"]),
        (replace(AMPHORA, certificate_expires="late"), "", []),
        (replace(AMPHORA, certificate_expires="late"), "trust", ["trust", "certificate"]),
        (replace(AMPHORA, certificate_expires="late", requests=frozenset({CERTIFICATE})), "", ["certificate"]),
        (KNOWN, "issue", ["trust", "certificate"]),
        (replace(KNOWN, issuer="new"), "issue", ["trust"]),
        (replace(KNOWN, trusted="new,old"), "issue", ["certificate"]),
        (replace(KNOWN, issuer="new", trusted="new,old"), "", []),
    ],
)
async def test_an_agent_trusts_before_it_shows__and_is_given_only_what_is_due(
    amphora: Amphora, phase: str, calls: list[str]
) -> None:
    cloud = Cloud(True)
    cloud.phase = phase  # type: ignore[misc]
    assert agent_care.due(cloud, amphora) is bool(calls)  # type: ignore[arg-type]
    if calls:
        after = await agent_care.renew_certificate(cloud, cloud, HOST, amphora, cloud.restart)  # type: ignore[arg-type]
        assert not agent_care.due(cloud, replace(after, requests=frozenset()))  # type: ignore[arg-type]
    assert cloud.calls == calls


@pytest.mark.parametrize(
    ("outcome", "after"),
    [(True, AMPHORA), (Unreachable("no answer"), RESTARTED), (CertificateExpired("has expired"), RESTARTED)],
)
async def test_an_agent_that_says_nothing_is_started_anew(outcome: bool | Exception, after: Amphora) -> None:
    cloud = Cloud(outcome)
    assert await agent_care.recover(cloud, HOST, AMPHORA, cloud.restart) == after  # type: ignore[arg-type]
    assert cloud.restarted is (after == RESTARTED)
