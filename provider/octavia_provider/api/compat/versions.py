# SPDX-License-Identifier: Apache-2.0
"""The versions of Octavia's API that are fulfilled: clients switch features on by this list (octavia/api/root_controller.py).

cloud-provider-openstack and others take the last one for the newest, so they stand in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from octavia_provider.api.authorization import seen
from octavia_provider.api.errors import answer


@dataclass(frozen=True, slots=True)
class Version:
    """``lacking``: why it is not fulfilled; empty where it is."""

    minor: int
    updated: str
    brings: str
    lacking: str = ""

    @property
    def id(self) -> str:
        """As clients compare it."""
        return f"v2.{self.minor}"


VERSIONS = (
    Version(0, "2016-12-11", "load balancers, listeners, pools, members, health monitors, L7 policies, quotas"),
    Version(1, "2018-04-20", "timeouts of listeners"),
    Version(2, "2018-07-31", "UDP"),
    Version(3, "2018-12-18", "session persistence of UDP"),
    Version(4, "2018-12-19", "statistics of amphorae"),
    Version(5, "2019-01-21", "tags"),
    Version(6, "2019-01-25", "flavors"),
    Version(7, "2018-01-25", "a new configuration of a running amphora's agent"),
    Version(8, "2019-02-12", "client certificates; TLS to members"),
    Version(9, "2019-03-04", "the code of a redirect"),
    Version(10, "2019-03-05", "the version and the Host of a health monitor's requests"),
    Version(11, "2019-06-24", "a batch of members that adds only"),
    Version(12, "2019-09-11", "allowed networks of listeners"),
    Version(13, "2019-09-13", "SOURCE_IP_PORT"),
    Version(14, "2019-11-10", "availability zones"),
    Version(15, "2020-03-10", "ciphers"),
    Version(16, "2020-03-15", "HTTP and TCP monitors of UDP pools"),
    Version(17, "2020-04-29", "TLS versions of listeners"),
    Version(18, "2020-04-29", "TLS versions of pools"),
    Version(19, "2020-05-12", "quotas of L7 policies and rules"),
    Version(20, "2020-08-02", "ALPN of listeners"),
    Version(21, "2020-09-03", "deletion of an amphora that is in ERROR"),
    Version(22, "2020-09-04", "PROXYV2"),
    Version(23, "2020-09-07", "SCTP", "the kernels that amphorae run on have no SCTP"),
    Version(24, "2020-10-15", "ALPN of pools"),
    Version(25, "2021-10-02", "PROMETHEUS"),
    Version(26, "2022-08-29", "additional VIPs"),
    Version(27, "2023-05-05", "HSTS"),
    Version(28, "2023-11-08", "the sort of the VIP's port"),
    Version(29, "2024-10-15", "security groups of the VIP", "the embedded cloud has none; allowed_cidrs says who may come in"),
    Version(30, "2025-02-26", "SR-IOV ports of members", "the interfaces of the embedded cloud are virtual"),
)  # fmt: skip
FULFILLED = tuple(version for version in VERSIONS if not version.lacking)


async def versions(request: web.Request) -> web.Response:
    """GET / and /v2: the versions there are, as keystoneauth's discovery reads them."""
    url = seen(request)
    prefix, _, _ = url.path.rstrip("/").rpartition("/v2")
    base = prefix or ("" if "/v2" in url.path else url.path.rstrip("/"))
    href = str(url.with_path(f"{base}/v2").with_query(None))
    return answer({"versions": [_shown(version, href) for version in FULFILLED]})


def _shown(version: Version, href: str) -> dict[str, object]:
    return {
        "id": version.id,
        "status": "CURRENT" if version is FULFILLED[-1] else "SUPPORTED",
        "updated": f"{version.updated}T00:00:00Z",
        "links": [{"href": href, "rel": "self"}],
    }


async def name(_request: web.Request) -> web.Response:
    """GET /v2/lbaas and /v2/octavia."""
    return answer("v2")
