# SPDX-License-Identifier: Apache-2.0
"""What control planes have left in OpenStack: whose it is, what of it a store knows, in which order it is deleted. Without OpenStack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider.cli import cloud_choice
from octavia_provider.clouds.openstack import leftovers, names
from octavia_provider.clouds.openstack.leftovers import Found, Known
from octavia_provider.kit import paths
from octavia_provider.model.errors import Conflict, Refused, TransientError

MINE, OTHER = "octavia-control-plane=mine", "octavia-control-plane=other"


class Services:
    """Lists and deletions in place of a session. ``used``: ids that Neutron lets go of at the second attempt."""

    project_id = "p"

    def __init__(self, used: tuple[str, ...] = (), broken: tuple[str, ...] = ()) -> None:
        self.used, self.broken, self.deleted = set(used), broken, list[str]()

    async def listed(self, service: str, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
        server = {
            "id": "s",
            "name": "octavia-amphora-a",
            "created": "2026-01-01",
            "tags": [MINE, "octavia-load-balancer=lb", "octavia-amphora=a"],
        }
        vip = {
            "id": "vip",
            "name": "octavia-lb-lb",
            "created_at": "",
            "tags": [],
            "description": f"{MINE} octavia-load-balancer=lb",
            "device_owner": names.OWNER,
            "device_id": names.vip_device("lb"),
        }
        forged = {
            **vip,
            "id": "a user's, tagged like ours",
            "tags": [MINE, "octavia-load-balancer=lb"],
            "device_id": "",
        }
        theirs = {
            "id": "group",
            "name": "octavia-lb-far",
            "created_at": "",
            "tags": [OTHER, "octavia-load-balancer=far"],
            "description": "",
        }
        plain = {"id": "x", "name": "mine", "created_at": "", "tags": ["web"], "description": "a database"}
        if params == {"device_owner": names.OWNER}:  # VIPs' are in their users' projects
            return [vip, forged, {**plain, "description": ""}]
        assert service == "nova" or params["project_id"] == "p", "an administrator would see all projects"
        hidden = {"id": "in a cell that is down", "status": "UNKNOWN"}
        return {"servers": [server, hidden], "ports": [plain], "security_groups": [theirs, plain]}[key]

    async def get(self, service: str, path: str, *, offset: int) -> dict[str, Any]:
        groups = {"g1": "octavia-lb-lb", "g2": "octavia-lb-far", "g3": "octavia-lb-nowhere", "g4": "databases"}
        there = [{"id": id_, "name": name} for id_, name in groups.items()]
        return {"server_groups": there[offset : offset + 2]}

    async def delete(self, service: str, path: str) -> None:
        id_ = path.rpartition("/")[2]
        if id_ in self.broken:
            raise TransientError("Neutron says (500): no", subject="")
        if id_ in self.used:
            self.used.remove(id_)
            raise Conflict("in use", subject="")
        self.deleted.append(id_)

    async def find(self, service: str, path: str) -> dict[str, Any] | None:
        id_ = path.rpartition("/")[2]
        return None if self.deleted.count(id_) > 1 else {"server": {"id": id_}}


async def everything() -> dict[str, Found]:
    found = await leftovers.everything(Services())  # type: ignore[arg-type]
    return {one.id: one for one in found}


async def test_whose_something_is_its_tags_say_or_its_description_or_what_else_is_of_its_load_balancer() -> None:
    found = await everything()
    whose = {id_: (one.control_plane, one.load_balancer, one.amphora) for id_, one in found.items()}
    assert whose == {
        "s": ("mine", "lb", "a"), "vip": ("mine", "lb", None), "group": ("other", "far", None),
        "g1": ("mine", "lb", None), "g2": ("other", "far", None), "g3": (None, "nowhere", None),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("known", "left"),
    [
        (None, {"s", "vip", "group", "g1", "g2", "g3"}),
        (Known("mine", frozenset({"lb"}), frozenset({"a"})), {"group", "g2", "g3"}),
        (Known("mine", frozenset({"lb", "nowhere"}), frozenset()), {"s", "group", "g2"}),
        (Known("mine"), {"s", "vip", "group", "g1", "g2", "g3"}),
        (Known("third", frozenset({"lb", "far"}), frozenset({"a"})), {"s", "vip", "group", "g1", "g2", "g3"}),
    ],
)
async def test_what_a_store_does_not_know_is_left(known: Known | None, left: set[str]) -> None:
    found = (await everything()).values()
    assert {one.id for one in leftovers.left(found, known)} == left


async def test_servers_go_before_ports_and_ports_before_groups_and_what_is_in_use_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leftovers, "PAUSE", 0.0)
    services = Services(used=("vip",))
    found = list((await everything()).values())
    assert await leftovers.delete(services, found[::-1]) == []  # type: ignore[arg-type]
    assert list(dict.fromkeys(services.deleted))[:3] == ["s", "vip", "group"]
    assert services.deleted.count("s") == 2, "until Nova has it no more"


async def test_what_cannot_be_deleted_is_told_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PAUSE", 0.0)
    services = Services(broken=("vip",))
    (why,) = await leftovers.delete(services, list((await everything()).values()))  # type: ignore[arg-type]
    assert why == "port octavia-lb-lb: Neutron says (500): no"
    assert {"s", "group", "g1", "g2", "g3"} == set(services.deleted)


# ── which cloud a command is about ───────────────────────────────────────────────────────────────────────────────────
def choose(home: Path, cloud: str | None = None, os_cloud: str | None = None) -> tuple[bool, str | None]:
    return cloud_choice.openstack(home, cloud=cloud, os_cloud=os_cloud, config_file=None)


def test_a_home_says_in_which_cloud_its_amphorae_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OCTAVIA_CLOUD", "OCTAVIA_OS_CLOUD"):
        monkeypatch.delenv(name, raising=False)
    assert choose(tmp_path) == (False, None)
    assert choose(tmp_path, "openstack", "far") == (True, "far")
    paths.openstack_file(tmp_path).write_text('{"os_cloud": "near", "control_plane": "x"}')
    assert choose(tmp_path) == (True, "near")
    assert choose(tmp_path, os_cloud="far") == (True, "far")
    with pytest.raises(Refused, match="makes amphorae in OpenStack"):
        choose(tmp_path, "embedded")
    paths.openstack_file(tmp_path).write_text("{")
    with pytest.raises(Refused, match="cannot be read"):
        choose(tmp_path)


def test_what_a_store_knows_is_read_where_no_control_plane_runs(tmp_path: Path) -> None:
    assert cloud_choice.known(tmp_path, None) is None
    paths.database_url(tmp_path).write_text("postgresql://db/octavia")
    with pytest.raises(Refused, match="no control plane runs"):
        cloud_choice.known(tmp_path, None)


def test_adopt_ends_nothing_in_openstack_and_says_what_does(tmp_path: Path) -> None:
    paths.openstack_file(tmp_path).write_text('{"os_cloud": "near", "control_plane": "x"}')
    done = octaviactl("adopt", "--let-go", "--yes", "--home", str(tmp_path))
    assert (done.returncode, "octaviactl leftovers --delete" in done.stderr) == (1, True), done.stderr
