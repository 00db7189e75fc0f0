# SPDX-License-Identifier: Apache-2.0
"""What of Neutron a caller may name. The control plane's own user sees more, and would put VIPs into other people's networks."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from octavia_provider.model.errors import Unauthenticated, Unreachable
from octavia_provider.ports import Named

from .library import needed
from .registration import connect

THREADS = 4
AT_ONCE = 50
"""Ids in one question: they stand in its address."""
SECONDS = 30.0


class NeutronVisibility:
    """Asks Neutron with the caller's token; where Neutron is, the catalogue of the control plane's own user says."""

    def __init__(self, cloud: str | None) -> None:
        with needed():
            import openstack  # noqa: F401 - to be told at the start that it is not there
        self._cloud = cloud
        self._connection: Any = None
        self._connecting = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="neutron")

    async def hidden(self, token: str, named: Collection[Named]) -> frozenset[Named]:
        """As ``ports.Visibility``."""
        ids: dict[str, list[str]] = defaultdict(list)
        for one in sorted(set(named), key=lambda one: (one.collection, one.id)):
            ids[one.collection].append(one.id)
        chunks = [(what, some[i : i + AT_ONCE]) for what, some in ids.items() for i in range(0, len(some), AT_ONCE)]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SECONDS):
                asked = [loop.run_in_executor(self._threads, self._shown, token, what, some) for what, some in chunks]
                seen = frozenset[Named]().union(*await asyncio.gather(*asked))
        except TimeoutError:
            raise Unreachable(f"has not answered for {SECONDS:g} s", subject="Neutron") from None
        return frozenset(named) - seen

    async def close(self) -> None:
        """As ``ports.Visibility``."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _shown(self, token: str, collection: str, ids: list[str]) -> set[Named]:
        from keystoneauth1.exceptions import ClientException, Unauthorized
        from openstack.exceptions import SDKException

        path = f"/{'qos/policies' if collection == 'policies' else collection}"
        try:
            answer = self._neutron().get(
                path, params=[("fields", "id"), *(("id", id_) for id_ in ids)], authenticated=False,
                headers={"X-Auth-Token": token}, timeout=SECONDS, raise_exc=True,
            )  # fmt: skip
        except Unauthorized:
            raise Unauthenticated("Neutron does not take the token", hint="get another one from Keystone") from None
        except (ClientException, SDKException) as error:
            raise Unreachable(f"cannot be asked: {error}", subject="Neutron") from None
        return {Named(collection, one["id"]) for one in answer.json()[collection.replace("-", "_")]}

    def _neutron(self) -> Any:
        with self._connecting:
            if self._connection is None:
                self._connection = connect(self._cloud)
            return self._connection.network
