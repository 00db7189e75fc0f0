# SPDX-License-Identifier: Apache-2.0
"""Whose certificates are due."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from octavia_provider.controller.certificate_rotation import CertificateRotation
from octavia_provider.ports import Amphora


async def test_load_balancers_whose_certificates_are_due_are_woken__and_none_for_an_amphora_that_is_not_made_yet() -> (
    None
):
    poked: asyncio.Queue[str] = asyncio.Queue()

    class Store:
        async def read(self, work: Any) -> Any:
            return work(self)

        def secret(self, name: str, make: Any) -> bytes:
            return b"kept"

        def amphorae(self) -> Sequence[Amphora]:
            ends = {"one": "soon", "two": "late", "three": None, "four": "soon"}
            made = [
                Amphora(id=i, load_balancer_id=f"lb-{i}", status="ALLOCATED", certificate_expires=end)
                for i, end in ends.items()
            ]
            return [Amphora(id="new", load_balancer_id="lb-new", status="BOOTING"), *made]

    class Controller:
        poke = staticmethod(poked.put_nowait)

    class Authority:
        SECRET = "ca"
        issuer = trusted = phase = ""
        ending = False
        follow = staticmethod(lambda _: False)

        @staticmethod
        def due(expires: str | None) -> bool:
            return expires != "late"

    rotation = CertificateRotation(Store(), Authority(), Controller())  # type: ignore[arg-type]
    rotation.start()
    assert [await poked.get() for _ in range(3)] == ["lb-one", "lb-three", "lb-four"]
    await rotation.stop()
    assert poked.empty()
