# SPDX-License-Identifier: Apache-2.0
"""octaviactl reread: copies of a certificate manager's are read again, named or all."""

from __future__ import annotations

import json

import pem
from command_line import octaviactl
from fake_barbican import FakeBarbican
from real_plane import RealPlane

PAIR = pem.make("a.test")


def test_certificates_are_read_again() -> None:
    barbican = FakeBarbican()
    with RealPlane(barbican.manager()) as plane:
        assert octaviactl("reread", "--home", plane.home).stdout == "nothing refers to a certificate manager\n"
        own = plane.run(plane.plane.make("tls_container", name="own", **PAIR.container()))["id"]
        hrefs = [barbican.container(**PAIR.container()) for _ in range(2)]
        balancer = plane.run(plane.plane.balancer())["id"]
        tls = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "sni_container_refs": hrefs}
        plane.run(plane.plane.make("listener", name="web", loadbalancer_id=balancer, **tls))
        done = octaviactl("reread", "--home", plane.home)
        assert (done.returncode, sorted(done.stdout.splitlines())) == (0, sorted(f"{one}: as before" for one in hrefs))
        barbican.forget(hrefs[0])
        done = octaviactl("reread", hrefs[0], "--home", plane.home, "--json")
        (told,) = json.loads(done.stdout)["certificates"]
        assert (done.returncode, told["source"], told["changed"]) == (1, hrefs[0], False)
        assert "Barbican says (404)" in told["error"]
        assert octaviactl("reread", own, "--home", plane.home).returncode == 7
        listed = octaviactl("ids", "tls-container", "--home", plane.home).stdout
        assert own in listed
        assert not any(one.rpartition("/")[2] in listed for one in hrefs), "nobody's to import"
