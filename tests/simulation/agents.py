# SPDX-License-Identifier: Apache-2.0
"""What a control plane says to the simulation's agents, and the rules that agents keep: no push goes back in time."""

from __future__ import annotations

import asyncio
import contextlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from octavia_amphora.wire.config import apply, digest
from octavia_amphora.wire.messages import (
    AgentOptions,
    Applied,
    InForce,
    LoadBalancerStatus,
    Push,
    Receivers,
    Refusal,
    States,
    VersionStamp,
)
from octavia_provider.model.errors import Unreachable
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import AgentRefused, Authority, Credential, Instance

from .network import answered
from .world import Lifeline, Server, Standing


@answered(lambda host, *_, **__: host.host or host.amphora_id)
class SimulationAgents:
    """``ports.Agents``."""

    def __init__(self, lifeline: Lifeline, authority: Authority) -> None:
        self._lifeline, self._world, self._authority = lifeline, lifeline.world, authority

    async def push(self, host: Instance, load_balancer_id: str, push: Push) -> Applied:
        server = await self._reach("push", host)
        network = self._world.network
        if network.repeated and network.random:
            network.repeated -= 1
            later = network.random.choice((0.0, 0.5, 5.0, 30.0))
            asyncio.get_running_loop().call_later(later, self._repeat, server, load_balancer_id, push)
        return self._take(server, load_balancer_id, push)

    def _repeat(self, server: Server, load_balancer_id: str, push: Push) -> None:
        """The same request, once more: the caller knows nothing of it."""
        if server.answering:
            with contextlib.suppress(AgentRefused):
                self._take(server, load_balancer_id, push)

    def _take(self, server: Server, load_balancer_id: str, push: Push) -> Applied:
        standing = server.standing.get(load_balancer_id)
        newest = standing.newest if standing else server.tombstones.get(load_balancer_id)
        if newest is not None and push.stamp.order < newest.order:
            raise AgentRefused(Refusal("stale", "a newer one is known", stamp=newest))
        if push.full is None and (standing is None or standing.stamp is None or push.delta is None):
            raise AgentRefused(Refusal("base", "nothing is in force"))
        if standing is not None and standing.stamp == push.stamp:
            return Applied(push.stamp, "runtime", heartbeat=server.said)  # a repeated one is acknowledged
        if standing is None:
            standing = server.standing[load_balancer_id] = Standing(push.stamp)
        standing.newest = push.stamp
        if push.full is not None:
            new = push.full
        else:
            assert push.delta is not None
            assert standing.configuration is not None
            assert standing.stamp is not None
            if push.delta.since != standing.stamp.digest:
                raise AgentRefused(Refusal("base", "another one is in force"))
            new = apply(standing.configuration, push.delta)
        assert digest(new) == push.stamp.digest
        if refusal := self._world.refuse(server.instance.amphora_id, new):
            raise AgentRefused(refusal)
        standing.stamp, standing.configuration = push.stamp, new
        server.histories.setdefault(load_balancer_id, []).append(push.stamp)
        self._world.pushed.append((self._lifeline.name, server.instance.amphora_id, load_balancer_id, push.stamp))
        return Applied(push.stamp, "runtime" if push.delta else "reload", heartbeat=server.said)

    async def remove(self, host: Instance, load_balancer_id: str, stamp: VersionStamp) -> None:
        server = await self._reach("remove", host)
        server.standing.pop(load_balancer_id, None)
        server.tombstones[load_balancer_id] = stamp

    async def standing(self, host: Instance, load_balancer_id: str) -> LoadBalancerStatus | None:
        found = (await self._reach("standing", host)).standing.get(load_balancer_id)
        vrrp = self._world.vrrp_state(host.amphora_id, load_balancer_id)
        return LoadBalancerStatus(found.stamp, serving=True, vrrp=vrrp) if found and found.stamp else None

    async def states(self, host: Instance, load_balancer_id: str) -> States | None:
        found = (await self._reach("states", host)).standing.get(load_balancer_id)
        return States(load_balancer_id, found.stamp.digest, serving=True) if found and found.stamp else None

    async def in_force(self, host: Instance, load_balancer_id: str) -> InForce | None:
        found = (await self._reach("in_force", host)).standing.get(load_balancer_id)
        if found is None or found.stamp is None or found.configuration is None:
            return None
        return InForce(found.stamp.digest, found.configuration)

    async def send_heartbeats_to(self, host: Instance, receivers: Receivers) -> bool:
        (await self._reach("send_heartbeats_to", host)).receivers = receivers
        return True

    async def ready(self, host: Instance, timeout: float) -> str:
        await self._reach("ready", host)
        return "1"

    async def trust(self, host: Instance, bundle: bytes) -> bool:
        (await self._reach("trust", host)).trusts = bundle
        return True

    async def configure(self, host: Instance, options: AgentOptions) -> None:
        (await self._reach("configure", host)).options.append(options)

    async def renew_certificate(self, host: Instance, credential: Credential) -> bool:
        (await self._reach("renew_certificate", host)).shows = credential.certificate
        return True

    async def close(self) -> None:
        """Nothing is open."""

    async def _reach(self, name: str, host: Instance) -> Server:
        where = host.host or host.amphora_id
        await self._lifeline.effect(name, where)
        server = self._world.servers.get(where)
        if server is None or not server.instance.alive or not server.answering or server.instance.agent != host.agent:
            raise Unreachable("no answer", subject=f"amphora {host.amphora_id}")
        if not believe_each_other(self._authority, server):
            self._world.disbelieved += 1
            raise Unreachable("the handshake failed", subject=f"amphora {host.amphora_id}")
        return server


class SimulationAuthority:
    """``ports.Authority`` without keys, which is never rotated."""

    SECRET = "certificate-authority"
    controller_name = "urn:octavia:controller"
    expires = "2100-01-01T00:00:00+00:00"
    issuer = trusted = "simulation"
    bundle = b""
    phase = ""
    phase_age = 0.0
    ending = False

    def issue_amphora(self, amphora_id: str, address: str) -> Credential:
        return Credential(certificate=b"", key=b"", authority=b"", expires="2100-01-01T00:00:00+00:00")

    def due(self, expires: str | None) -> bool:
        return False

    def issue_controller(self) -> Credential:
        return self.issue_amphora("", "")

    def follow(self, kept: bytes) -> bool:
        return False

    def begun(self) -> bytes:
        return b""

    def advanced(self) -> bytes:
        return b""


def believe_each_other(authority: Authority, server: Server) -> bool:
    """Whether a handshake between the control plane and the agent would succeed, by what each of them shows and trusts."""
    if not isinstance(authority, CertificateAuthority):
        return True
    shown = x509.load_pem_x509_certificate(server.shows)
    ours = x509.load_pem_x509_certificate(authority.issue_controller().certificate)
    return any(_issued(ours, one) for one in x509.load_pem_x509_certificates(server.trusts)) and any(
        _issued(shown, one) for one in x509.load_pem_x509_certificates(authority.bundle)
    )


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, InvalidSignature):
        return False
    return True
