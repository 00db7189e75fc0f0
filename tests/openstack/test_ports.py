# SPDX-License-Identifier: Apache-2.0
"""What the ports do in real Nova and Neutron, one by one: repeated, ended after any call, refused in the services' own words."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import Any

import pytest

from builders import resource
from octavia_provider.model.errors import Conflict, Invalid, OctaviaError, Refused, Unreachable
from octavia_provider.ports import AmphoraSpec, CloudDriver

from .project import Project
from .site import Ended, balancer, ends_after_its_first_write, opened, order

pytestmark = pytest.mark.usefixtures("environment")
CALLS = 60
"""More than a boot takes."""


def id_() -> str:
    return str(uuid.uuid4())


async def away(cloud: CloudDriver, load_balancer_id: str, *amphora_ids: str) -> None:
    for one in amphora_ids:
        await cloud.cloud.delete(one)
    await cloud.networks.release(load_balancer_id, ())  # type: ignore[union-attr]


async def test_a_control_plane_may_end_after_any_call(cloud_project: Project) -> None:
    """An amphora is booted and deleted by as many control planes as there are calls that change something."""
    mine, lb, amphora = id_(), id_(), id_()
    record = balancer(lb, vip_subnet_id=cloud_project.subnets["vips"])

    async def boot(cloud: CloudDriver) -> Any:
        vips = (await cloud.networks.allocate(record)).vips  # type: ignore[union-attr]
        return await cloud.cloud.boot(order(amphora, lb, vips))

    async def delete(cloud: CloudDriver) -> None:
        await away(cloud, lb, amphora)

    for work in (boot, delete):
        ends: list[str] = []
        for _ in range(CALLS):
            async with opened(mine) as cloud:
                try:
                    with ends_after_its_first_write() as made:
                        await work(cloud)
                    break
                except Ended:
                    ends += made
        else:
            raise AssertionError(f"it does not come to an end: {ends}")
        assert len(ends) >= 5, ends
        if work is boot:
            left = cloud_project.left()
            assert {what: len(names) for what, names in left.items()} == {
                "servers": 1, "server groups": 1, "ports": 3, "security groups": 1
            }  # fmt: skip
    assert cloud_project.left() == {}


async def test_what_was_made_and_not_tagged_yet_is_taken_away_too(cloud_project: Project) -> None:
    mine, lb = id_(), id_()
    async with opened(mine) as cloud:
        with pytest.raises(Ended), ends_after_its_first_write():
            await cloud.networks.allocate(balancer(lb, vip_subnet_id=cloud_project.subnets["vips"]))  # type: ignore[union-attr]
    assert cloud_project.left() == {"ports": [f"octavia-lb-{lb}"]}
    async with opened(mine) as cloud:
        await away(cloud, lb)
    assert cloud_project.left() == {}


async def test_addresses_change_while_it_runs_and_are_read_back_from_the_cloud(cloud_project: Project) -> None:
    lb, amphora = id_(), id_()
    record = balancer(lb, vip_subnet_id=cloud_project.subnets["vips"])
    async with opened() as cloud:
        allocation = await cloud.networks.allocate(record)  # type: ignore[union-attr]
        assert await cloud.networks.allocate(record) == allocation  # type: ignore[union-attr]
        (vip,) = allocation.vips
        first = await cloud.cloud.boot(order(amphora, lb, allocation.vips))
        assert (first.vips, first.shared, first.alive) == ((vip.address,), (), True)
        assert await cloud.cloud.boot(order(amphora, lb, allocation.vips)) == first
        known = replace(record, spec={**record.spec, **allocation.values})
        own = await cloud.networks.own(known, amphora)  # type: ignore[union-attr]
        assert await cloud.networks.own(known, amphora) == own  # type: ignore[union-attr]
        shared = (*own, replace(vip, shared=True))
        both = await cloud.cloud.readdress(amphora, shared, keep=True)
        assert set(both.vips) == {vip.address, own[0].address}
        assert both.shared == (vip.address,)
        pair = await cloud.cloud.readdress(amphora, shared, keep=False)
        assert (pair.vips, pair.shared) == ((own[0].address,), (vip.address,))
        assert list(await cloud.cloud.instances(lb)) == [pair]
        (port,) = [
            p
            for p in cloud_project.user.network.ports(project_id=cloud_project.user.current_project_id)
            if "vrrp" in p.name
        ]
        assert port.allowed_address_pairs[0]["ip_address"] == vip.address
        await away(cloud, lb, amphora)
    assert cloud_project.left() == {}


async def test_a_port_that_was_given_stays_and_additional_vips_have_ports_of_their_own(cloud_project: Project) -> None:
    network = cloud_project.networks["vips"]
    given = cloud_project.user.network.create_port(network_id=network, name="given")
    more = cloud_project.user.network.create_subnet(
        network_id=network, ip_version=6, cidr="fd00:12::/64", is_dhcp_enabled=False
    )
    lb = id_()
    record = balancer(lb, vip_port_id=given.id, additional_vips=[{"subnet_id": more.id, "ip_address": "fd00:12::9"}])
    async with opened() as cloud:
        found = await cloud.networks.allocate(record)  # type: ignore[union-attr]
        assert [vip.address for vip in found.vips] == [given.fixed_ips[0]["ip_address"], "fd00:12::9"]
        assert found.values["vip_network_id"] == network
        await cloud.networks.release(lb, [given.fixed_ips[0]["ip_address"]])  # type: ignore[union-attr]
        assert cloud_project.left() == {"ports": ["given"]}
        await away(cloud, lb)
    assert cloud_project.left() == {"ports": ["given"]}
    cloud_project.user.network.delete_port(given.id)
    cloud_project.user.network.delete_subnet(more.id)


async def test_a_server_has_the_key_pair_and_is_asked_for_with_a_volume(
    cloud_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These services have no Cinder: Nova takes the request, and says so of the server."""
    compute, mine, lb, amphora = cloud_project.user.compute, id_(), id_(), id_()
    pair = compute.create_keypair(name=f"octavia-test-{lb[:8]}")
    record = balancer(lb, vip_subnet_id=cloud_project.subnets["vips"])
    monkeypatch.setenv("OCTAVIA_OPENSTACK_KEY_NAME", pair.name)
    async with opened(mine) as cloud:
        vips = (await cloud.networks.allocate(record)).vips  # type: ignore[union-attr]
        await cloud.cloud.boot(order(amphora, lb, vips))
        (server,) = cloud_project.servers()
        assert server.key_name == pair.name
        await cloud.cloud.delete(amphora)
    monkeypatch.setenv("OCTAVIA_OPENSTACK_VOLUME_GB", "2")
    async with opened(mine) as cloud:
        with pytest.raises(Refused, match="volumev3 service not found") as caught:
            await cloud.cloud.boot(order(amphora, lb, vips))
        assert "OCTAVIA_OPENSTACK_VOLUME_GB=0" in caught.value.hint
        await away(cloud, lb, amphora)
    assert cloud_project.left() == {}
    compute.delete_keypair(pair)


