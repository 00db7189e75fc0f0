# SPDX-License-Identifier: Apache-2.0
"""``octaviactl config``: what is in force, what would change, and rendering anew."""

from __future__ import annotations

import json

from command_line import octaviactl
from real_plane import RealPlane


def test_what_is_in_force_of_one_and_of_all() -> None:
    with RealPlane() as plane:
        ids = [plane.make(name)["id"] for name in ("a", "b")]
        one = octaviactl("config", "a", "--home", plane.home)
        everything = octaviactl("config", "--home", plane.home, "--json")
    assert one.stdout == f"# {ids[0]}"
    shown = json.loads(everything.stdout)["load_balancers"]
    assert [(found["id"], found["haproxy"]) for found in shown] == [(id_, f"# {id_}") for id_ in ids]


def test_what_would_change() -> None:
    with RealPlane() as plane:
        id_ = plane.make("a")["id"]
        plane.plane.texts.change = " 1"
        text = octaviactl("config", "a", "--diff", "--home", plane.home)
        ours = octaviactl("config", "--diff", "--shipped", "--json", "--home", plane.home)
    assert text.stdout.splitlines() == [
        "--- a: in force",
        "+++ rendered now",
        "@@ -1 +1 @@",
        f"-# {id_}",
        f"+# {id_} 1",
    ]
    (found,) = json.loads(ours.stdout)["load_balancers"]
    assert found["diff"][:2] == ["--- a: shipped", "+++ rendered now"]
    assert (found["haproxy"], found["shipped"], found["next"]) == (f"# {id_}", "", f"# {id_} 1")


def test_applying_says_what_came_of_it() -> None:
    with RealPlane() as plane:
        id_ = plane.make("a")["id"]
        same = octaviactl("config", "--apply", "--home", plane.home)
        plane.plane.texts.change = " 1"
        changed = octaviactl("config", "a", "--apply", "--home", plane.home)
        plane.plane.texts.change, plane.plane.texts.refused = " 2", "template listener.j2: unknown keyword"
        refused = octaviactl("config", "a", "--apply", "--json", "--home", plane.home)
        after = octaviactl("config", "a", "--home", plane.home)
    assert (same.stdout, same.returncode) == ("a: nothing differs\n", 0)
    assert (changed.stdout, changed.returncode) == ("a: in force\n", 0)
    assert refused.returncode == 1
    assert "a: not in force: template listener.j2: unknown keyword" in refused.stderr
    (found,) = json.loads(refused.stdout)["load_balancers"]
    assert (found["changed"], found["error"]) == (True, "template listener.j2: unknown keyword")
    assert after.stdout.strip() == f"# {id_} 1"


def test_a_diff_names_what_is_in_error() -> None:
    with RealPlane() as plane:
        balancer = plane.make("a")["id"]
        plane.plane.refuse.add("bad")
        bad = {"name": "bad", "loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": 99}
        listener = plane.run(plane.plane.post("listener", bad)).body["listener"]
        said = octaviactl("config", "a", "--diff", "--home", plane.home)
    assert f"bad ({listener['id']}) is in ERROR: what was accepted of it last is rendered" in said.stderr
    assert "haproxy said no" in said.stderr


def test_shipped_goes_with_diff() -> None:
    said = octaviactl("config", "a", "--shipped")
    assert said.returncode == 2
    assert "--shipped goes with --diff" in said.stderr
