# SPDX-License-Identifier: Apache-2.0
"""OpenStack behind the ports, without OpenStack: words of services, rules, names and tags, the config drive. Real ones: tests/openstack."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import keystoneauth1.exceptions as keystone
import msgspec
import pytest

from builders import resource
from octavia_amphora.wire.interfaces import Address, Interface
from octavia_provider.clouds.openstack import cloud, configuration, failures, names, user_data
from octavia_provider.clouds.openstack.access import (
    Apply,
    AtPort,
    Close,
    Open,
    Plug,
    Rule,
    SecurityGroups,
    Seen,
    Unplug,
)
from octavia_provider.clouds.openstack.amphora_ports import AmphoraPorts
from octavia_provider.clouds.openstack.neutron import Neutron
from octavia_provider.clouds.openstack.session import Session
from octavia_provider.clouds.openstack.settings import SessionSettings
from octavia_provider.model.errors import (
    Conflict,
    Forbidden,
    NotFound,
    OctaviaError,
    Refused,
    TransientError,
    Unreachable,
)
from octavia_provider.ports import CloudResource, Instance, Inventory

LB, LISTENER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
"""Answers shaped as those of Neutron 29, Nova 34, Glance 33, Keystone 30 and Barbican 23; tests/openstack meets the real ones."""
ANSWERS: list[tuple[str, int, str, type[OctaviaError], str]] = [
    (
        "neutron", 409, '{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: [\'port\'].", "detail": ""}}',
        Refused, "quota",
    ),
    (
        "neutron", 409,
        '{"NeutronError": {"type": "IpAddressGenerationFailure", "message": "No more IP addresses available on network 5.", "detail": ""}}',
        Conflict, "subnet is full",
    ),
    ("nova", 403, '{"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1"}}', Refused, "quota"),
    ("nova", 403, '{"forbidden": {"code": 403, "message": "Policy doesn\'t allow it"}}', Forbidden, "role"),
    ("nova", 404, '{"itemNotFound": {"code": 404, "message": "Instance x could not be found."}}', NotFound, ""),
    ("nova", 500, '{"computeFault": {"code": 500, "message": "Unexpected API Error."}}', TransientError, "tried again"),
    ("glance", 415, "<html><h1>415 Unsupported Media Type</h1></html>", Refused, "qcow2"),
    ("keystone", 401, '{"error": {"code": 401, "message": "The request you have made requires authentication."}}', Refused, "clouds.yaml"),
    ("barbican", 503, "<html> <body>Service  Unavailable</body></html>", TransientError, "tried again"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "status", "body", "kind", "hint"), ANSWERS)
def test_a_refusal_has_the_services_own_words_and_what_to_do(
    service: str, status: int, body: str, kind: type[OctaviaError], hint: str
) -> None:
    error = failures.refusal(service, status, body, "amphora 7")
    assert type(error) is kind
    assert hint in error.hint
    assert str(error).startswith(f"amphora 7: {service.capitalize()} says ({status}): ")
    assert failures.spoken(body) in error.message
    assert "<" not in error.message


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (keystone.Unauthorized("The request you have made requires authentication."), TransientError, "refuses to sign in (The request"),
        (keystone.InternalServerError("no"), TransientError, "cannot sign in (no"),
        (keystone.ConnectFailure("Unable to reach http://k: HTTPConnectionPool(host='k'): … [Errno 111] Connection refused'))"), Unreachable,
         "does not answer (Unable to reach http://k: Connection refused)."),
        (keystone.MissingRequiredOptions([]), Refused, "cannot use keystone"),
    ],
)  # fmt: skip
async def test_a_login_that_fails_says_whose_it_is(
    raised: Exception, kind: type[OctaviaError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Connection:
        class config:  # noqa: N801
            name = "mine"
            get_auth_args = staticmethod(lambda: {"auth_url": "http://k"})

        class session:  # noqa: N801
            mount = staticmethod(lambda *_: None)

            @staticmethod
            def get_token() -> str:
                raise raised

    monkeypatch.setattr("openstack.connect", lambda **_: Connection)
    monkeypatch.setattr("openstack.config.OpenStackConfig", lambda: SimpleNamespace(config_filename="/etc/clouds.yaml"))
    signing_in = Session(SessionSettings())
    with pytest.raises(OctaviaError, match=re.escape(words)) as found:
        await signing_in.sign_in()
    assert isinstance(found.value, kind)
    assert kind is Refused or "cloud 'mine' of /etc/clouds.yaml (auth_url http://k)" in found.value.hint


def test_a_fault_of_a_server_says_what_to_do() -> None:
    error = failures.fault("No valid host was found. There are not enough hosts available.", "amphora 7")
    assert isinstance(error, Refused)
    assert "No valid host was found" in error.message
    assert "compute_flavor" in error.hint


# ── who may come in ──────────────────────────────────────────────────────────────────────────────────────────────────
def plan(seen: Seen | None, *listeners: Any, members_in: Sequence[str] = (), **values: Any) -> tuple[Any, ...]:
    balancer = resource("load_balancer", LB, **values)
    access = SecurityGroups(None, None, None)  # type: ignore[arg-type] - a plan asks nobody
    instances = [Instance(amphora_id="a", load_balancer_id=LB, agent=("192.0.2.1", 9443))]
    return access.plan(balancer, listeners, instances, [seen] if seen else [], lambda: members_in)


def test_a_listener_is_opened_to_all_or_to_whom_it_allows() -> None:
    (step,) = plan(Seen(LB, "g"), resource("listener", LISTENER, protocol="HTTP", protocol_port=80))
    assert isinstance(step, Open)
    assert not step.before
    assert [rule.cidr for rule in step.rules] == ["0.0.0.0/0", "::/0"]
    allowed = resource("listener", LISTENER, protocol="UDP", protocol_port=53, allowed_cidrs=["10.0.0.0/8"])
    (step,) = plan(Seen(LB, "g"), allowed)
    assert step.rules == (Rule(LISTENER, "udp", 53, "10.0.0.0/8"),)


def test_what_is_not_wanted_is_closed_before_anything_is_pushed() -> None:
    old = Rule(LISTENER, "tcp", 80, "0.0.0.0/0")
    close, opened = plan(
        Seen(LB, "g", {old: "r"}), resource("listener", LISTENER, protocol_port=80, allowed_cidrs=["10.0.0.0/8"])
    )
    assert (close.before, close.rule_ids, opened.before) == (True, ("r",), False)
    (close,) = SecurityGroups(None, None, None).plan(None, (), (), [Seen(LB, "g", {old: "r"})])  # type: ignore[arg-type]
    assert isinstance(close, Close)


def test_nothing_is_done_where_all_is_as_it_should_be() -> None:
    rule = Rule(LISTENER, "tcp", 80, "10.0.0.0/8")
    port = AtPort("p", ("g",), None, "a", ("s",))
    listener = resource("listener", LISTENER, protocol_port=80, allowed_cidrs=["10.0.0.0/8"])
    assert plan(Seen(LB, "g", {rule: "r"}, (port,)), listener) == ()


@pytest.mark.parametrize(("there", "missing"), [({"vip", "p"}, False), ({"p"}, True), ({"vip"}, True), (set(), True)])
def test_a_port_that_somebody_has_deleted_is_missed(there: set[str], missing: bool) -> None:
    seen = Seen(LB, "g", {}, (AtPort("vip", (), None), AtPort("p", ("g",), None, "a")))
    resource = CloudResource(kind="load_balancer", id=LB, words="", parts=frozenset(there))
    other = CloudResource(kind="load_balancer", id=LISTENER, words="", parts=frozenset({"vip", "p"}))
    access = SecurityGroups(None, None, None)  # type: ignore[arg-type]
    assert access.missing([seen], Inventory(resources=[other, resource])) is missing
    assert not access.missing([Seen(LB)], Inventory()), "there was nothing"


class Ports:
    """``AmphoraPorts`` and ``Neutron`` of which the ports of a load balancer are asked."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    async def named(self, *_: str) -> None:
        return None

    async def of(self, *_: str) -> list[dict[str, Any]]:
        tags = [names.load_balancer(LB)]
        empty = {"tags": tags, "security_groups": [], "device_id": "", "fixed_ips": []}
        return [{**empty, "id": id_} for id_ in self.ids]