async def test_another_control_planes_things_are_neither_seen_nor_touched(cloud_project: Project) -> None:
    lb = id_()
    record = balancer(lb, vip_subnet_id=cloud_project.subnets["vips"])
    async with opened() as cloud, opened() as other:
        await cloud.networks.allocate(record)  # type: ignore[union-attr]
        assert (await other.cloud.inventory()).empty
        await away(other, lb)
        assert not (await cloud.cloud.inventory()).empty
        await away(cloud, lb)


async def test_given_security_groups_and_a_qos_policy_are_applied_at_ports(cloud_project: Project) -> None:
    network, lb, amphora = cloud_project.user.network, id_(), id_()
    group = network.create_security_group(name="given")
    policy = network.create_qos_policy(name="slow")
    record = balancer(lb, vip_subnet_id=cloud_project.subnets["vips"])
    listener = resource("listener", id_(), protocol_port=80)
    async with opened() as cloud:
        vips = (await cloud.networks.allocate(record)).vips  # type: ignore[union-attr]
        instance = await cloud.cloud.boot(order(amphora, lb, vips))

        async def bring_about(**values: Any) -> None:
            wanted = resource("load_balancer", lb, **values)
            for _ in range(2):
                steps = cloud.access.plan(wanted, [listener], [instance], await cloud.access.observe(lb))
                for step in steps:
                    await cloud.access.carry_out(step)
            assert steps == ()

        await bring_about(vip_sg_ids=(group.id,), vip_qos_policy_id=policy.id)
        assert cloud_project.rules(lb) == set()
        vip, traffic = (
            next(
                port
                for port in network.ports(project_id=cloud_project.user.current_project_id)
                if port.name.startswith(name)
            )
            for name in (f"octavia-lb-{lb}", "octavia-lb-vrrp")
        )
        assert group.id in traffic.security_group_ids
        assert (vip.qos_policy_id, traffic.qos_policy_id) == (policy.id, policy.id)
        await bring_about()
        assert cloud_project.rules(lb) == {("tcp", 80, "0.0.0.0/0"), ("tcp", 80, "::/0")}
        traffic = network.get_port(traffic.id)
        assert group.id not in traffic.security_group_ids
        assert traffic.qos_policy_id is None
        await away(cloud, lb, amphora)
    network.delete_security_group(group)
    network.delete_qos_policy(policy)
    assert cloud_project.left() == {}


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────
async def refusal(cloud: CloudDriver, made: AmphoraSpec) -> OctaviaError:
    with pytest.raises(OctaviaError) as refused:
        await cloud.cloud.boot(made)
    return refused.value


