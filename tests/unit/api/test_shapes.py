# SPDX-License-Identifier: Apache-2.0
"""What each attribute of each answer is in JSON: that of Octavia's types (octavia/api/v2/types), which typed clients decode.

``SHAPES`` is read from those types by hand. A shape is ``str``, ``int``, ``float`` (never text), ``bool``, ``time``, ``id``,
``ids`` (objects with an id alone), ``[str]``, ``{str}``; with ``?`` it may be null.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

import pem
from octavia_amphora.wire.messages import Counters
from octavia_provider.ports import Amphora, Settlement
from unit.api.settling import WORDS, Plane

PAIR, CA = pem.make("a.test"), pem.authority()
COMMON = (
    "id:id provisioning_status:str operating_status:str admin_state_up:bool project_id:str tenant_id:str "
    "created_at:time updated_at:time? tags:[str]"
)
NAMED = f"{COMMON} name:str"
TLS = "tls_ciphers:str? tls_versions:[str]? alpn_protocols:[str]?"
LIMITS = "loadbalancer load_balancer listener member pool healthmonitor health_monitor l7policy l7rule"
STATUS = "id:id name:str provisioning_status:str operating_status:str"
COUNTED = "bytes_in:int bytes_out:int active_connections:int total_connections:int request_errors:int"
SHAPES = {
    "load_balancer": f"{NAMED} description:str vip_address:str vip_port_id:id? vip_subnet_id:id vip_network_id:id "
    "vip_sg_ids:[str] additional_vips:list listeners:ids pools:ids provider:str flavor_id:id? vip_qos_policy_id:id? "
    "availability_zone:str? vip_vnic_type:str",
    "listener": f"{NAMED} {TLS} description:str protocol:str protocol_port:int connection_limit:int "
    "default_tls_container_ref:str? sni_container_refs:[str] default_pool_id:id? l7policies:ids insert_headers:{str} "
    "loadbalancers:ids timeout_client_data:int timeout_member_connect:int timeout_member_data:int timeout_tcp_inspect:int "
    "client_ca_tls_container_ref:str? client_authentication:str client_crl_container_ref:str? allowed_cidrs:[str]? "
    "hsts_max_age:int? hsts_include_subdomains:bool hsts_preload:bool",
    "pool": f"{NAMED} {TLS} description:str protocol:str lb_algorithm:str session_persistence:persistence? loadbalancers:ids "
    "listeners:ids healthmonitor_id:id? members:ids tls_container_ref:str? ca_tls_container_ref:str? crl_container_ref:str? "
    "tls_enabled:bool",
    "member": f"{NAMED} address:str protocol_port:int weight:int backup:bool subnet_id:id? monitor_address:str? "
    "monitor_port:int? vnic_type:str",
    "health_monitor": f"{NAMED} type:str delay:int timeout:int max_retries:int max_retries_down:int http_method:str? "
    "url_path:str? expected_codes:str? pools:ids http_version:float? domain_name:str?",
    "l7_policy": f"{NAMED} description:str action:str listener_id:id redirect_pool_id:id? redirect_url:str? "
    "redirect_prefix:str? position:int rules:ids redirect_http_code:int?",
    "l7_rule": f"{COMMON} type:str compare_type:str key:str? value:str invert:bool",
    "flavor_profile": "id:id name:str provider_name:str flavor_data:str",
    "flavor": "id:id name:str description:str enabled:bool flavor_profile_id:id",
    "availability_zone_profile": "id:id name:str provider_name:str availability_zone_data:str",
    "availability_zone": "name:str description:str enabled:bool availability_zone_profile_id:id",
    "quota": "project_id:str " + " ".join(f"{name}:int" for name in LIMITS.split()),
    "amphora": "id:id loadbalancer_id:id compute_id:id? lb_network_ip:str vrrp_ip:str ha_ip:str vrrp_port_id:id? ha_port_id:id? "
    "cert_expiration:time cert_busy:bool role:str status:str vrrp_interface:str? vrrp_id:int vrrp_priority:int? "
    "cached_zone:str? created_at:time updated_at:time? image_id:id? compute_flavor:str?",
}  # fmt: skip
PERSISTENCE = "type:str cookie_name:str? persistence_timeout:int? persistence_granularity:str?"
STATS = {"stats": COUNTED, "amphora_stats": f"id:id loadbalancer_id:id listener_id:id {COUNTED}"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def is_id(value: Any) -> bool:
    return isinstance(value, str) and str(uuid.UUID(value)) == value


def is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(one.keys() == {"id"} and is_id(one["id"]) for one in value)


SORTS: dict[str, Callable[[Any], bool]] = {
    "id": is_id,
    "ids": is_ids,
    "time": lambda value: isinstance(value, str) and TIME.fullmatch(value) is not None,
    "[str]": lambda value: isinstance(value, list) and all(type(one) is str for one in value),
    "{str}": lambda value: isinstance(value, dict) and all(type(one) is str for one in value.values()),
    "persistence": lambda value: misshapen(value, PERSISTENCE) == [],
}


def fits(value: Any, shape: str) -> bool:
    if shape.endswith("?"):
        return value is None or fits(value, shape[:-1])
    return SORTS[shape](value) if shape in SORTS else type(value).__name__ == shape


def misshapen(shown: dict[str, Any], shapes: str) -> list[str]:
    pairs = [pair.split(":") for pair in shapes.split()]
    return [f"{name} is {shown.get(name)!r}, no {shape}" for name, shape in pairs
            if name not in shown or not fits(shown[name], shape)]  # fmt: skip


async def everything(plane: Plane) -> dict[str, list[dict[str, Any]]]:
    """Objects of each kind: as bare as can be, and with all that has a shape of its own."""
    net = (await plane.make("local_network"))["id"]
    profile = await plane.make("flavor_profile", name="f", provider_name="amphora", flavor_data="{}")
    flavor = await plane.make("flavor", name="f", flavor_profile_id=profile["id"])
    zones = await plane.make(
        "availability_zone_profile", name="z", provider_name="amphora", availability_zone_data="{}"
    )
    zone = await plane.make("availability_zone", name="z", availability_zone_profile_id=zones["id"])
    cert, ca = (
        await plane.make("tls_container", **PAIR.container()),
        await plane.make("tls_container", ca_certificates=CA.pem),
    )
    bare = await plane.make("load_balancer", vip_network_id=net)
    lb = await plane.make(
        "load_balancer", vip_network_id=net, flavor_id=flavor["id"], availability_zone="z", tags=["a"]
    )
    http = await plane.make("listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
    https = await plane.make(
        "listener", loadbalancer_id=lb["id"], protocol="TERMINATED_HTTPS", protocol_port=443, hsts_max_age=5,
        default_tls_container_ref=cert["id"], sni_container_refs=[cert["id"]], allowed_cidrs=["10.0.0.0/8"],
        insert_headers={"X-Forwarded-For": "true"}, client_authentication="OPTIONAL", client_ca_tls_container_ref=ca["id"],
    )  # fmt: skip
    kept = {"type": "APP_COOKIE", "cookie_name": "c"}
    pool = await plane.make(
        "pool",
        listener_id=http["id"],
        protocol="HTTP",
        lb_algorithm="ROUND_ROBIN",
        session_persistence=kept,
        tls_enabled=True,
    )
    loose = await plane.make("pool", loadbalancer_id=lb["id"], protocol="UDP", lb_algorithm="ROUND_ROBIN")
    member = await plane.make("member", pool_id=pool["id"], address="10.0.0.9", protocol_port=80)
    watched = await plane.make(
        "member",
        pool_id=pool["id"],
        address="10.0.0.8",
        protocol_port=80,
        monitor_address="10.0.0.7",
        monitor_port=9,
        subnet_id=net,
    )
    checks = {"delay": 5, "timeout": 3, "max_retries": 2}
    monitor = await plane.make(
        "health_monitor", pool_id=pool["id"], type="HTTP", http_version="1.1", domain_name="a.b", **checks
    )
    other = await plane.make("health_monitor", pool_id=loose["id"], type="UDP-CONNECT", **checks)
    policy = await plane.make("l7_policy", listener_id=http["id"], action="REDIRECT_TO_URL", redirect_url="http://a.b")
    reject = await plane.make("l7_policy", listener_id=http["id"], action="REJECT")
    rule = await plane.make(
        "l7_rule", l7policy_id=policy["id"], type="HEADER", key="a", compare_type="EQUAL_TO", value="b"
    )
    path = await plane.make("l7_rule", l7policy_id=policy["id"], type="PATH", compare_type="EQUAL_TO", value="/b")
    return {
        "flavor_profile": [profile], "flavor": [flavor], "availability_zone_profile": [zones], "availability_zone": [zone],
        "load_balancer": [bare, lb], "listener": [http, https], "pool": [pool, loose], "member": [member, watched],
        "health_monitor": [monitor, other], "l7_policy": [policy, reject], "l7_rule": [rule, path],
    }  # fmt: skip


async def test_every_attribute_of_every_answer_is_of_octavias_type(plane: Plane) -> None:
    made = await everything(plane)
    for kind, objects in made.items():
        shapes, word = SHAPES[kind], WORDS[kind]
        url = plane.place(kind, objects[0])
        listed = (await plane.call("GET", url)).body
        (words,) = [w for w in listed if not w.endswith("_links")]
        assert listed[f"{words}_links"] == []
        assert len(listed[words]) == len(objects)
        for shown in (*objects, *listed[words]):
            assert misshapen(shown, shapes) == [], kind
        for one in objects:
            path = f"{url}/{one['id']}"
            for answer in (
                await plane.call("GET", path),
                await plane.call("PUT", path, {word: {"name": one["name"] or "x"}}),
            ):
                if answer.status == 200:
                    assert misshapen(answer.body[word], shapes) == [], kind
            links = (await plane.call("GET", f"{url}?limit=1")).body[f"{words}_links"]
            assert all(link.keys() == {"rel", "href"} and link["href"].startswith("http") for link in links)


async def test_quotas_amphorae_statuses_and_statistics(plane: Plane) -> None:
    made = await everything(plane)
    bare, lb = made["load_balancer"]
    await plane.call("PUT", "/lbaas/quotas/demo", {"quota": {"pool": 50}})
    for path in ("demo", "other"):
        assert misshapen((await plane.call("GET", f"/lbaas/quotas/{path}")).body["quota"], SHAPES["quota"]) == []
    (listed,) = (await plane.call("GET", "/lbaas/quotas")).body["quotas"]
    assert misshapen(listed, SHAPES["quota"]) == []
    boots = Amphora(
        id=str(uuid.UUID(int=9)), load_balancer_id=lb["id"], heartbeat_key=b"k", management_address="10.0.0.9",
        certificate_expires="2027-01-01T00:00:00+00:00",
    )  # fmt: skip
    await plane.store.write(lambda tx: tx.put_amphora(boots))
    (amphora,) = (await plane.call("GET", "/octavia/amphorae")).body["amphorae"]
    assert misshapen(amphora, SHAPES["amphora"]) == []
    plane.status_cache.counters[made["listener"][0]["id"]] = Counters(bytes_in=2**40)
    for path in (
        f"lbaas/loadbalancers/{lb['id']}",
        f"lbaas/loadbalancers/{bare['id']}",
        f"lbaas/listeners/{made['listener'][0]['id']}",
    ):
        assert misshapen((await plane.call("GET", f"/{path}/stats")).body["stats"], STATS["stats"]) == []
    for one in (await plane.call("GET", f"/octavia/amphorae/{boots.id}/stats")).body["amphora_stats"]:
        assert misshapen(one, STATS["amphora_stats"]) == []
    root = (await plane.call("GET", f"/lbaas/loadbalancers/{lb['id']}/status")).body["statuses"]["loadbalancer"]
    assert misshapen(root, f"{STATUS} listeners:list") == []
    (pool,) = root["listeners"][0]["pools"]
    assert misshapen(pool, f"{STATUS} members:list health_monitor:dict") == []
    assert misshapen(pool["health_monitor"], f"{STATUS} type:str") == []
    assert misshapen(pool["members"][0], f"{STATUS} address:str protocol_port:int") == []


async def test_what_follows_is_shown_to_octavias_clients_and_what_was_given_to_our_own(plane: Plane) -> None:
    made = await everything(plane)
    monitor, other = made["health_monitor"]
    assert (monitor["http_method"], monitor["url_path"], monitor["expected_codes"]) == ("GET", "/", "200")
    assert (other["http_method"], other["url_path"], other["expected_codes"], other["http_version"]) == (None,) * 4
    http, https = made["listener"]
    assert (http["tls_versions"], http["alpn_protocols"], http["tls_ciphers"], http["allowed_cidrs"]) == (None,) * 4
    assert (https["tls_versions"], https["alpn_protocols"]) == (["TLSv1.2", "TLSv1.3"], ["h2", "http/1.1", "http/1.0"])
    assert [pool["tls_versions"] for pool in made["pool"]] == [["TLSv1.2", "TLSv1.3"], None]
    ours = {}
    for kind in ("health_monitor", "listener"):
        (*_, one) = made[kind][:1]
        url = f"{plane.place(kind, one)}/{one['id']}"
        ours[kind] = (await plane.call("GET", url, X_Octavia_Form="model")).body[WORDS[kind]]
    assert (ours["health_monitor"]["http_version"], ours["health_monitor"]["url_path"]) == ("1.1", None)
    assert ours["listener"]["allowed_cidrs"] == []


@pytest.mark.parametrize(
    ("given", "meant", "other"),
    [
        ("FD00:0:0::9", "fd00::9", "fd00:0::0009"), ("2001:DB8::1", "2001:db8::1", "2001:db8:0::1"),
        ("::ffff:10.0.0.1", "10.0.0.1", "::FFFF:a00:1"),
    ],
)  # fmt: skip
async def test_an_address_is_shown_as_it_was_given_and_compared_by_what_it_means(
    plane: Plane, given: str, meant: str, other: str
) -> None:
    lb = await plane.balancer()
    pool = await plane.make("pool", loadbalancer_id=lb["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    spec = {"pool_id": pool["id"], "address": given, "protocol_port": 80, "monitor_address": given}
    member = await plane.make("member", **spec)
    url = f"/lbaas/pools/{pool['id']}/members"
    assert (member["address"], member["monitor_address"]) == (given, given)
    ours = (await plane.call("GET", f"{url}/{member['id']}", X_Octavia_Form="model")).body["member"]
    assert ours["address"] == meant
    assert (await plane.post("member", {**spec, "address": other})).status == 409
    for asked in (given, meant, other):
        assert len((await plane.call("GET", f"{url}?address={asked}")).body["members"]) == 1
    await plane.call("PUT", f"{url}/{member['id']}", {"member": {"weight": 3}}, wait=10)
    assert (await plane.call("GET", f"{url}/{member['id']}")).body["member"]["address"] == given
    batch = [{"address": other, "protocol_port": 80, "weight": 7}]
    assert (await plane.call("PUT", url, {"members": batch})).status == 202
    (kept,) = (await plane.call("GET", url)).body["members"]
    assert (kept["id"], kept["address"], kept["weight"]) == (member["id"], other, 7)
    await plane.call("PUT", f"{url}/{member['id']}", {"member": {"monitor_address": meant}}, wait=10)
    assert (await plane.call("GET", f"{url}/{member['id']}")).body["member"]["monitor_address"] == meant


async def test_flavors_and_profiles_are_in_the_order_of_their_ids(plane: Plane) -> None:
    profiles = [await plane.make("flavor_profile", name=n, provider_name="amphora", flavor_data="{}") for n in "abcdef"]
    for profile in profiles:
        await plane.make("flavor", name=profile["name"], flavor_profile_id=profile["id"])
        await plane.make(
            "availability_zone_profile", name=profile["name"], provider_name="amphora", availability_zone_data="{}"
        )
    for collection, words in (
        ("flavorprofiles", "flavorprofiles"), ("flavors", "flavors"), ("availabilityzoneprofiles", "availability_zone_profiles"),
    ):  # fmt: skip
        ids = [one["id"] for one in (await plane.call("GET", f"/lbaas/{collection}")).body[words]]
        assert ids == sorted(ids)
        assert len(ids) == len(profiles)
        first = (await plane.call("GET", f"/lbaas/{collection}?limit=2")).body
        second = (await plane.call("GET", first[f"{words}_links"][0]["href"])).body
        assert [one["id"] for one in (*first[words], *second[words])] == ids[: 2 + len(second[words])]


async def test_updated_at_is_set_when_it_is_done_and_at_every_later_completion(plane: Plane) -> None:
    plane.held.clear()
    network = await plane.make_pending("local_network")
    pending = (await plane.call("GET", f"/local/networks/{network['id']}")).body["network"]
    assert (pending["provisioning_status"], pending["updated_at"]) == ("PENDING_CREATE", None)
    plane.held.set()
    made = await everything(plane)
    assert all(one["updated_at"] for objects in made.values() for one in objects)
    settled = (await plane.call("GET", f"/local/networks/{network['id']}", wait=10)).body["network"]
    assert settled["updated_at"] >= settled["created_at"]
    member, pool = made["member"][0], made["pool"][0]
    await plane.store.write(lambda tx: tx.settle(Settlement(scope_id=pool["loadbalancers"][0]["id"], generation=1)))
    before = {r.id: r.updated_at for r in await plane.records()}
    changed = await plane.call(
        "PUT", f"/lbaas/pools/{pool['id']}/members/{member['id']}", {"member": {"weight": 9}}, wait=10
    )
    assert changed.body["member"]["updated_at"] >= before[member["id"]]
    after = {r.id: r.updated_at for r in await plane.records()}
    assert {id_ for id_ in after if after[id_] != before[id_]} <= {member["id"]}, "what was not written has not changed"
