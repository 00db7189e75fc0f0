# SPDX-License-Identifier: Apache-2.0
"""Two forms in which objects are shown: Octavia's, to everybody, and the model's, to whoever asks for it by a header.

Octavia shows defaults where they are in force, values as they were spelled, and a version as a number. The model's form
has what was given in one spelling, and null where nothing was: so a plugin can tell what somebody said from what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from octavia_provider.model import formats
from octavia_provider.model.health_monitor import HTTP_DEFAULTS, HTTP_TYPES
from octavia_provider.model.kinds import BALANCER_KINDS, KINDS, OPERATOR_KINDS
from octavia_provider.model.metadata import Attribute, inputs
from octavia_provider.model.tls import TLS_DEFAULTS

HEADER = "X-Octavia-Form"
MODEL = "model"
SPELLED = "spelled"
"""Where a spec keeps what was spelled in another way than the one in which it is compared."""
_ONE_SPELLING = (formats.uuid_string, formats.cidr)  # Octavia too shows these in one alone


def wants_model(request: web.Request) -> bool:
    """Whether the caller asks for the model's form."""
    return request.headers.get(HEADER) == MODEL


def spelled(kind: str, given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What of the given attributes means a value of ``values`` and is spelled otherwise."""
    if kind == "load_balancer" or kind not in (*BALANCER_KINDS, *OPERATOR_KINDS):
        return {}  # a VIP is a port's address, which Neutron spells; and all else is not Octavia's
    known = inputs(KINDS[kind])
    found = {n: (known[n], v) for n, v in given.items() if n in known and not known[n].secret}
    return {name: value for name, (fact, value) in found.items() if _respelled(fact, value, values.get(name))}


def _respelled(fact: Attribute, given: Any, value: Any) -> bool:
    if fact.format in _ONE_SPELLING or given is None:
        return False
    if fact.is_list and fact.nested is None and isinstance(given, (list, tuple)):
        return list(given) != list(value or ())
    return isinstance(given, str) and isinstance(value, str) and given != value


def octavia(kind: str, spec: Mapping[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """An object in Octavia's form; ``shown`` is its model's."""
    shown.update({n: v for n, v in (spec.get(SPELLED) or {}).items() if n in shown})
    match kind:
        case "health_monitor":
            if spec["type"] in HTTP_TYPES:
                _fill(shown, HTTP_DEFAULTS)
            version = shown["http_version"]
            shown["http_version"] = float(version) if version is not None else None
        case "listener":
            shown["allowed_cidrs"] = shown["allowed_cidrs"] or None
            if spec["protocol"] == "TERMINATED_HTTPS":
                _fill(shown, TLS_DEFAULTS)
        case "pool":
            if shown["tls_enabled"]:
                _fill(shown, TLS_DEFAULTS)
    return shown


def _fill(shown: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    shown.update({name: value for name, value in defaults.items() if shown[name] is None})
