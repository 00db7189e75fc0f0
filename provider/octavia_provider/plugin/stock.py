# SPDX-License-Identifier: Apache-2.0
"""Check with ``driver: octavia``: what that service cannot do is refused before anything is made (``model.stock``).

The service is asked only where the program gives something that older ones lack, or data for its driver; one that does not
answer refuses nothing here, and says itself what it does not take.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from octavia_provider.client.answers import WrongService
from octavia_provider.client.deadline import Deadline
from octavia_provider.kit import logs
from octavia_provider.model import stock
from octavia_provider.model.errors import OctaviaError, Violation
from octavia_provider.model.stock import fixed
from octavia_provider.model.validation import validate

from . import property_names, values
from .inputs import Failure

if TYPE_CHECKING:
    from octavia_provider.client.stock.service import StockClient

    from .session import ProviderSession

log = logs.Logger()
ASK_SECONDS = 10.0
"""Seconds for what a preview asks the service."""
_DATA = {
    "flavor_profile": ("flavor_data", "flavor"),
    "availability_zone_profile": ("availability_zone_data", "availability_zone"),
}

__all__ = ["fixed", "refusals"]


def refusals(kind_name: str, kind: type, inputs: Mapping[str, Any], session: ProviderSession) -> list[Failure]:
    """Failures of checked inputs."""
    given, _ = property_names.to_model(kind, values.plain(inputs))
    try:
        version = _version(session) if stock.asks_version(kind_name, given) else None
        found = [*stock.refusals(kind_name, given, version), *_lacking_data(kind_name, kind, given, session)]
    except WrongService as error:
        found = [Violation((), str(error))]
    return [Failure(property_names.pulumi_path(kind, v.path), v.message) for v in found]


def _lacking_data(
    kind_name: str, kind: type, given: Mapping[str, Any], session: ProviderSession
) -> Iterator[Violation]:
    name, of = _DATA.get(kind_name, ("", ""))
    text, provider = given.get(name), given.get("provider_name")
    if not name or not isinstance(text, str) or not isinstance(provider, str) or validate(kind, given).violations:
        return
    keys = json.loads(text)
    known = _ask(session, lambda client, deadline: client.capabilities(provider, of, deadline)) if keys else None
    for key in stock.lacking_flavor_data(keys, known or keys):
        yield Violation(
            (name,), f"{key} is nothing that driver {provider} of this Octavia knows: {', '.join(sorted(known or ()))}"
        )


def _version(session: ProviderSession) -> int | None:
    found: int | None = _ask(session, lambda client, deadline: client.version(deadline))
    return found


def _ask(session: ProviderSession, question: Any) -> Any:
    client: StockClient = session.client()  # type: ignore[assignment]
    try:
        return question(client, Deadline(ASK_SECONDS, session.cancelled))
    except WrongService:
        raise
    except OctaviaError as error:
        log.debug("not asked in a preview", error=str(error))
        return None
