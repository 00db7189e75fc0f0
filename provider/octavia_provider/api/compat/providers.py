# SPDX-License-Identifier: Apache-2.0
"""The drivers there are, and what a profile may ask of them (octavia/api/v2/controllers/provider.py)."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from octavia_provider.api import list_query
from octavia_provider.api.authorization import seen
from octavia_provider.api.context import CONTEXT
from octavia_provider.api.errors import answer
from octavia_provider.api.flavor_rules import FLAVORS, ZONES, Offer
from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import Invalid, Violation
from octavia_provider.model.load_balancer import PROVIDERS
from octavia_provider.model.metadata import inputs

# Clients look for this one by its words too (octavia-tempest-plugin: expected_flavor_capability).
_DESCRIPTIONS: Mapping[str, str] = {
    "loadbalancer_topology": "The load balancer topology. One of: SINGLE - One amphora per load balancer. "
    "ACTIVE_STANDBY - Two amphora per load balancer."
}


async def providers(request: web.Request) -> web.Response:
    """GET /v2/lbaas/providers."""
    found = [{"name": choice.value, "description": choice.doc} for choice in PROVIDERS]
    return answer(list_query.page(found, "providers", seen(request)))


async def flavor_capabilities(request: web.Request) -> web.Response:
    """GET …/providers/{provider}/flavor_capabilities."""
    return _capabilities(request, FLAVORS, "flavor_capabilities")


async def availability_zone_capabilities(request: web.Request) -> web.Response:
    """GET …/providers/{provider}/availability_zone_capabilities."""
    return _capabilities(request, ZONES, "availability_zone_capabilities")


def _capabilities(request: web.Request, offer: Offer, words: str) -> web.Response:
    """What this cloud can do of what the driver knows."""
    provider = request.match_info["provider"]
    if provider not in {choice.value for choice in PROVIDERS}:
        known = ", ".join(choice.value for choice in PROVIDERS)
        raise Invalid([Violation(("provider",), f"{quoted(provider)} is not one of {known}")])
    cannot = request.app[CONTEXT].networks.unsupported
    able = [a for a in inputs(offer.shape).values() if a.name not in cannot]
    found = [{"name": a.name, "description": _DESCRIPTIONS.get(a.name, a.doc)} for a in able]
    return answer(list_query.page(found, words, seen(request)))
