"""Web servers on a network of their own in OpenStack, and the load balancer before them: one program, one `up`, one `destroy`.

Network, router, security group, servers and floating IP are pulumi_openstack's. Both providers sign in with the same cloud.
"""

import pulumi
import pulumi_octavia as octavia
import pulumi_openstack as openstack

config = pulumi.Config()
cidr = config.get("cidr") or "192.168.50.0/24"
external = config.get("externalNetwork")  # its name: without, there is neither a router nor a floating IP

network = openstack.networking.Network("web")
subnet = openstack.networking.Subnet("web", network_id=network.id, cidr=cidr, ip_version=4)

# Servers are reached from their own network alone, which is where amphorae are.
group = openstack.networking.SecGroup("web")
openstack.networking.SecGroupRule(
    "web",
    security_group_id=group.id,
    direction="ingress",
    ethertype="IPv4",
    protocol="tcp",
    port_range_min=80,
    port_range_max=80,
    remote_ip_prefix=cidr,
)

balancer = octavia.LoadBalancer("web", vip_subnet_id=subnet.id)
listener = octavia.Listener("http", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
pool = octavia.Pool("web", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
octavia.HealthMonitor("web", pool_id=pool.id, type="HTTP", delay=5, timeout=2, max_retries=2, url_path="/")

# What a server answers with is its own name.
SERVER = """#!/bin/sh
cd "$(mktemp -d)" && hostname > index.html && exec python3 -m http.server 80
"""
for number in range(config.get_int("servers") or 2):
    name = f"web-{number}"
    port = openstack.networking.Port(
        name, network_id=network.id, fixed_ips=[{"subnet_id": subnet.id}], security_group_ids=[group.id]
    )
    openstack.compute.Instance(
        name,
        image_name=config.require("image"),
        flavor_name=config.require("flavor"),
        networks=[{"port": port.id}],
        user_data=SERVER,
    )
    octavia.Member(name, pool_id=pool.id, address=port.all_fixed_ips[0], protocol_port=80, subnet_id=subnet.id)

pulumi.export("vip", balancer.vip_address)
if external:
    outside = openstack.networking.get_network_output(name=external)
    router = openstack.networking.Router("web", external_network_id=outside.id)
    inside = openstack.networking.RouterInterface("web", router_id=router.id, subnet_id=subnet.id)
    address = openstack.networking.FloatingIp(
        "web", pool=external, port_id=balancer.vip_port_id, opts=pulumi.ResourceOptions(depends_on=[inside])
    )
    pulumi.export("url", pulumi.Output.concat("http://", address.address, "/"))
