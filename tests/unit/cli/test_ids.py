# SPDX-License-Identifier: Apache-2.0
"""octaviactl ids: everything that can be imported, by the id that the plugin takes."""

from __future__ import annotations

import json

import pem
from command_line import octaviactl
from octavia_provider.cli import ids
from octavia_provider.model.kinds import KINDS
from octavia_provider.plugin.resources import HANDLERS_BY_TYPE, TOKENS
from provider_process import provider
from real_plane import RealPlane


def test_every_kind_has_the_token_of_the_plugin() -> None:
    assert {kind: ids.token(kind) for kind in KINDS} == TOKENS


def test_everything_is_listed_and_the_plugin_reads_it_by_that_id() -> None:
    with RealPlane() as plane:
        plane.make("web-0a1b2c3")
        plane.make("web-1a1b2c3")
        make = plane.plane.make
        network = plane.run(make("local_network", name="net"))
        plane.run(make("local_host", name="one", network_id=network["id"], command=["true"]))
        plane.run(make("tls_container", name="cert", **pem.make("a.example.com").container()))
        plane.run(make("amphora_group", name="shared"))
        profile = {"name": "small", "provider_name": "amphora", "flavor_data": "{}"}
        profile_id = plane.run(make("flavor_profile", **profile))["id"]
        plane.run(make("flavor", name="small", flavor_profile_id=profile_id))
        zone = {"name": "here", "provider_name": "amphora", "availability_zone_data": "{}"}
        zone_id = plane.run(make("availability_zone_profile", **zone))["id"]
        plane.run(make("availability_zone", name="here", availability_zone_profile_id=zone_id))
        plane.run(plane.plane.call("PUT", "/lbaas/quotas/demo", {"quota": {"loadbalancer": 7}}))
        done = octaviactl("ids", "--json", "--home", plane.home)
        assert (done.returncode, done.stderr) == (0, "")
        resources = json.loads(done.stdout)["resources"]
        assert {resource["type"] for resource in resources} == set(HANDLERS_BY_TYPE)
        names = [(resource["type"], resource["name"]) for resource in resources]
        assert len(set(names)) == len(names)
        assert {"web", "web-2"} <= {name for kind, name in names if kind == "octavia:index:LoadBalancer"}
        with provider() as octavia:
            octavia.configure(home=plane.home)
            for resource in resources:
                found, _, inputs = octavia.read(resource["type"], resource["name"], resource["id"])
                assert found == resource["id"].rpartition("/")[2]
                assert octavia.check(resource["type"], resource["name"], inputs, inputs)[1] == {}
        done = octaviactl("ids", "tls-container", "--home", plane.home)
        assert "octavia:index:TlsContainer  cert" in done.stdout
        assert "LoadBalancer" not in done.stdout


def test_nothing_there_is_said() -> None:
    with RealPlane() as plane:
        assert octaviactl("ids", "--home", plane.home).stdout == "nothing there\n"
        assert octaviactl("ids", "nonsense", "--home", plane.home).returncode == 2


def test_the_help_names_every_kind() -> None:
    told = (ids.ids.help or "").partition("Kinds:")[2]
    assert {word.strip(" .\n") for word in told.split(",")} == set(ids._KIND_NAMES)
