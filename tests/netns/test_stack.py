# SPDX-License-Identifier: Apache-2.0
"""The quickstart's whole life, by each engine: up, again, edits under load, refresh, destroy."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from octavia_provider.kit import paths

from .clouds import alive, processes_of
from .installation import Load, ask, shared_by, shares, until
from .stacks import REPOSITORY, WEB, Project

THREE = """
members = {f"m{n}": host(f"m{n}", network) for n in (1, 2, 3)}
for name, machine in members.items():
    octavia.Member(name, pool_id=pool.id, address=machine.address, protocol_port=80, weight=2)
"""


def edits(steps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Name → its op, and each property path with its kind."""
    return {
        name: (step["op"], {path: diff["kind"] for path, diff in (step.get("detailedDiff") or {}).items()})
        for name, step in steps.items()
    }


def assert_shared_by(url: str, names: set[str]) -> None:
    until(lambda: shared_by(url, names, 12), what=f"answers of {names}")


@pytest.mark.timeout(240)
def test_the_quickstart__up__again__refresh__destroy(project: Project) -> None:
    project.environment["OCTAVIA_IDLE_SECONDS"] = "2"
    project.source((REPOSITORY / "examples/quickstart/__main__.py").read_text())
    project.up_well()
    url = project.outputs()["url"]
    assert_shared_by(url, {"server-1\n", "server-2\n", "server-3\n"})
    counts = shares(url, 300)
    assert set(counts) == {"server-1\n", "server-2\n", "server-3\n"}
    assert all(90 <= count <= 110 for count in counts.values()), counts

    project.up_well(None, "--expect-no-changes")
    assert project.refresh().ok
    project.unchanged()
    project.assert_nothing_double()

    control_plane = project.control_plane()
    inside = processes_of(project.site.holder)
    assert control_plane is not None
    assert len(inside) > 10  # a holder, an init and an agent, haproxy, three hosts, forwarders
    done = project.destroy()
    assert done.ok, done.text
    until(lambda: not alive(control_plane), what="the control plane to end by itself when nothing is left")
    assert not [pid for pid in inside if alive(pid)]
    until(lambda: not project.mine(""), what="the last process of the project to end")
    assert not project.resources()
    with pytest.raises(ConnectionRefusedError):
        ask(url)
    assert not rows(project.home)
    left = {path.name for path in project.home.iterdir()}
    assert not left & {"api.sock", "cloud"}, left


def rows(home: Path) -> dict[str, int]:
    """Table → how many rows, of all that belongs to objects."""
    with closing(sqlite3.connect(paths.database(home))) as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        counts = {name: database.execute(f'select count(*) from "{name}"').fetchone()[0] for name in names}
    # who it is, its CA, its schema, and what happened, which is kept for as long as it says
    stay = ("installation", "secrets", "alembic_version", "sqlite_sequence", "events")
    return {name: count for name, count in counts.items() if count and name not in stay}


@pytest.mark.timeout(240)
def test_each_edit_is_previewed_by_name_and_carried_under_load(project: Project) -> None:
    project.up_well(WEB + THREE)
    url = project.outputs()["url"]
    assert_shared_by(url, {"m1", "m2", "m3"})
    text = WEB + THREE
    with Load(url, workers=2) as load:  # more would take the processors from the engines
        text = text.replace("weight=2", "weight={'m1': 5}.get(name, 2)")
        text = text.replace(
            'protocol="HTTP", protocol_port=80)', 'protocol="HTTP", protocol_port=80, timeout_client_data=9000)'
        )
        carry(
            project, text,
            {"m1": ("update", {"weight": "update"}), "http": ("update", {"timeoutClientData": "update"})},
        )  # fmt: skip
        load.more()
        project.program(text.replace("(1, 2, 3)", "(1, 3, 4)"))
        steps = project.steps()
        assert Counter((step["op"], kind_of(step)) for step in steps) == {
            ("create", "Host"): 1, ("create", "Member"): 1, ("delete", "Host"): 1, ("delete", "Member"): 1,
        }  # fmt: skip
        assert {step["urn"].rpartition("::")[2] for step in steps if step["op"] == "create"} == {"m4"}
        assert {step["urn"].rpartition("::")[2] for step in steps if step["op"] == "delete"} == {"m2"}
        project.up_well()
        load.more()
    assert not load.failures, load.failures[:5]
    assert_shared_by(url, {"m1", "m3", "m4"})
    project.assert_nothing_double()
    assert project.refresh().ok
    project.unchanged()


def kind_of(step: dict[str, Any]) -> str:
    """``Member``, from a URN."""
    return str(step["urn"].split("::")[2].rpartition(":")[2])


def carry(project: Project, text: str, expected: dict[str, Any]) -> None:
    """The preview says just that, and up does just that."""
    project.program(text)
    assert edits(project.changes()) == expected
    before = project.resources()
    project.up_well()
    after = project.resources()
    changed = {name.partition("/")[2] for name in after if after[name]["inputs"] != before[name]["inputs"]}
    assert changed == set(expected)


def test_names_are_made_where_none_are_given_and_outputs_come_back(project: Project) -> None:
    project.up_well(
        """
network = octavia.local.Network("net")
named = octavia.local.Network("other", name="just-so", cidr="10.77.0.0/24")
balancer = octavia.LoadBalancer("web", vip_network_id=named.id, vip_address="10.77.0.9")
listener = octavia.Listener("http", loadbalancer_id=balancer.id, protocol="TCP", protocol_port=8080)
for name in ("vip_address", "published_address", "provisioning_status"):
    pulumi.export(name, getattr(balancer, name))
pulumi.export("names", [network.name, named.name, balancer.name])
pulumi.export("url", listener.url)
"""
    )
    outputs = project.outputs()
    auto, given, balancer = outputs["names"]
    assert auto.startswith("net-")
    assert len(auto) == len("net-") + 7
    assert given == "just-so"
    assert balancer.startswith("web-")
    assert (outputs["vip_address"], outputs["provisioning_status"]) == ("10.77.0.9", "ACTIVE")
    assert urlsplit(outputs["url"]).hostname == outputs["published_address"]
    assert urlsplit(outputs["url"]).port == 8080
    assert "ciphertext" not in str(project.resources())  # nothing here is secret
    names = {item["name"] for items in project.objects().values() for item in items}
    assert {auto, given, balancer} < names


def test_an_explicit_provider_makes_its_resources_where_it_says(project: Project, tmp_path: Path) -> None:
    here, elsewhere = project.home, project.home.with_name(project.home.name + "-x")
    project.environment["OCTAVIA_HOME"] = str(elsewhere)
    project.up_well(
        f"""
provider = octavia.Provider("there", home={str(here)!r})
network = octavia.local.Network("net", opts=O(provider=provider))
balancer = octavia.LoadBalancer("web", vip_network_id=network.id, opts=O(provider=provider))
"""
    )
    assert len(project.objects()["load_balancer"]) == 1  # of the home that the provider names
    assert not elsewhere.exists()
    project.unchanged()
    assert project.destroy().ok
    assert not project.objects()["load_balancer"]
    assert not elsewhere.exists()
