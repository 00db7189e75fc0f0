# SPDX-License-Identifier: Apache-2.0
"""Certificates of long ago: TLS knows no clock but the machine's, so they are issued in the past."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import partial

from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.controller import amphorae
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import AmphoraSpec, Store
from octavia_provider.store import open_store

from .installation import Installation


class Clock:
    """The machine's, ``ago`` behind."""

    def __init__(self, ago: dt.timedelta) -> None:
        self.ago = ago

    def __call__(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) - self.ago


EXPIRED = Clock(dt.timedelta(days=31))


async def authority(store: Store, clock: Clock) -> CertificateAuthority:
    id_ = store.control_plane_id
    return await store.write(lambda tx: CertificateAuthority.load(tx.secret, id_, clock=clock))


async def let_expire(site: Installation) -> None:
    """All agents are started anew with certificates of long ago, as if no control plane had run since."""
    cloud = NetnsCloud(site.home)
    store = open_store(f"sqlite:///{site.home}/octavia.db", site.home / "octavia.key")
    for known in await store.read(lambda tx: tx.amphorae()):
        issued: list[str] = []
        make = partial(amphorae.files, known, await authority(store, EXPIRED), _none, issued=issued.append)
        spec = AmphoraSpec(id=known.id, load_balancer_id=known.load_balancer_id, vips=(), files=make)
        await cloud.restart_agent(spec)
        late = replace(known, certificate_expires=issued[-1])
        await store.write(lambda tx, late=late: tx.put_amphora(late))  # type: ignore[misc]
    await store.close()
    await cloud.close()


def _none() -> tuple[str, ...]:
    """Nobody to send heartbeats to; the control plane says where it is once it is believed."""
    return ()
