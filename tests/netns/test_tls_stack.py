# SPDX-License-Identifier: Apache-2.0
"""TLS in a Pulumi program: keys are secrets in the state, a new certificate is an update in place."""

from __future__ import annotations

import pytest

import pem

from .installation import until
from .stacks import Project
from .tls_client import ask, refused

PROGRAM = """
import os
network = octavia.local.Network("net")
balancer = octavia.LoadBalancer("web", vip_network_id=network.id)
cert = octavia.TlsContainer(
    "cert", certificate={certificate!r}, private_key={key!r}, passphrase="hush hush",
)
listener = octavia.Listener(
    "https", loadbalancer_id=balancer.id, protocol="TERMINATED_HTTPS", protocol_port=443,
    default_tls_container_ref=cert.id, tls_versions=["TLSv1.3"],
)
pulumi.export("url", listener.url)
pulumi.export("until", cert.not_after)
"""


@pytest.mark.covers("tls_container.private_key", "tls_container.passphrase")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
def test_keys_are_secret_in_the_state__a_new_certificate_is_an_update(project: Project) -> None:
    pairs = [pem.make("a.test") for _ in range(2)]
    sealed = [pair.sealed_key("hush hush") for pair in pairs]
    programs = [PROGRAM.format(certificate=p.pem, key=k) for p, k in zip(pairs, sealed, strict=True)]
    said = project.up_well(programs[0]).text
    url = project.outputs()["url"]
    assert project.outputs()["until"] == pairs[0].certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%S")
    until(lambda: not refused(url))
    assert ask(url).serial == pairs[0].serial
    assert project.refresh().ok
    project.unchanged()
    project.program(programs[1])
    said += project.preview("--diff").text
    changes = project.changes()
    assert {name: step["op"] for name, step in changes.items() if step["op"] != "same"} == {"cert": "update"}
    said += project.up_well().text
    assert ask(url).serial == pairs[1].serial
    kept = b"".join(path.read_bytes() for path in project.state_dir.rglob("*") if path.is_file())
    for secret in ("hush hush", *(key.splitlines()[1] for key in sealed)):
        assert secret not in said
        assert secret.encode() not in kept
    assert project.destroy().ok