async def test_a_vips_port_is_missed_also_where_it_is_looked_for_before_the_inventory_is() -> None:
    ports = Ports("vip", "more")
    access = SecurityGroups(ports, ports, None)  # type: ignore[arg-type]
    await access.observe(LB)
    ports.ids = ("more",)
    seen = await access.observe(LB)
    there = Inventory(resources=[CloudResource(kind="load_balancer", id=LB, words="", parts=frozenset({"more"}))])
    assert access.missing(seen, there)
    assert not access.missing(seen, there), "once: it may have been given back"
    ports.ids = ()
    assert await access.observe(LB) == []
    assert (access._vips, access._lost) == ({}, set())


async def test_an_inventory_that_was_overtaken_by_a_boot_serves_for_itself_alone() -> None:
    class Nova:
        looked = 0

        async def servers(self) -> list[Any]:
            self.looked += 1
            if self.looked == 1:
                made._changed()  # a boot comes to its end
            return []

        async def hidden(self, servers: list[Any], ports: list[Any]) -> list[Any]:
            return []

    nova, session = Nova(), type("Session", (), {"writes": 0})()
    made = cloud.OpenStackCloud(session, nova, Ports("vip"), None)  # type: ignore[arg-type]
    for looks in (1, 2, 2):
        await made.inventory()
        assert nova.looked == looks
    session.writes += 1
    await made.inventory()
    assert nova.looked == 3


