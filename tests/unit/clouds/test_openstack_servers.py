# SPDX-License-Identifier: Apache-2.0
"""Servers that do not do what they should, and images of others. Without OpenStack; the real one: tests/openstack."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import Any, cast

import pytest

import pem
from octavia_amphora.wire.interfaces import Interface
from octavia_provider.clouds.openstack import names, nova, placement, user_data
from octavia_provider.clouds.openstack.amphora_ports import AmphoraPorts
from octavia_provider.clouds.openstack.cloud import OpenStackCloud
from octavia_provider.clouds.openstack.networks import _chosen
from octavia_provider.clouds.openstack.neutron import Neutron, first_address
from octavia_provider.clouds.openstack.nova import Nova
from octavia_provider.clouds.openstack.settings import OpenStackSettings
from octavia_provider.model.errors import Refused, TransientError
from octavia_provider.ports import AmphoraSpec

SETTINGS = OpenStackSettings(management_network="m", heartbeat_address="192.0.2.1:5555", boot_timeout=0.01)
OURS, OTHERS = "our project", "another project"


class Services:
    """``servers``: status by id; ``listed_servers``: whether lists show them; ``changes``: what was asked to change."""

    writes = 0
    project_id = OURS

    def __init__(self, **servers: str) -> None:
        self.servers, self.listed_servers = servers, True
        self.tags: list[str] | None = [names.control_plane("cp"), names.amphora("a")]
        self.metadata: dict[str, str] = {}
        self.ports: list[dict[str, Any]] = []
        self.networks: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.changes: list[str] = []

    async def sign_in(self) -> None:
        pass

    def _server(self, id_: str) -> dict[str, Any]:
        more = {} if self.tags is None else {"tags": self.tags}
        return {
            "id": id_, "status": self.servers[id_], "OS-EXT-STS:task_state": None, "metadata": self.metadata, "created": "", **more,
        }  # fmt: skip

    async def find(self, _service: str, path: str) -> Any:
        *_, what, id_ = path.split("/")
        if what == "os-interface":
            return {}  # it is never detached
        return {"server": self._server(id_)} if what == "servers" and id_ in self.servers else None

    async def get(self, _service: str, path: str, **params: Any) -> Any:
        assert path == "/images"
        asked = {name: params[name] for name in ("owner", "visibility") if name in params}
        found = [one for one in self.images if asked.items() <= one.items()]
        return {"images": sorted(found, key=lambda one: str(one["created_at"]), reverse=True)[: params["limit"]]}

    async def listed(self, _service: str, _path: str, key: str, **params: Any) -> Any:
        if key == "servers":
            return [self._server(id_) for id_ in self.servers if self.listed_servers]
        if key == "networks":
            return [one for one in self.networks if one["name"] == params["name"]]
        wanted = {*params.get("tags", "").split(",")} - {""}
        described = params.get("description")
        return [one for one in self.ports if wanted <= {*one["tags"]} and described in (None, one["description"])]

    async def make(self, _service: str, path: str, body: Any, **_: Any) -> Any:
        self.changes.append(f"{path} {body}")
        return {}

    async def delete(self, _service: str, path: str) -> None:
        self.changes.append(path)
        *_, what, id_ = path.split("/")
        if what == "servers":
            self.servers.pop(id_, None)
        self.ports = [port for port in self.ports if what != "ports" or port["id"] != id_]


def asked(services: Services, settings: OpenStackSettings = SETTINGS) -> Nova:
    return Nova(cast("Any", services), settings, "cp")


def cloud(services: Services) -> OpenStackCloud:
    session = cast("Any", services)
    return OpenStackCloud(session, asked(services), AmphoraPorts(Neutron(session, "cp"), SETTINGS), SETTINGS)


def port(id_: str, **values: Any) -> dict[str, Any]:
    tags = [names.control_plane("cp"), names.load_balancer("lb"), names.amphora("a")]
    return {
        "id": id_,
        "tags": tags,
        "description": "",
        "device_id": "",
        "device_owner": "",
        "project_id": OURS,
        **values,
    }


class Asked(Services):
    """``body``: of the server that was asked for."""

    body: dict[str, Any]

    async def listed(self, _service: str, path: str, key: str, **_: Any) -> Any:
        return [{"id": "f", "name": "small"}] if key == "flavors" else await super().listed(_service, path, key)

    async def make(self, _service: str, path: str, body: Any, **_: Any) -> Any:
        assert path == "/servers"
        self.body = body
        return {"server": {"id": "s"}}


@pytest.mark.parametrize(("volume_type", "more"), [(None, {}), ("fast", {"volume_type": "fast"})])
async def test_what_nova_is_asked_for__a_volume_of_the_image_a_key_pair_and_a_zone(
    volume_type: str | None, more: dict[str, str]
) -> None:
    services = Asked()
    services.images = [{"id": "i", "owner": OURS, "created_at": "2026-01-01T00:00:00Z"}]
    settings = SETTINGS.model_copy(
        update={"volume_gb": 4, "volume_type": volume_type, "key_name": "mine", "compute_zone": "west"}
    )
    one = asked(services, settings)
    await one.make("lb", "a", [{"id": "p"}], "data", flavor={"compute_flavor": "small"}, zone=None, group_id="g")
    server = services.body["server"]
    assert (server["imageRef"], server["key_name"], server["availability_zone"]) == ("", "mine", "west")
    assert server["block_device_mapping_v2"] == [{
        "boot_index": 0, "uuid": "i", "source_type": "image", "destination_type": "volume", "volume_size": 4,
        "delete_on_termination": True, **more,
    }]  # fmt: skip
    assert services.body["os:scheduler_hints"] == {"group": "g"}


@pytest.mark.parametrize("status", ["ACTIVE", "MIGRATING", "VERIFY_RESIZE", "PASSWORD"])
async def test_a_server_runs_whatever_somebody_does_with_it(status: str) -> None:
    services = Services(s=status)
    assert (await asked(services).active("s", "a"))["status"] == status
    assert services.changes == []


@pytest.mark.parametrize(("status", "goes"), [("BUILD", True), ("HARD_REBOOT", False)])
async def test_one_that_is_not_made_in_time_goes_for_another_one(status: str, goes: bool) -> None:
    services = Services(s=status)
    with pytest.raises(TransientError, match=f"its server is {status} after"):
        await asked(services).active("s", "a")
    assert ("s" not in services.servers) is goes


async def test_a_port_that_nova_does_not_detach_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nova, "UNPLUG_SECONDS", 0.01)
    with pytest.raises(TransientError, match="has not detached port p from server s"):
        await asked(Services(s="ACTIVE")).unplug("s", "p")


@pytest.mark.parametrize(
    ("owner", "found"), [(None, "ours"), (OTHERS, "private"), ("a third", None)], ids=["none", "another", "without any"]
)
async def test_an_image_is_ours_or_public_unless_an_owner_is_named(owner: str | None, found: str | None) -> None:
    services = Services()
    services.images = [
        {"id": "private", "owner": OTHERS, "visibility": "private", "created_at": "3"},
        {"id": "ours", "owner": OURS, "visibility": "private", "created_at": "2"},
        {"id": "public", "owner": OTHERS, "visibility": "public", "created_at": "1"},
    ]
    image = asked(services, SETTINGS.model_copy(update={"image_owner": owner})).image("amphora")
    if found is None:
        with pytest.raises(Refused, match="no active image with the tag amphora"):
            await image
    else:
        assert (await image)["id"] == found


@pytest.mark.parametrize(
    ("tags", "changes"),
    [
        ([names.control_plane("cp"), names.amphora("a")], ["/servers/s", "/ports/p"]),
        (["of somebody else"], ["/ports/p"]),
        (None, []),  # a partial record: its cell is down
    ],
)
async def test_a_server_that_no_list_shows_is_asked_for_before_the_port_in_it_goes(
    tags: list[str] | None, changes: list[str]
) -> None:
    """Nova leaves the servers of a cell that is down out of its lists, and says nothing of it."""
    services = Services(s="ACTIVE")
    services.listed_servers, services.tags = False, tags
    services.ports = [port("p", device_id="s", device_owner="compute:nova")]
    if tags is None:
        with pytest.raises(TransientError, match="its cell may be down"):
            await cloud(services).delete("a")
    else:
        await cloud(services).delete("a")
    assert services.changes == changes


@pytest.mark.parametrize(("days", "restarted"), [(-1, False), (1, True)])
async def test_a_server_is_not_started_anew_with_a_certificate_that_has_ended(days: int, restarted: bool) -> None:
    services = Services(s="ACTIVE")
    services.metadata = {user_data.CERTIFICATE_ENDS: (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat()}
    order = AmphoraSpec(id="a", load_balancer_id="lb", files=lambda *_: {}, vips=())
    if restarted:
        await cloud(services).restart_agent(order)
        assert services.changes == ["/servers/s/action {'reboot': {'type': 'HARD'}}"]
    else:
        with pytest.raises(Refused, match="would bring back the certificate"):
            await cloud(services).restart_agent(order)
        assert services.changes == []


def test_the_end_of_the_certificate_is_read_in_the_files() -> None:
    pair = pem.make("amphora")
    files = {
        "/etc/ca.pem": (0o644, b"-----BEGIN CERTIFICATE-----"),
        "/run/a.pem": (0o600, (pair.key_pem + pair.pem).encode()),
    }
    (ends,) = user_data.certificate_ends(files).values()
    assert dt.datetime.fromisoformat(ends) > dt.datetime.now(dt.UTC)
    assert user_data.certificate_ends({}) == {}


async def test_all_of_a_load_balancer_is_found_whatever_its_users_describe() -> None:
    services = Services()
    described = f"{names.control_plane('cp')} {names.load_balancer('lb')}"
    services.ports = [
        port("not tagged yet", tags=[], description=described), port("described anew", description="mine"),
        port("of another", tags=[names.control_plane("cp"), names.load_balancer("other")]),
    ]  # fmt: skip
    found = await Neutron(cast("Any", services), "cp").all_of("ports", "lb")
    assert {one["id"] for one in found} == {"not tagged yet", "described anew"}


async def test_a_network_of_ours_comes_before_one_of_others_with_its_name() -> None:
    services = Services()
    services.networks = [{"id": project, "name": "lb-mgmt", "project_id": project} for project in (OTHERS, OURS)]
    assert (await Neutron(cast("Any", services), "cp").network("lb-mgmt"))["id"] == OURS


@pytest.mark.parametrize(
    "addresses",
    [("203.0.113.9", "2001:db8::9"), ("2001:db8::9", "203.0.113.9"), ("2001:db8::9", "203.0.113.9", "203.0.113.7")],
)
def test_a_port_is_reached_by_ipv4_in_whatever_order_its_addresses_come(addresses: tuple[str, ...]) -> None:
    one = {"fixed_ips": [{"ip_address": address, "subnet_id": address} for address in addresses]}
    assert first_address(one) == min(address for address in addresses if ":" not in address)


@pytest.mark.parametrize(
    ("address", "subnet", "chosen"),
    [("2001:db8::9", None, "six"), (None, "six", "six"), (None, None, "four"), ("203.0.113.9", "six", "four")],
)
def test_the_vip_of_a_port_with_two_addresses_is_the_one_that_was_named(
    address: str | None, subnet: str | None, chosen: str
) -> None:
    addresses = {"2001:db8::9": "six", "203.0.113.9": "four"}
    one = {"fixed_ips": [{"ip_address": ip, "subnet_id": id_} for ip, id_ in addresses.items()]}
    assert _chosen(one, {"vip_address": address, "vip_subnet_id": subnet}) == chosen


# ── a cell of Nova that is down ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("there", [True, False])
async def test_a_server_that_no_list_shows_while_its_cell_is_down_counts_as_running(there: bool) -> None:
    """Nova leaves it out of lists, and of its details gives none."""
    services = Services(**({"s": "UNKNOWN"} if there else {}))
    services.listed_servers, services.tags = False, None
    in_it = {"device_id": "s", "device_owner": "compute:nova", "fixed_ips": [{"ip_address": "192.0.2.7"}]}
    management = port("m", **in_it)
    management["tags"].append(f"octavia-port={names.MANAGEMENT}")
    services.ports = [management]
    seen = await cloud(services).inventory()
    assert [(one.amphora_id, one.load_balancer_id, one.alive) for one in seen.instances] == [("a", "lb", True)] * there
    own = await cloud(services).instances("lb")
    assert [(one.amphora_id, one.alive, one.compute_id) for one in own] == [("a", True, "s")] * there


async def test_a_server_that_lists_show_is_not_asked_for() -> None:
    services = Services(s="ACTIVE")
    in_it = {"device_id": "s", "device_owner": "compute:nova"}
    assert await asked(services).hidden([{"id": "s"}], [port("m", **in_it), port("n", **in_it)]) == []
    seat = port("x", device_id="another", device_owner="compute:nova")
    seat["tags"].append(names.host("b"))
    assert await asked(services).hidden([], [port("vip", device_id="lb-lb", device_owner=names.OWNER), seat]) == []


# ── servers of a pair are placed apart ───────────────────────────────────────────────────────────────────────────────
class Placing(Services):
    """Nova and Neutron where servers get a host when ``placing`` is set. ``made``: the amphorae whose servers were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []
        self.placing = asyncio.Event()
        self.looked, self.both = asyncio.Event(), asyncio.Event()

    async def find(self, _service: str, path: str) -> Any:
        id_ = path.rpartition("/")[2]
        if id_ not in self.servers:
            return None
        self.looked.set()
        status, host = ("ACTIVE", "h") if self.placing.is_set() else ("BUILD", "")
        return {"server": {**self._server(id_), "image": None, "hostId": host, "status": status}}

    async def get(self, _service: str, path: str, **params: Any) -> Any:
        return {"images": [{"id": "i", "created_at": ""}]} if path == "/images" else {"server_groups": []}

    async def make(self, _service: str, path: str, body: Any, **_: Any) -> Any:
        if path == "/os-server-groups":
            return {"server_group": {"id": "g"}}
        if path != "/servers":
            return {"security_group": {"id": "s", "tags": [], "security_group_rules": []}}
        id_ = body["server"]["metadata"]["octavia_amphora"]
        self.made.append(id_)
        if len(self.made) == 2:
            self.both.set()
        self.servers[id_] = "BUILD"
        return {"server": {"id": id_}}


