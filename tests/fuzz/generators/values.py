# SPDX-License-Identifier: Apache-2.0
"""The inputs of one object, drawn from its declaration: a new attribute is drawn by itself.

What the declaration alone does not say is in ``SPECIAL``, ``WEIGHTS`` and ``OFTEN``; what goes with what, in ``completion``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from octavia_provider.model import formats, health_monitor, kinds, l7_policy, tls
from octavia_provider.model.listener import HEADERS, TLS_HEADERS
from octavia_provider.model.metadata import Attribute, inputs
from octavia_provider.model.validation import validate

from . import containers, strings
from .chance import Draw
from .completion import complete

Body = dict[str, Any]

DRAWN_KINDS = tuple(kinds.KINDS[kind] for kind in kinds.BALANCER_KINDS)
NOT_DRAWN = frozenset({"flavor_id", "amphora_group_id", "availability_zone"})
"""They name other objects, which the store alone knows; nothing of them is rendered."""
STRUCTURE = frozenset({
    "loadbalancer_id", "listener_id", "pool_id", "default_pool_id", "l7policy_id", "redirect_pool_id", "vip_port_id", "provider",
})  # fmt: skip
"""Who belongs to whom is said by nesting; how a VIP is said is the cloud's, and who builds it is nothing to haproxy."""
REFUSED_CHOICES = frozenset({"SCTP"})
"""Choices of the API that the model refuses, whatever else is given."""

WEIGHTS: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("listener", "protocol"): {
        "HTTP": 5,
        "TERMINATED_HTTPS": 6,
        "TCP": 3,
        "UDP": 4,
        "HTTPS": 2,
        "PROMETHEUS": 1.5,
        "SCTP": 0.1,
    },
    ("pool", "protocol"): {"SCTP": 0.1},
    ("health_monitor", "type"): {"HTTP": 2, "HTTPS": 2, "SCTP": 0.1},
    ("l7_policy", "action"): {"CHANGE_HEADERS": 2, "REDIRECT_TO_POOL": 2},
}
"""Choices that should come oftener or more rarely than the others, which have weight 1."""
OFTEN: Mapping[tuple[str, str], float] = {
    ("listener", "allowed_cidrs"): 25, ("listener", "rate_limit"): 30, ("pool", "session_persistence"): 65,
    ("pool", "tls_enabled"): 70, ("pool", "protocol_version"): 60, ("load_balancer", "vip_address"): 40, ("load_balancer", "vip_sg_ids"): 5, ("l7_policy", "header_changes"): 70,
}  # fmt: skip
"""In how many cases of a hundred an attribute is given, where it is not the usual 50 (99 where it is required)."""


def _headers(draw: Draw) -> dict[str, str]:
    return {name: draw.choice(("true", "true", "false")) for name in (*HEADERS, *TLS_HEADERS) if draw.happens(50)}


def _cidrs(draw: Draw) -> list[str]:
    return [
        strings.of(draw, formats.cidr) for _ in range(draw.randint(20, 60) if draw.happens(10) else draw.randint(1, 4))
    ]


def _versions(draw: Draw) -> list[str]:
    names = [choice.value for choice in tls.VERSIONS]
    first = draw.randrange(len(names))
    found = names[first : draw.randint(first, len(names))]
    draw.shuffle(found)
    return found or names[1:]


def _alpn(draw: Draw) -> list[str]:
    return draw.sample([choice.value for choice in tls.ALPN], draw.randint(1, len(tls.ALPN)))


def _up(draw: Draw) -> bool:
    return draw.happens(90)


SPECIAL: Mapping[tuple[str, str], Callable[[Draw], Any]] = {
    ("listener", "insert_headers"): _headers,
    ("listener", "allowed_cidrs"): _cidrs,
    ("listener", "tls_versions"): _versions, ("pool", "tls_versions"): _versions,
    ("listener", "alpn_protocols"): _alpn, ("pool", "alpn_protocols"): _alpn,
    ("pool", "tls_enabled"): _up,
    **{(kind.KIND, "admin_state_up"): _up for kind in DRAWN_KINDS},
    ("health_monitor", "delay"): lambda draw: draw.choice((5, 6, 60, health_monitor.LONGEST)),
    ("health_monitor", "timeout"): lambda draw: draw.randint(1, 5),
    ("l7_policy", "redirect_http_code"): lambda draw: draw.choice((*l7_policy.CODES, *l7_policy.CODES, 304)),
}  # fmt: skip


