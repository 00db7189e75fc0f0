# SPDX-License-Identifier: Apache-2.0
"""The cloud without a control plane: what the ports do, one by one, with an end after any call."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from octavia_provider.clouds.openstack import configuration
from octavia_provider.clouds.openstack.driver import driver
from octavia_provider.clouds.openstack.session import Session
from octavia_provider.ports import LOCAL_PROJECT, AmphoraSpec, CloudDriver, Record, Vip

WRITES = ("POST", "PUT", "DELETE")


class Ended(Exception):
    """The control plane has ended here."""


@asynccontextmanager
async def opened(control_plane_id: str | None = None) -> AsyncIterator[CloudDriver]:
    made = driver(configuration("test"), control_plane_id or str(uuid.uuid4()))
    try:
        yield made
    finally:
        await made.cloud.close()


def balancer(id_: str, **spec: Any) -> Record:
    none = dict.fromkeys(("vip_port_id", "vip_subnet_id", "vip_network_id", "vip_address"))
    given = {**none, "additional_vips": [], "name": "web", **spec}
    return Record(id=id_, kind="load_balancer", scope_id=id_, project_id=LOCAL_PROJECT, spec=given, generation=1)


def order(amphora_id: str, load_balancer_id: str, vips: tuple[Vip, ...], **values: Any) -> AmphoraSpec:
    def files(address: str, port: int) -> dict[str, tuple[int, bytes]]:
        return {"/etc/octavia-amphora/agent.json": (0o600, f"{address}:{port}".encode())}

    return AmphoraSpec(id=amphora_id, load_balancer_id=load_balancer_id, vips=vips, files=files, **values)


@contextmanager
def ends_after_its_first_write() -> Iterator[list[str]]:
    """The first call that changes something takes effect, and its answer is never seen. The calls that were made so."""
    call, made = Session.call, list[str]()

    async def once(self: Session, service: str, method: str, path: str, **more: Any) -> Any:
        if made:
            raise Ended  # what else was under way
        answer = await call(self, service, method, path, **more)
        if method in WRITES:
            made.append(f"{method} {path}")
            raise Ended
        return answer

    Session.call = once  # type: ignore[method-assign]
    try:
        yield made
    finally:
        Session.call = call  # type: ignore[method-assign]
