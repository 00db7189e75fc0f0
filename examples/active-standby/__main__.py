"""A load balancer whose flavor asks for a pair of amphorae: one serves, the other one takes over when it fails."""

import json

import pulumi
import pulumi_octavia as octavia

config = pulumi.Config()
topology = config.get("topology") or "ACTIVE_STANDBY"
interval = (
    config.get_float("interval") or 0.2
)  # seconds between two adverts; after some three of silence the other takes over

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

# A flavor that is in use stays what it is: a load balancer gets another one, in place. So there is one for each topology.
data = {"loadbalancer_topology": topology, "vrrp_advertisement_interval": interval}
named = f"{topology}-{interval}".lower()
profile = octavia.FlavorProfile(named, provider_name="amphora", flavor_data=json.dumps(data))
flavor = octavia.Flavor(named, flavor_profile_id=profile.id)

network = octavia.local.Network("net")
balancer = octavia.LoadBalancer("web", vip_network_id=network.id, flavor_id=flavor.id)
listener = octavia.Listener("http", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
pool = octavia.Pool("servers", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")

for number in (1, 2):
    name = f"server-{number}"
    host = octavia.local.Host(
        name, network_id=network.id, command=["python3", "-u", "-c", SERVER], environment={"NAME": name}
    )
    octavia.Member(name, pool_id=pool.id, address=host.address, protocol_port=80)

pulumi.export("url", listener.url)
pulumi.export("vip", balancer.vip_address)
