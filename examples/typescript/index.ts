// A load balancer, a listener, a pool, a health monitor, and two members that serve HTTP in namespaces of their own.
import * as pulumi from "@pulumi/pulumi";
import * as octavia from "pulumi-octavia";

const members = new pulumi.Config().getNumber("members") ?? 2;

const network = new octavia.local.Network("net");
const balancer = new octavia.LoadBalancer("web", { vipSubnetId: network.subnetId });
const listener = new octavia.Listener("http", { loadbalancerId: balancer.id, protocol: "HTTP", protocolPort: 80 });
const pool = new octavia.Pool("servers", {
    listenerId: listener.id,
    protocol: octavia.PoolProtocol.Http,
    lbAlgorithm: octavia.PoolLbAlgorithm.RoundRobin,
});
new octavia.HealthMonitor("check", { poolId: pool.id, type: "HTTP", delay: 1, timeout: 1, maxRetries: 2, urlPath: "/" });

for (let number = 1; number <= members; number++) {
    const name = `server-${number}`;
    const host = new octavia.local.Host(name, { networkId: network.id, command: ["python3", "-m", "http.server", "80"] });
    new octavia.Member(name, { poolId: pool.id, address: host.address, protocolPort: 80 });
}

// Looked up by what the resource shows: an output that is always there fits an argument.
const found = octavia.getLoadBalancerOutput({ id: balancer.id });

export const url = listener.url;
export const vip: pulumi.Output<string> = balancer.vipAddress;
export const project: pulumi.Output<string> = found.projectId;