@pytest.mark.parametrize(("plugged_into", "alive"), [("s", True), ("", False), ("another", False)])
def test_an_amphora_without_its_management_port_is_not_alive(plugged_into: str, alive: bool) -> None:
    """One that somebody deleted is made again before its server is: it is plugged in nowhere then."""
    tags = [names.load_balancer(LB), names.amphora("a")]
    server = {"id": "s", "status": "ACTIVE", "tags": tags, "metadata": {}, "image": None}
    port = {
        "id": "p",
        "device_id": plugged_into,
        "tags": [*tags, f"octavia-port={names.MANAGEMENT}"],
        "fixed_ips": [{"ip_address": "192.0.2.7"}],
    }
    (placed,) = cloud._with_ports([server], [port])
    assert cloud._instance(placed).alive is alive


def test_given_security_groups_stand_in_place_of_rules_and_the_policy_is_at_all_ports() -> None:
    ports = (AtPort("vip", (), None), AtPort("p", ("g",), None, "a", ("s",)))
    listener = resource("listener", LISTENER, protocol_port=80)
    steps = plan(Seen(LB, "g", {}, ports), listener, vip_sg_ids=[LISTENER], vip_qos_policy_id=LB)
    assert all(isinstance(step, Apply) for step in steps)
    assert [dict(step.values) for step in steps] == [
        {"qos_policy_id": LB}, {"security_groups": [LISTENER, "g"], "qos_policy_id": LB},
    ]  # fmt: skip


def test_amphorae_have_interfaces_where_members_are_before_the_members_and_until_after_them() -> None:
    traffic, old = AtPort("p", ("g",), None, "a", ("s",)), AtPort("m", ("g",), None, "a", ("old",), for_members=True)
    plug, unplug = plan(Seen(LB, "g", {}, (traffic, old)), members_in=["s", "new"])
    assert isinstance(plug, Plug)
    assert isinstance(unplug, Unplug)
    assert (plug.before, plug.amphora_id, plug.subnet_id) == (True, "a", "new")
    assert (unplug.before, unplug.port_id) == (False, "m")


def test_a_load_balancer_that_shares_a_server_has_its_interfaces_plugged_in_there() -> None:
    balancer, access = resource("load_balancer", LB), SecurityGroups(None, None, None)  # type: ignore[arg-type]
    seat = Instance(amphora_id="seat", load_balancer_id=LB, agent=("192.0.2.1", 9443), host="host")
    old = AtPort("m", ("g",), None, "seat", ("old",), for_members=True)
    plug, unplug = access.plan(balancer, [], [seat], [Seen(LB, "g", {}, (old,))], lambda: ["new"])
    assert (plug.amphora_id, plug.host_id, plug.replugs) == ("seat", "host", True)  # type: ignore[attr-defined]
    assert (unplug.server_of, unplug.replugs) == ("host", True)  # type: ignore[attr-defined]


# ── names, tags, the config drive ────────────────────────────────────────────────────────────────────────────────────
def test_tags_are_as_nova_takes_them() -> None:
    for tag in (names.control_plane(LB), names.load_balancer(LB), names.amphora(LB)):
        assert len(tag) <= 60
        assert not set(tag) & set(",/")
        assert names.tagged(["x", tag], tag.partition("=")[0]) == LB


def test_what_a_port_carries_is_read_back_from_its_tags() -> None:
    tags = [names.amphora(LB), *names.carrying(("10.0.0.4", "fd00::4"), ("10.0.0.5",))]
    assert names.carried(tags) == (("10.0.0.4", "fd00::4"), ("10.0.0.5",))


def test_the_config_drive_has_the_files_with_their_modes() -> None:
    files = {"/etc/a": (0o600, b"\x00secret\xff"), "/run/b": (0o644, b"")}
    assert user_data.decode(user_data.encode(files, "amphora 7")) == files
    with pytest.raises(Refused, match="Nova takes 65535"):
        user_data.encode({"/etc/a": (0o600, b"x" * 65536)}, "amphora 7")


class _Neutron:
    """Neutron with one network; it counts how often that is looked at."""

    def __init__(self, *subnets: dict[str, Any]) -> None:
        self.looks, self.known = 0, list(subnets)

    async def get(self, service: str, path: str, **query: Any) -> Any:
        raise AssertionError(path)

    async def find(self, service: str, path: str) -> Any:
        self.looks += 1
        return {"network": {"id": "n", "mtu": 1450}}

    async def listed(self, service: str, path: str, key: str, **query: Any) -> Any:
        return list(self.known)


