"""A load balancer, a listener, a pool, a health monitor, and three members that serve HTTP in namespaces of their own."""

import pulumi
import pulumi_octavia as octavia

config = pulumi.Config()
members = config.get_int("members") or 3
algorithm = config.get("algorithm") or "ROUND_ROBIN"

# A small web server: answers with the name of the host that it runs on.
SERVER = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = (os.environ["NAME"] + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""

network = octavia.local.Network("net")
balancer = octavia.LoadBalancer("web", vip_network_id=network.id)
listener = octavia.Listener("http", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
pool = octavia.Pool("servers", listener_id=listener.id, protocol="HTTP", lb_algorithm=algorithm)
octavia.HealthMonitor("check", pool_id=pool.id, type="HTTP", delay=1, timeout=1, max_retries=2, url_path="/")

for number in range(1, members + 1):
    name = f"server-{number}"
    host = octavia.local.Host(
        name, network_id=network.id, command=["python3", "-u", "-c", SERVER], environment={"NAME": name}
    )
    octavia.Member(name, pool_id=pool.id, address=host.address, protocol_port=80)

pulumi.export("url", listener.url)
pulumi.export("vip", balancer.vip_address)