class OneInterface:
    """Of each amphora, on the management network."""

    async def management(self, *_: Any, **__: Any) -> Any:
        return {"id": "p", "fixed_ips": [{"ip_address": "192.0.2.7"}]}

    async def for_vips(self, *_: Any) -> list[Any]:
        return []

    async def interface(self, _: Any) -> Interface:
        return Interface("fa:16:3e:00:00:01", 1450, ())

    async def of(self, *_: str) -> list[Any]:
        return []

    async def interfaces(self, _: Any) -> tuple[Interface, ...]:
        return ()


@pytest.mark.parametrize(
    ("affinity", "apart", "waits"),
    [
        ("soft-anti-affinity", True, True),
        ("anti-affinity", True, True),
        ("none", True, False),
        ("soft-anti-affinity", False, False),
    ],
)
async def test_the_second_of_a_pair_is_made_when_the_first_has_a_host(
    affinity: Any, apart: bool, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (nova, placement):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    settings = OpenStackSettings(
        management_network="m", heartbeat_address="192.0.2.1:5555", affinity=affinity, compute_flavor="f"
    )
    services = Placing()
    of_nova = asked(services, settings)
    of_nova._known["flavors"] = (time.monotonic(), [{"id": "f", "name": "f"}])
    made = OpenStackCloud(cast("Any", services), of_nova, cast("Any", OneInterface()), settings)
    services.listed_servers = False
    others = ("another",) if apart else ()
    boots = [
        asyncio.create_task(
            made.boot(AmphoraSpec(id=id_, load_balancer_id="lb", vips=(), files=lambda *_: {}, apart_from=others))
        )
        for id_ in ("a", "b")
    ]
    async with asyncio.timeout(30):
        await services.looked.wait()  # the first is waited for: for its host, or until it is ACTIVE
        if not waits:
            await services.both.wait()
        assert len(services.made) == (1 if waits else 2)
        services.placing.set()
        await asyncio.gather(*boots)
    assert sorted(services.made) == ["a", "b"]