IPV4 = {"id": "s", "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1"}
IPV6 = {"id": "t", "cidr": "fd00::/64", "gateway_ip": None}


def port(role: str, *addresses: str, alone: Sequence[str] = (), shared: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "name": role, "network_id": "n", "mac_address": f"fa:16:3e:00:00:{len(role):02x}",
        "tags": [f"octavia-port={role}", *names.carrying(alone, shared)],
        "fixed_ips": [{"subnet_id": "s", "ip_address": one} for one in addresses],
    }  # fmt: skip


def amphora_ports(neutron: _Neutron) -> AmphoraPorts:
    return AmphoraPorts(Neutron(neutron, "cp"), None)  # type: ignore[arg-type]


async def test_interfaces_are_known_by_their_mac_and_what_vrrp_moves_is_told_apart() -> None:
    ports = amphora_ports(_Neutron(IPV4, IPV6))
    found = await ports.interface(port(names.TRAFFIC, "10.0.0.9", alone=["fd00::5"], shared=["10.0.0.5"]))
    assert (found.mac, found.mtu) == ("fa:16:3e:00:00:07", 1450)
    assert found.addresses == (
        Address("10.0.0.9/24", "10.0.0.1"), Address("fd00::5/64"), Address("10.0.0.5/24", "10.0.0.1", shared=True),
    )  # fmt: skip


async def test_interfaces_of_vips_come_before_those_of_members_and_none_is_of_management() -> None:
    there = [port(names.MEMBERS, "10.0.0.9"), port(names.TRAFFIC, "10.0.0.8")]
    found = await amphora_ports(_Neutron(IPV4)).interfaces(there)
    assert [one.addresses[0].address for one in found] == ["10.0.0.8/24", "10.0.0.9/24"]


async def test_a_network_is_looked_at_once_until_an_address_is_in_none_of_its_subnets() -> None:
    neutron = _Neutron(IPV4)
    ports = amphora_ports(neutron)
    for _ in range(3):
        await ports.interface(port(names.TRAFFIC, "10.0.0.9"))
    assert neutron.looks == 1
    neutron.known.append(IPV6)
    found = await ports.interface(port(names.TRAFFIC, "10.0.0.9", alone=["fd00::5"]))
    assert (neutron.looks, found.addresses[-1]) == (2, Address("fd00::5/64"))


def test_the_config_drive_describes_interfaces_as_the_agent_reads_them() -> None:
    wanted = (Interface("fa:16:3e:00:00:01", 1450, (Address("10.0.0.9/24", "10.0.0.1"),)),)
    assert msgspec.json.decode(user_data.described(wanted), type=tuple[Interface, ...]) == wanted


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("image", "metadata"), [({"id": "i"}, {}), ("", {"octavia_image": "i"})], ids=["from an image", "from a volume"]
)
def test_an_instance_tells_which_image_it_was_made_from(image: Any, metadata: dict[str, str]) -> None:
    tags = [f"octavia-amphora={LISTENER}", f"octavia-load-balancer={LB}"]
    server = {"id": "s", "status": "ACTIVE", "tags": tags, "image": image, "metadata": metadata}
    found = cloud._instance(cloud.Placed(server, tags, None, []))
    assert (found.image_id, found.compute_id) == ("i", "s")


def test_missing_settings_are_named_as_the_environment_spells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTAVIA_OPENSTACK_HEARTBEAT_ADDRESS", "nowhere")
    with pytest.raises(Refused) as refused:
        configuration("prod")
    assert "OCTAVIA_OPENSTACK_MANAGEMENT_NETWORK: Field required" in str(refused.value)
    assert "OCTAVIA_OPENSTACK_HEARTBEAT_ADDRESS: " in str(refused.value)


def test_nothing_of_openstack_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, octavia_provider.app; print([m for m in sys.modules if m.split('.')[0] in ('openstack', 'keystoneauth1')])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


async def test_what_changes_something_is_not_sent_twice_where_no_answer_comes() -> None:
    """It may have taken effect: what is made is looked up by its name before it is asked for again."""
    asked: dict[str, int] = {}

    class Nova:
        def request(self, _path: str, method: str, *, connect_retries: int, **_: Any) -> Any:
            asked[method] = connect_retries
            return type("Answer", (), {"status_code": 204, "content": b"", "headers": {}, "text": ""})()

    session = Session(SessionSettings())
    session._connection = type("Connection", (), {"compute": Nova(), "close": lambda _: None})()
    await session.get("nova", "/servers")
    await session.make("nova", "/servers", {})
    await session.delete("nova", "/servers/x")
    await session.close()
    assert asked == {"GET": 1, "POST": 0, "DELETE": 0}
