# SPDX-License-Identifier: Apache-2.0
"""Octavia's calls that are not done here: answered in a sentence, so that nobody takes them for a wrong address."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from octavia_provider.api.errors import fault

_HEALING = "an amphora that fails is replaced by itself"
BALANCERS = (("PUT", "/loadbalancers/{id}/failover", f"failover of a load balancer by hand; {_HEALING}"),)
AMPHORAE = (("PUT", "/octavia/amphorae/{id}/failover", f"failover of an amphora by hand; {_HEALING}"),)
"""Method, path under the version (and ``/lbaas``), and what there is not."""


def handler(what: str) -> Handler:
    """Says that it is not there."""

    async def handle(_request: web.Request) -> web.StreamResponse:
        return fault(501, f"not implemented by this control plane: {what}")

    return handle
