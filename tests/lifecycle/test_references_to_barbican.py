# SPDX-License-Identifier: Apache-2.0
"""References to Barbican in a program are plain strings: written, read, imported and previewed without drift."""

from __future__ import annotations

import grpc
import pytest

import pem
from fake_barbican import HREF, FakeBarbican
from provider_process import pb, provider
from real_plane import RealPlane

TOKEN = "octavia:index:Listener"
PAIR = pem.make("a.test")


def test_a_listener_refers_to_barbican() -> None:
    barbican = FakeBarbican()
    default, other = (barbican.container(**PAIR.container()) for _ in range(2))
    missing = f"{HREF}/secrets/11111111-1111-4111-8111-111111111111"
    with RealPlane(barbican.manager()) as plane, provider() as octavia:
        octavia.configure(home=plane.home)
        balancer = plane.run(plane.plane.balancer())["id"]
        given = {
            "name": "web", "loadbalancerId": balancer, "protocol": "TERMINATED_HTTPS", "protocolPort": 443,
            "defaultTlsContainerRef": default,
        }  # fmt: skip
        inputs, failures = octavia.check(TOKEN, "web", given)
        assert failures == {}
        assert inputs["defaultTlsContainerRef"] == default
        with pytest.raises(grpc.RpcError, match="Barbican says") as refused:
            octavia.create(TOKEN, "web", {**inputs, "sniContainerRefs": [missing]})
        assert "sniContainerRefs[0]" in str(refused.value)
        id_, outputs = octavia.create(TOKEN, "web", inputs)
        assert octavia.diff(TOKEN, "web", id_, inputs, outputs, inputs).changes == pb.DiffResponse.DIFF_NONE
        found, outputs, read = octavia.read(TOKEN, "web", id_)
        assert found == id_
        assert octavia.diff(TOKEN, "web", id_, read, outputs, inputs).changes == pb.DiffResponse.DIFF_NONE, "imported"
        changed = {**inputs, "defaultTlsContainerRef": other}
        assert list(octavia.diff(TOKEN, "web", id_, inputs, outputs, changed).diffs) == ["defaultTlsContainerRef"]
        assert octavia.update(TOKEN, "web", id_, inputs, outputs, changed)["provisioningStatus"] == "ACTIVE"
        barbican.down = True
        more = {**changed, "description": "Barbican is away"}
        assert octavia.update(TOKEN, "web", id_, changed, outputs, more)["description"] == "Barbican is away"