def good(draw: Draw, kind: str, attribute: Attribute) -> Any:
    """A value that the declaration of an attribute allows, or mostly allows."""
    if (special := SPECIAL.get((kind, attribute.name))) is not None:
        return special(draw)
    nested = attribute.nested
    if nested is not None:
        return draw.some(lambda draw: values(draw, nested), 3) if attribute.is_list else values(draw, nested)
    if attribute.is_list:
        return draw.some(lambda draw: _scalar(draw, kind, attribute, attribute.item), 3)
    if attribute.is_map:
        return {
            strings.hostile(draw): _scalar(draw, kind, attribute, attribute.item) for _ in range(draw.randint(0, 2))
        }
    return _scalar(draw, kind, attribute, attribute.annotation)


def _scalar(draw: Draw, kind: str, attribute: Attribute, shape: type) -> Any:
    if attribute.choices:
        own = WEIGHTS.get((kind, attribute.name), {})
        return draw.weighted({choice.value: own.get(choice.value, 1) for choice in attribute.choices})
    if attribute.name in containers.SORTS:
        return containers.reference(draw, containers.SORTS[attribute.name])
    if shape is bool:
        return draw.happens(50)
    if shape in (int, float):
        return _number(draw, attribute)
    return strings.of(draw, attribute.format) if attribute.format else strings.hostile(draw)


def _number(draw: Draw, attribute: Attribute) -> int:
    low = int(attribute.minimum or 0)
    high = int(attribute.maximum if attribute.maximum is not None else 1 << 20)
    if draw.happens(30):
        return draw.choice((low, high, min(low + 1, high)))
    return draw.randint(low, min(high, low + 100) if draw.happens(50) else high)


def bad(draw: Draw, attribute: Attribute) -> Any:
    """Anything else."""
    anything: tuple[Callable[[], Any], ...] = (
        lambda: strings.hostile(draw), lambda: strings.hostile(draw),
        lambda: draw.randint(-2, 1 << 70), lambda: draw.uniform(-1e9, 1e9), lambda: draw.happens(50), lambda: None,
        lambda: draw.some(strings.hostile, 2), lambda: {strings.hostile(draw): strings.hostile(draw)},
    )  # fmt: skip
    if attribute.is_list and draw.happens(50):
        return draw.some(strings.hostile, 2)
    return draw.choice(anything)()


def values(draw: Draw, kind: type, **fixed: Any) -> Body:
    """The inputs of one object. What a rule refuses is left out again, unless the draw is lax, so that much is accepted."""
    word = getattr(kind, "KIND", kind.__name__)
    found: Body = {}
    for name, attribute in inputs(kind).items():
        often = OFTEN.get((word, name), 99.7 if attribute.required else 50)
        if name in STRUCTURE | NOT_DRAWN or not draw.happens(often):
            continue
        found[name] = bad(draw, attribute) if draw.happens(0.6) else good(draw, word, attribute)
    found.update(fixed)
    if not (draw.lax and draw.happens(20)):
        complete(draw, word, found)
        _mend(draw, kind, found)
    return found


def _mend(draw: Draw, kind: type, found: Body) -> None:
    """Take out what rules refuse; what must be there is drawn anew."""
    word = getattr(kind, "KIND", kind.__name__)
    for _ in range(4):
        violations = validate(kind, {**_parents(kind, found), **found}).violations
        if not violations:
            return
        for name in dict.fromkeys(str(violation.path[0]) for violation in violations):
            found.pop(name, None)
            attribute = inputs(kind).get(name)
            if attribute is not None and attribute.required and name not in STRUCTURE:
                found[name] = good(draw, word, attribute)
        complete(draw, word, found)


def _parents(kind: type, found: Body) -> Body:
    named = STRUCTURE & inputs(kind).keys() - {"provider"}
    if found.get("action") != "REDIRECT_TO_POOL":
        named -= {"redirect_pool_id"}
    return dict.fromkeys(named, "00000000-0000-0000-0000-000000000001")
