# SPDX-License-Identifier: Apache-2.0
"""Objects in Octavia's form and in the model's; what Octavia has no place for is kept in tags of ours, which nobody is shown.

``octavia:create=<digest>``    which create made it: a create whose answer was lost is found again
``octavia:listener=<id>``      the listener that a pool was made for
``octavia:name=<name>``        the name of an L7 rule, which has none in Octavia
``octavia:position=<number>``  the position that an L7 policy was asked to have: Octavia counts without gaps
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from octavia_provider.client.client import Ownership
from octavia_provider.model import stock
from octavia_provider.model.health_monitor import HTTP_DEFAULTS
from octavia_provider.model.kinds import BALANCER_KINDS, KINDS
from octavia_provider.model.metadata import attributes, inputs

PREFIX = "octavia:"
CREATE, LISTENER, NAME, POSITION = (f"{PREFIX}{word}=" for word in ("create", "listener", "name", "position"))
TAGGED = frozenset(BALANCER_KINDS)
"""Kinds whose objects have tags in Octavia."""
_IN_TAG: Mapping[str, tuple[str, str]] = {"l7_rule": ("name", NAME), "l7_policy": ("position", POSITION)}
"""Kinds with an attribute that is kept in a tag, the attribute, and how the tag begins."""
_PARENT_IN_LIST = {"listener": "loadbalancers", "pool": "loadbalancers", "health_monitor": "pools"}
_PARENT = {"listener": "loadbalancer_id", "pool": "loadbalancer_id", "health_monitor": "pool_id"}
_ERROR = (
    "Octavia ended it in ERROR and does not say why: the log of its worker does. A load balancer is repaired by "
    "`openstack loadbalancer failover`, other objects by the next update"
)


def key(kind: str, values: Mapping[str, Any], owner: Ownership) -> str:
    """The tag of a create: of whom, and what. Without the name, which is another one in each run where the engine makes it up."""
    made = {name: value for name, value in values.items() if name != "name"}
    text = json.dumps([owner.provider, owner.urn, kind, made], sort_keys=True, default=str)
    return CREATE + hashlib.sha256(text.encode()).hexdigest()[:32]


def body(
    kind: str, values: Mapping[str, Any], version: int, kept: Collection[str] = (), *, whole: bool = False
) -> dict[str, Any]:
    """A body from the model's values, for a service of this version; ``kept``: tags of ours that the object has. ``whole``: a
    create."""
    sent = {name: _sent(kind, name, value) for name, value in values.items() if stock.takes(kind, name, version)}
    told, prefix = _IN_TAG.get(kind, ("", ""))
    hidden = [tag for tag in kept if not (told in sent and tag.startswith(prefix))]
    if sent.get(told):
        hidden.append(f"{prefix}{sent[told]}")
    if kind == "l7_rule":
        sent.pop("name", None)
    if whole and kind == "pool" and sent.get("listener_id"):
        hidden.append(LISTENER + sent["listener_id"])
    if kind in TAGGED and ("tags" in sent or hidden):
        sent["tags"] = [*(sent.get("tags") or ()), *hidden]
    return sent


def newest_minor(document: Any) -> int | None:
    """The newest 2.x of Octavia's versions document, 0 where it lists no 2.x; None where the document is none."""
    listed = document.get("versions") if isinstance(document, Mapping) else None
    if not isinstance(listed, list) or not listed or not all(isinstance(one, Mapping) for one in listed):
        return None
    numbers = [str(one.get("id", "")).removeprefix("v2.") for one in listed]
    return max((int(number) for number in numbers if number.isdigit()), default=0)


def asks_tags(kind: str, values: Mapping[str, Any]) -> bool:
    """Whether an update of these values writes the tags, so that ours have to be known."""
    return kind in TAGGED and ("tags" in values or _IN_TAG.get(kind, ("", ""))[0] in values)


def tags_of_ours(obj: Mapping[str, Any]) -> list[str]:
    """Of an object in Octavia's form."""
    return [tag for tag in obj.get("tags") or () if tag.startswith(PREFIX)]


def shown(kind: str, obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object in the model's form."""
    found = dict(obj)
    hidden = tags_of_ours(obj)
    if "tags" in found:
        found["tags"] = [tag for tag in found["tags"] or () if tag not in hidden]
    if kind in _PARENT_IN_LIST and not found.get(_PARENT[kind]):
        found[_PARENT[kind]] = _first(obj, _PARENT_IN_LIST[kind])
    match kind:
        case "pool":
            listeners = {one["id"] for one in obj.get("listeners") or ()}
            found["listener_id"] = next((id_ for id_ in _said(hidden, LISTENER) if id_ in listeners), None)
        case "l7_policy":
            found["asked_position"] = next((int(said) for said in _said(hidden, POSITION) if said.isdecimal()), None)
        case "l7_rule":
            found["name"] = next(iter(_said(hidden, NAME)), "")
        case "member":
            found["request_sriov"] = found.get("vnic_type") == "direct"
        case "health_monitor":
            version = found.get("http_version")
            found["http_version"] = str(float(version)) if version is not None else None
    _complete(kind, found)
    if found.get("provisioning_status") == "ERROR":
        found.setdefault("provisioning_error", _ERROR)
    return found


def _complete(kind: str, found: dict[str, Any]) -> None:
    """Add what the schema says is always there."""
    for name, attr in attributes(KINDS[kind]).items():
        if not attr.nullable and attr.default is not None and found.get(name) is None:
            found[name] = attr.default
    if kind not in BALANCER_KINDS:  # what operators set up has neither in Octavia
        for name, value in (("provisioning_status", "ACTIVE"), ("project_id", ""), ("created_at", "")):
            found.setdefault(name, value)


def as_given(kind: str, obj: Mapping[str, Any], given: Collection[str], before: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what Octavia filled in: defaults that are in force there, and are no inputs in the model.

    ``given``: the inputs that are set. ``before``: the old outputs (the model's names): what it said then too was its own.
    """
    known = inputs(KINDS[kind])
    found = dict(obj)
    for name, attr in known.items():
        value = found.get(name)
        if name in given or value is None or attr.required or attr.filled or name == "name":
            continue
        if value == _default(kind, name) or (before and _plain(value) == _plain(before.get(name))):
            found[name] = None
    return found


def _default(kind: str, name: str) -> Any:
    return HTTP_DEFAULTS.get(name) if kind == "health_monitor" else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _sent(kind: str, name: str, value: Any) -> Any:
    if kind == "health_monitor" and name == "http_version" and value is not None:
        return float(value)
    if isinstance(value, Mapping):
        return {n: v for n, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_sent("", "", item) for item in value]
    return value


def _first(obj: Mapping[str, Any], name: str) -> str | None:
    return next((str(one["id"]) for one in obj.get(name) or ()), None)


def _said(tags: Collection[str], prefix: str) -> list[str]:
    return [tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)]
