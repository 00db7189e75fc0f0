# SPDX-License-Identifier: Apache-2.0
"""What there is to prove, and which tests prove it: the marker ``covers("kind.attribute", …)``.

A name is that of an input: ``listener.connection_limit``; of what it holds: ``listener.rate_limit.requests``; where
there are choices, of one of them: ``pool.lb_algorithm=SOURCE_IP``. Who proves the choices or the parts proves the whole.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs

TESTS = Path(__file__).parent
MARKER = "covers"
OPENSTACK = "only OpenStack has it"
SCTP = "the kernels of amphorae have no SCTP"
_FLAVOR, _ZONE = "flavor_profile.flavor_data", "availability_zone_profile.availability_zone_data"
REFUSED: Mapping[str, str] = {
    "load_balancer.vip_port_id": OPENSTACK, "load_balancer.additional_vips.port_id": OPENSTACK,
    "load_balancer.vip_qos_policy_id": OPENSTACK, "load_balancer.vip_sg_ids": OPENSTACK,
    "member.request_sriov": OPENSTACK, f"{_FLAVOR}.compute_flavor": OPENSTACK, f"{_FLAVOR}.amp_image_tag": OPENSTACK,
    f"{_FLAVOR}.sriov_vip": OPENSTACK, f"{_FLAVOR}.allow_member_sriov": OPENSTACK, f"{_ZONE}.compute_zone": OPENSTACK,
    f"{_ZONE}.volume_zone": OPENSTACK, f"{_ZONE}.management_network": OPENSTACK,
    "listener.protocol=SCTP": SCTP, "pool.protocol=SCTP": SCTP, "health_monitor.type=SCTP": SCTP,
}  # fmt: skip
"""What there is in the API alone, and why; the tests that claim it show that it is refused."""
EXEMPT: Mapping[str, str] = {
    "listener.timeout_tcp_inspect": "nobody sees it: haproxy is told, but decides nothing by what TCP clients send",
}
"""What no test can show, and why."""


@functools.cache
def claimable() -> list[str]:
    """All that is to be proved, in the order of the model."""
    return [name for kind, cls in KINDS.items() for name in _names(kind, cls)]


def _names(prefix: str, cls: type) -> Iterator[str]:
    for attribute in inputs(cls).values():
        name = f"{prefix}.{attribute.name}"
        inner = attribute.nested or attribute.json
        if inner is not None:
            yield from _names(name, inner)
        elif attribute.choices:
            yield from (f"{name}={choice.value}" for choice in attribute.choices)
        else:
            yield name


@functools.cache
def claims() -> dict[str, list[str]]:
    """Which tests claim a name: ``netns/test_l7.py::test_codes_of_redirects``, read from the files."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for name in _shown(function):
                    found.setdefault(name, []).append(f"{path.relative_to(TESTS).as_posix()}::{function.name}")
    return found


def result(outcomes: set[str]) -> str:
    """How a test went whose parameters ended in these ways; one that is skipped for want of something is not counted."""
    return next((word for word in ("failed", "passed") if word in outcomes), "skipped")


def _shown(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == f"pytest.mark.{MARKER}":
            yield from (str(ast.literal_eval(argument)) for argument in decorator.args)
