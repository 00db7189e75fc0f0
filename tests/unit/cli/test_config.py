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


def test_what_would_change__and_rendering_anew() -> None:
    with RealPlane() as plane:
        id_ = plane.make("a")["id"]
        anew = octaviactl("config", "a", "--apply", "--home", plane.home)
        text = octaviactl("config", "a", "--diff", "--home", plane.home)
        ours = octaviactl("config", "--diff", "--shipped", "--json", "--home", plane.home)
    assert "a: rendered anew" in anew.stdout
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


def test_shipped_goes_with_diff() -> None:
    said = octaviactl("config", "a", "--shipped")
    assert said.returncode == 2
    assert "--shipped goes with --diff" in said.stderr
