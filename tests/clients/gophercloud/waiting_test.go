// SPDX-License-Identifier: Apache-2.0

package gophercloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/monitors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
)

// What the cloud provider of Kubernetes does (cloud-provider-openstack, pkg/util/openstack): after each call it asks for the load balancer
// until that is ACTIVE, at first after a second, then each time after 1.2 times as long, 25 times at most. ERROR ends it.
const (
	firstPause = time.Second
	factor     = 1.2
	steps      = 25
)

var errFailed = errors.New("the load balancer has gone into ERROR state")

func untilActive(ctx context.Context, client *gophercloud.ServiceClient, id string) (*loadbalancers.LoadBalancer, error) {
	pause := firstPause
	for range steps {
		found, err := loadbalancers.Get(ctx, client, id).Extract()
		switch {
		case err != nil:
			return nil, err
		case found.ProvisioningStatus == "ACTIVE":
			return found, nil
		case found.ProvisioningStatus == "ERROR":
			return found, errFailed
		}
		time.Sleep(pause)
		pause = time.Duration(float64(pause) * factor)
	}
	return nil, fmt.Errorf("load balancer %s did not become ACTIVE", id)
}

func TestAServiceOfKubernetes(t *testing.T) {
	t.Parallel()
	client := member(t)
	wait := func(id string) {
		t.Helper()
		_, err := untilActive(t.Context(), client, id)
		must(t, err)
	}
	// a service of type LoadBalancer: found by its name first, then made step by step
	name := "kube_service_kubernetes_default_web"
	equal(t, "not there yet", len(all(t, loadbalancers.List(client, loadbalancers.ListOpts{Name: name}), loadbalancers.ExtractLoadBalancers)), 0)
	lb, err := loadbalancers.Create(t.Context(), client, loadbalancers.CreateOpts{
		Name: name, Description: "Kubernetes external service default/web from cluster kubernetes", VipSubnetID: subnet(), Provider: "amphora", Tags: []string{name},
	}).Extract()
	must(t, err)
	t.Cleanup(func() { gone(t, client, lb.ID) })
	wait(lb.ID)
	listener, err := listeners.Create(t.Context(), client, listeners.CreateOpts{
		LoadbalancerID: lb.ID, Name: "listener_0_" + name, Protocol: listeners.ProtocolTCP, ProtocolPort: 80, ConnLimit: pointer(-1), Tags: []string{name},
		TimeoutClientData: pointer(50000), TimeoutMemberConnect: pointer(5000), TimeoutMemberData: pointer(50000), TimeoutTCPInspect: pointer(0),
	}).Extract()
	must(t, err)
	wait(lb.ID)
	pool, err := pools.Create(t.Context(), client, pools.CreateOpts{
		ListenerID: listener.ID, Name: "pool_0_" + name, Protocol: pools.ProtocolTCP, LBMethod: pools.LBMethodRoundRobin,
	}).Extract()
	must(t, err)
	wait(lb.ID)
	nodes := func(count int) {
		t.Helper()
		var batch []pools.BatchUpdateMemberOpts
		for number := range count {
			batch = append(batch, pools.BatchUpdateMemberOpts{
				Address: fmt.Sprintf("10.1.9.%d", number+1), ProtocolPort: 30080, Name: pointer(fmt.Sprintf("member_0_node-%d", number)), MonitorPort: pointer(31000),
			})
		}
		must(t, pools.BatchUpdateMembers(t.Context(), client, pool.ID, batch).ExtractErr())
		wait(lb.ID)
		equal(t, "members", len(all(t, pools.ListMembers(client, pool.ID, nil), pools.ExtractMembers)), count)
	}
	nodes(3)
	monitor, err := monitors.Create(t.Context(), client, monitors.CreateOpts{
		PoolID: pool.ID, Name: "monitor_0_" + name, Type: "HTTP", URLPath: "/healthz", HTTPMethod: "GET", ExpectedCodes: "200", Delay: 5, Timeout: 3, MaxRetries: 1, MaxRetriesDown: 3,
	}).Extract()
	must(t, err)
	wait(lb.ID)
	nodes(5) // the cluster grows
	nodes(2) // and shrinks
	must(t, monitors.Delete(t.Context(), client, monitor.ID).ExtractErr())
	wait(lb.ID)
	must(t, pools.Delete(t.Context(), client, pool.ID).ExtractErr())
	wait(lb.ID)
	must(t, listeners.Delete(t.Context(), client, listener.ID).ExtractErr())
	wait(lb.ID)
}

// Octavia answers 409 while a load balancer is PENDING, and clients repeat the call until it is not. There is nothing to repeat here.
func TestWritesInParallelAreNotRefused(t *testing.T) {
	t.Parallel()
	client := member(t)
	lb, err := loadbalancers.Create(t.Context(), client, loadbalancers.CreateOpts{Name: "busy", VipSubnetID: subnet()}).Extract()
	must(t, err)
	t.Cleanup(func() { gone(t, client, lb.ID) })
	var group sync.WaitGroup
	for number := range 8 {
		group.Go(func() {
			_, err := listeners.Create(t.Context(), client, listeners.CreateOpts{
				LoadbalancerID: lb.ID, Protocol: listeners.ProtocolTCP, ProtocolPort: 8000 + number,
			}).Extract()
			if gophercloud.ResponseCodeIs(err, http.StatusConflict) {
				t.Error("409, which Octavia's clients wait out, and nobody has to here")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	found, err := untilActive(t.Context(), client, lb.ID)
	must(t, err)
	equal(t, "listeners", len(found.Listeners), 8)
}
