# SPDX-License-Identifier: Apache-2.0
"""The client of the agents' API: HTTPS with our certificate, kept-alive connections, one wait for each kind of call.

The certificate is renewed in memory, where a call finds it due; connections that are open go on with the former one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec
import structlog

from octavia_amphora.wire.messages import (
    AgentOptions,
    Applied,
    Info,
    InForce,
    LoadBalancerStatus,
    Push,
    Receivers,
    Refusal,
    ServerCertificate,
    States,
    TrustBundle,
    VersionStamp,
)
from octavia_provider.model.errors import PermanentError, Refused, TransientError, Unreachable
from octavia_provider.ports import AgentRefused, Authority, CertificateExpired, Credential, Dialer, Instance

T = TypeVar("T")
log = structlog.get_logger(__name__)

# A push may hold ``haproxy -c``, a reload and its rollback; questions are answered at once.
PUSH_SECONDS = 60.0
ASK_SECONDS = 5.0
CONNECT_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 60.0
# While an agent starts, nobody listens yet and each try is refused at once: there is nothing to wait for but time.
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.25
X509_V_ERR_CERT_HAS_EXPIRED = 10


class MethodNotAllowed(PermanentError):
    """An agent of another version, which does not have this call."""


class AgentClient:
    """An implementation of ``ports.Agents``. Made in a running event loop, or before one runs; used in one loop."""

    def __init__(self, dialer: Dialer, authority: Authority) -> None:
        self._dialer = dialer
        self._authority = authority
        self._renew()
        self._open: aiohttp.ClientSession | None = None

    async def push(self, host: Instance, load_balancer_id: str, push: Push) -> Applied:
        """Put a configuration in force; ``AgentRefused`` when the agent says no, ``TransientError`` when it is short of something."""
        body = await self._call("PUT", host, _of(load_balancer_id), body=push, timeout=PUSH_SECONDS)
        return _decode(body, Applied, host)

    async def remove(self, host: Instance, load_balancer_id: str, stamp: VersionStamp) -> None:
        """Stop serving a load balancer."""
        await self._call("DELETE", host, _of(load_balancer_id), body=stamp, timeout=PUSH_SECONDS)

    async def standing(self, host: Instance, load_balancer_id: str) -> LoadBalancerStatus | None:
        """What is in force, None when the agent has nothing of this load balancer."""
        body = await self._call("GET", host, _of(load_balancer_id))
        return None if body is None else _decode(body, LoadBalancerStatus, host)

    async def states(self, host: Instance, load_balancer_id: str) -> States | None:
        """Statistics and states in full, None when the agent has nothing of this load balancer."""
        body = await self._call("GET", host, f"{_of(load_balancer_id)}/states")
        return None if body is None else _decode(body, States, host)

    async def in_force(self, host: Instance, load_balancer_id: str) -> InForce | None:
        """The configuration in force; None when the agent has none, or is of a version that does not tell."""
        try:
            body = await self._call("GET", host, f"{_of(load_balancer_id)}/configuration")
        except MethodNotAllowed:
            return None
        return None if body is None else _decode(body, InForce, host)

    async def send_heartbeats_to(self, host: Instance, receivers: Receivers) -> bool:
        """From the next one on; False when this agent cannot change it. ``AgentRefused`` (stale) when it knows of a later change."""
        try:
            await self._call("PUT", host, "/v1/receivers", body=receivers)
        except MethodNotAllowed:
            return False
        return True

    async def info(self, host: Instance) -> Info:
        """Who answers."""
        return _decode(await self._call("GET", host, "/v1/info"), Info, host)

    async def configure(self, host: Instance, options: AgentOptions) -> None:
        """Change settings of an agent while it runs; ``PermanentError`` where its version cannot."""
        await self._call("PUT", host, "/v1/options", body=options)

    async def renew_certificate(self, host: Instance, credential: Credential) -> bool:
        """The agent takes another certificate without a restart; False when it is of a version that cannot."""
        new = ServerCertificate((credential.key + credential.certificate).decode())
        try:
            return await self._call("PUT", host, "/v1/certificate", body=new) is not None
        except MethodNotAllowed:
            return False

    async def trust(self, host: Instance, bundle: bytes) -> bool:
        """The agent believes these authorities and no other; False where it cannot change that."""
        try:
            await self._call("PUT", host, "/v1/authorities", body=TrustBundle(bundle.decode()))
        except MethodNotAllowed:
            return False
        return True

    async def ready(self, host: Instance, timeout: float) -> str:
        """Return its version when the agent answers, as soon as it does; ``Unreachable`` after ``timeout`` seconds."""
        pause, last = FIRST_PAUSE, "it was not tried"
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        return (await self.info(host)).version
                    except CertificateExpired:
                        raise  # time does not mend that
                    except Unreachable as error:
                        last = error.message
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, LONGEST_PAUSE)
        except TimeoutError as error:
            raise _unreachable(host, f"its agent did not come up within {timeout:g} s; last: {last}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._open is not None:
            await self._open.close()
            self._open = None

    async def _call(
        self, method: str, host: Instance, path: str, *, body: object = None, timeout: float = ASK_SECONDS
    ) -> bytes | None:
        """The answer's body; None for 404. Raises ``Unreachable``, ``AgentRefused`` and ``PermanentError``."""
        if self._authority.due(self._credential.expires) or self._made_by != self._authorities():
            self._renew()
        address, port = host.agent
        url = f"https://[{address}]:{port}{path}" if ":" in address else f"https://{address}:{port}{path}"
        try:
            async with self._session().request(
                method,
                url,
                data=None if body is None else msgspec.json.encode(body),
                server_hostname=host.host or host.amphora_id,
                ssl=self._tls,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS),
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientConnectorCertificateError as error:
            if getattr(error.certificate_error, "verify_code", None) == X509_V_ERR_CERT_HAS_EXPIRED:
                raise CertificateExpired(
                    f"its agent's certificate has expired: {error.certificate_error}",
                    subject=f"amphora {host.amphora_id}", hint="nothing: it is given another one",
                ) from error  # fmt: skip
            raise PermanentError(
                f"another than this amphora's agent answers at {address} port {port}: {error.certificate_error}",
                subject=f"amphora {host.amphora_id}",
                hint="fail the amphora over.",
            ) from error
        except TimeoutError as error:
            raise _unreachable(host, f"no answer to {method} {path} within {timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(host, f"{method} {path}: {error or type(error).__name__}") from error
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise _refusal(host, answer.status, content)
        return content

    def _authorities(self) -> tuple[str, str]:
        return self._authority.issuer, self._authority.trusted

    def _renew(self) -> None:
        """Another context, since one cannot forget an authority: connections that are open go on with the former one."""
        self._made_by, self._credential = self._authorities(), self._authority.issue_controller()
        self._tls = context(self._credential)
        log.info("certificate renewed", of="control plane", expires=self._credential.expires)

    def _session(self) -> aiohttp.ClientSession:
        if self._open is None:
            connector = aiohttp.TCPConnector(
                socket_factory=self._socket,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                limit=0,
                use_dns_cache=False,
            )
            self._open = aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"})
        return self._open

    def _socket(self, address: tuple[object, ...]) -> socket.socket:
        """aiohttp's factory: ``address`` is an ``addrinfo`` tuple, whose first item is the family."""
        opened = self._dialer.connect_socket(int(address[0]))  # type: ignore[call-overload]
        opened.setblocking(False)
        return opened


def context(credential: Credential) -> ssl.SSLContext:
    """TLS 1.2 or newer; the agent has to show a certificate of our authority that names its amphora."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_verify_locations(cadata=credential.authority.decode())
    _show(made, credential)
    return made


def _show(context: ssl.SSLContext, credential: Credential) -> None:
    """From its next connection on, a context shows this certificate."""
    with tempfile.TemporaryDirectory(prefix="octavia-") as directory:  # ssl loads a chain from files alone
        pair = Path(directory) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(credential.key + credential.certificate)
        context.load_cert_chain(pair)


def _of(load_balancer_id: str) -> str:
    return f"/v1/load-balancers/{load_balancer_id}"


def _decode(body: bytes | None, kind: type[T], host: Instance) -> T:
    try:
        return msgspec.json.decode(body or b"", type=kind)
    except msgspec.MsgspecError as error:
        raise _unintelligible(host, f"its answer is not a {kind.__name__}: {error}") from error


def _refusal(host: Instance, status: int, content: bytes) -> Exception:
    if status == 405:
        return MethodNotAllowed(f"its agent has no such call: {content[:200].decode(errors='replace')}")
    try:
        refusal = msgspec.json.decode(content, type=Refusal)
    except msgspec.MsgspecError:
        return _unintelligible(host, f"it answered HTTP {status}: {content[:200].decode(errors='replace')}")
    if status == 403:
        return Refused(
            f"the agent does not accept this control plane: {refusal.message}",
            subject=f"amphora {host.amphora_id}",
            hint="use the control plane that booted the amphora.",
        )
    if refusal.kind == "transient":
        return TransientError(refusal.message, subject=f"amphora {host.amphora_id}", hint="it is tried again by itself")
    return AgentRefused(refusal)


def _unreachable(host: Instance, message: str) -> Unreachable:
    return Unreachable(message, subject=f"amphora {host.amphora_id}", hint="look at the amphora's log.")


def _unintelligible(host: Instance, message: str) -> PermanentError:
    hint = "compare the versions of agent and control plane."
    return PermanentError(message, subject=f"amphora {host.amphora_id}", hint=hint)
