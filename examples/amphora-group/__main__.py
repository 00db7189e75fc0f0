"""Three load balancers that share two amphorae. Each has a haproxy of its own on both: one serves, the other one takes over."""

import json

import pulumi
import pulumi_octavia as octavia

config = pulumi.Config()
size = config.get_int("size") or 2  # amphorae of the group
shared = config.get_bool("shared") is not False  # false: each load balancer has two amphorae of its own

# A small web server: answers with the name of the host that it runs on.
SERVER = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = (os.environ["NAME"] + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""

profile = octavia.FlavorProfile(
    "pair", provider_name="amphora", flavor_data=json.dumps({"loadbalancer_topology": "ACTIVE_STANDBY"})
)
flavor = octavia.Flavor("pair", flavor_profile_id=profile.id)
group = octavia.AmphoraGroup("shared", size=size, capacity=50)
network = octavia.local.Network("net")

for name in ("shop", "blog", "mail"):
    host = octavia.local.Host(
        name, network_id=network.id, command=["python3", "-u", "-c", SERVER], environment={"NAME": name}
    )
    balancer = octavia.LoadBalancer(
        name, vip_network_id=network.id, flavor_id=flavor.id, amphora_group_id=group.id if shared else None
    )
    listener = octavia.Listener(name, loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
    pool = octavia.Pool(name, listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    octavia.Member(name, pool_id=pool.id, address=host.address, protocol_port=80)
    pulumi.export(name, listener.url)
