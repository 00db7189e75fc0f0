# SPDX-License-Identifier: Apache-2.0
"""What is done about an agent whose certificate is due, or that says nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from octavia_amphora.wire.messages import Refusal
from octavia_provider.controller import agent_care
from octavia_provider.model.errors import TransientError, Unreachable
from octavia_provider.ports import AgentRefused, Amphora, AmphoraSpec, CertificateExpired, Credential, Instance

HOST = Instance(amphora_id="a", load_balancer_id="lb", agent=("10.0.0.9", 9443))
AMPHORA = Amphora(id="a", load_balancer_id="lb", status="ALLOCATED", certificate_expires="soon")
CREDENTIAL = Credential(certificate=b"c", key=b"k", authority=b"a", expires="later")
PUSHED, RESTARTED = replace(AMPHORA, certificate_expires="later"), replace(AMPHORA, certificate_expires="latest")


class Cloud:
    """An agent, its cloud and the authority: ``outcome`` is what becomes of what is asked of the agent first."""

    def __init__(self, outcome: bool | Exception) -> None:
        self.outcome = outcome
        self.restarted = False

    def _answer(self) -> bool:
        if isinstance(self.outcome, Exception) and not self.restarted:
            raise self.outcome
        return bool(self.outcome)

    def issue_amphora(self, amphora_id: str, address: str) -> Credential:
        assert (amphora_id, address) == (HOST.amphora_id, HOST.agent[0])
        return CREDENTIAL

    async def renew_certificate(self, host: Instance, credential: Credential) -> bool:
        assert (host, credential) == (HOST, CREDENTIAL)
        return self._answer()

    async def ready(self, host: Instance, timeout: float) -> None:
        assert host == HOST
        self._answer()

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


@pytest.mark.parametrize(
    ("outcome", "after"),
    [(True, AMPHORA), (Unreachable("no answer"), RESTARTED), (CertificateExpired("has expired"), RESTARTED)],
)
async def test_an_agent_that_says_nothing_is_started_anew(outcome: bool | Exception, after: Amphora) -> None:
    cloud = Cloud(outcome)
    assert await agent_care.recover(cloud, HOST, AMPHORA, cloud.restart) == after  # type: ignore[arg-type]
    assert cloud.restarted is (after == RESTARTED)