async def test_what_nova_and_glance_refuse(cloud_project: Project) -> None:
    admin, lb, amphora = cloud_project.admin, id_(), id_()
    huge = admin.compute.create_flavor(name=id_(), ram=1 << 30, vcpus=1, disk=1)
    async with opened() as cloud:
        record = balancer(lb, vip_subnet_id=cloud_project.subnets["vips"])
        vips = (await cloud.networks.allocate(record)).vips  # type: ignore[union-attr]
        error = await refusal(cloud, order(amphora, lb, vips, flavor={"compute_flavor": huge.name}))
        assert "No valid host was found" in str(error)
        assert "another compute_flavor" in error.hint
        assert not cloud_project.servers()
        error = await refusal(cloud, order(amphora, lb, vips, flavor={"compute_flavor": "none-such"}))
        assert "Nova has no flavor none-such" in str(error)
        error = await refusal(cloud, order(amphora, lb, vips, flavor={"amp_image_tag": "none-such"}))
        assert "Glance has no active image with the tag none-such" in str(error)
        assert "openstack image set --tag none-such" in error.hint
        error = await refusal(cloud, order(amphora, lb, vips, zone={"compute_zone": "none-such"}))
        assert "The requested availability zone is not available" in str(error)
        assert "openstack availability zone list" in error.hint
        project_id = cloud_project.user.current_project_id
        admin.compute.update_quota_set(project_id, instances=0)
        error = await refusal(cloud, order(amphora, lb, vips))
        assert isinstance(error, Refused)
        assert re.search(r"Nova says \(403\): .*[Qq]uota exceeded for instances", str(error))
        assert error.subject == f"amphora {amphora}"
        admin.compute.update_quota_set(project_id, instances=-1)
        assert (await cloud.cloud.boot(order(amphora, lb, vips))).alive
        await away(cloud, lb, amphora)
    admin.compute.delete_flavor(huge)
    assert cloud_project.left() == {}


async def test_what_neutron_refuses(cloud_project: Project) -> None:
    admin, network = cloud_project.admin.network, cloud_project.user.network
    small = network.create_network(name="small")
    subnet = network.create_subnet(
        network_id=small.id, ip_version=4, cidr="127.99.99.0/30", is_dhcp_enabled=False, gateway_ip=None
    )
    lbs = [id_() for _ in range(4)]
    async with opened() as cloud:
        allocate: Any = cloud.networks.allocate  # type: ignore[union-attr]
        taken = (await allocate(balancer(lbs[0], vip_subnet_id=subnet.id))).vips[0].address
        with pytest.raises(Conflict) as used:
            await allocate(balancer(lbs[1], vip_subnet_id=subnet.id, vip_address=taken))
        assert used.value.path == ("vip_address",)
        assert taken in str(used.value)
        await allocate(balancer(lbs[1], vip_subnet_id=subnet.id))
        with pytest.raises(Conflict, match=r"No more IP addresses available") as full:
            await allocate(balancer(lbs[2], vip_subnet_id=subnet.id))
        assert "the subnet is full" in full.value.hint
        for path in ("vip_network_id", "vip_subnet_id", "vip_port_id"):
            with pytest.raises(Invalid) as missing:
                await allocate(balancer(lbs[3], **{path: id_()}))
            assert missing.value.violations[0].path == (path,)
        used_up = len(list(network.ports(project_id=cloud_project.user.current_project_id)))
        admin.update_quota(cloud_project.user.current_project_id, ports=used_up)
        with pytest.raises(Refused, match=r"Neutron says \(409\): Quota exceeded for resources: \['port'\]"):
            await allocate(balancer(lbs[3], vip_subnet_id=cloud_project.subnets["vips"]))
        admin.update_quota(cloud_project.user.current_project_id, ports=-1)
        for one in lbs:
            await away(cloud, one)
    network.delete_network(small)
    assert cloud_project.left() == {}


async def test_a_token_that_expires_is_renewed_and_a_service_that_is_down_is_told(
    cloud_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as cloud:
        session: Any = cloud.cloud._session  # type: ignore[attr-defined]
        assert (await cloud.cloud.instances(id_())) == []
        keystone = session._connection.session
        keystone.auth.get_access(keystone)._auth_token = "expired"
        assert (await cloud.cloud.instances(id_())) == []
        session._connection.network.endpoint_override = "http://127.0.0.1:9/v2.0"
        with pytest.raises(Unreachable, match="Neutron does not answer"):
            await cloud.cloud.instances(id_())
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/none/such")
    async with opened() as cloud:
        with pytest.raises(Refused, match="Cloud test was not found"):
            await cloud.cloud.start()


async def test_a_port_that_is_not_bound(cloud_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Neutron's agent of a host is down: networks of this name are not bound (services/bind_all.py)."""
    network = cloud_project.user.network.create_network(name=f"{cloud_project.name}-unbound")
    cloud_project.user.network.create_subnet(
        network_id=network.id, ip_version=4, cidr="127.99.0.0/24", is_dhcp_enabled=False, gateway_ip=None
    )
    monkeypatch.setenv("OCTAVIA_OPENSTACK_MANAGEMENT_NETWORK", network.name)
    lb, amphora = id_(), id_()
    async with opened() as cloud:
        record = balancer(lb, vip_subnet_id=cloud_project.subnets["vips"])
        vips = (await cloud.networks.allocate(record)).vips  # type: ignore[union-attr]
        error = await refusal(cloud, order(amphora, lb, vips))
        assert isinstance(error, Refused)
        assert "Nova could not boot it" in str(error), error
        assert error.hint
        await away(cloud, lb, amphora)
    cloud_project.user.network.delete_network(network)
    assert cloud_project.left() == {}
