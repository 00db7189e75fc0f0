// A load balancer, a listener, a pool, a health monitor, and two members that serve HTTP in namespaces of their own.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
	"pulumi-octavia/sdk/go/octavia"
	"pulumi-octavia/sdk/go/octavia/local"
)

func main() {
	pulumi.Run(program)
}

func program(ctx *pulumi.Context) error {
	network, err := local.NewNetwork(ctx, "net", nil)
	if err != nil {
		return err
	}
	balancer, err := octavia.NewLoadBalancer(ctx, "web", &octavia.LoadBalancerArgs{VipSubnetId: network.SubnetId})
	if err != nil {
		return err
	}
	listener, err := octavia.NewListener(ctx, "http", &octavia.ListenerArgs{
		LoadbalancerId: balancer.ID(),
		Protocol:       octavia.ListenerProtocolHttp,
		ProtocolPort:   pulumi.Int(80),
	})
	if err != nil {
		return err
	}
	pool, err := octavia.NewPool(ctx, "servers", &octavia.PoolArgs{
		ListenerId:  listener.ID(),
		Protocol:    octavia.PoolProtocolHttp,
		LbAlgorithm: octavia.PoolLbAlgorithmRoundRobin,
	})
	if err != nil {
		return err
	}
	_, err = octavia.NewHealthMonitor(ctx, "check", &octavia.HealthMonitorArgs{
		PoolId:     pool.ID(),
		Type:       octavia.HealthMonitorTypeHttp,
		Delay:      pulumi.Int(1),
		Timeout:    pulumi.Int(1),
		MaxRetries: pulumi.Int(2),
		UrlPath:    pulumi.String("/"),
	})
	if err != nil {
		return err
	}
	members := 2
	if asked, err := config.TryInt(ctx, "members"); err == nil {
		members = asked
	}
	for number := 1; number <= members; number++ {
		if err := serve(ctx, fmt.Sprintf("server-%d", number), network, pool); err != nil {
			return err
		}
	}

	// Looked up by what the resource shows: an output that is always there is no pointer.
	found := octavia.LookupLoadBalancerOutput(ctx, octavia.LookupLoadBalancerOutputArgs{Id: balancer.ID()})
	var vip, project pulumi.StringOutput = balancer.VipAddress, found.ProjectId()
	ctx.Export("url", listener.Url)
	ctx.Export("vip", vip)
	ctx.Export("project", project)
	return nil
}

// serve makes a host with a web server, and the member of the pool that it is.
func serve(ctx *pulumi.Context, name string, network *local.Network, pool *octavia.Pool) error {
	host, err := local.NewHost(ctx, name, &local.HostArgs{
		NetworkId: network.ID(),
		Command:   pulumi.ToStringArray([]string{"python3", "-m", "http.server", "80"}),
	})
	if err != nil {
		return err
	}
	_, err = octavia.NewMember(ctx, name, &octavia.MemberArgs{
		PoolId:       pool.ID(),
		Address:      host.Address,
		ProtocolPort: pulumi.Int(80),
	})
	return err
}
