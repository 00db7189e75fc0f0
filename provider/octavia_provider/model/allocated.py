# SPDX-License-Identifier: Apache-2.0
"""What a cloud has allocated for a load balancer, as its spec has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Values = Mapping[str, Any]
CARRIED = "carried"
"""In the spec beside the attributes: what its amphorae carry (``ports.Vip``, as dictionaries)."""


def addresses(spec: Values) -> list[str | None]:
    """Every VIP; None for one that has no address yet. The first is the one that it was made with."""
    return [spec.get("vip_address"), *(vip.get("ip_address") for vip in spec.get("additional_vips") or ())]


def known(spec: Values) -> bool:
    """Whether a cloud has allocated its VIPs, those that it was made with."""
    return CARRIED in spec


def kept(before: Values, values: Values) -> dict[str, Any]:
    """The additional VIPs after a change: one that names no address keeps what the load balancer has in its subnet."""
    has = {vip["subnet_id"]: vip for vip in before.get("additional_vips") or ()}
    return {"additional_vips": [_known(vip, has) for vip in values.get("additional_vips") or ()]}


def filled(spec: Values, chosen: Values) -> dict[str, Any]:
    """The spec with what was chosen; what was asked for meanwhile stays as it is asked for."""
    has = {vip["subnet_id"]: vip for vip in chosen.get("additional_vips") or ()}
    more = [_known(vip, has) for vip in spec.get("additional_vips") or ()]
    return {**spec, **chosen, "additional_vips": more}


def _known(vip: Values, has: Mapping[str, Values]) -> dict[str, Any]:
    known = has.get(vip["subnet_id"], {})
    return {**vip, **{name: known[name] for name in ("ip_address", "port_id") if not vip.get(name) and known.get(name)}}
