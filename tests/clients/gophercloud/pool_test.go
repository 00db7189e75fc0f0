// SPDX-License-Identifier: Apache-2.0

package gophercloud

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/monitors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
)

func TestPool(t *testing.T) {
	t.Parallel()
	client := member(t)
	lb := balancer(t, client, "pools")
	made, err := pools.Create(t.Context(), client, pools.CreateOpts{
		LoadbalancerID: lb.ID, Name: "web", Protocol: pools.ProtocolHTTP, LBMethod: pools.LBMethodRoundRobin,
		Persistence: &pools.SessionPersistence{Type: "APP_COOKIE", CookieName: "session"}, Tags: []string{"a"},
	}).Extract()
	must(t, err)
	active(t, client, lb.ID)
	found := one(t, pools.List(client, pools.ListOpts{LoadbalancerID: lb.ID, Name: "web"}), pools.ExtractPools)
	equal(t, "id", found.ID, made.ID)
	equal(t, "cookie", found.Persistence.CookieName, "session")
	changed, err := pools.Update(t.Context(), client, made.ID, pools.UpdateOpts{
		LBMethod: pools.LBMethodLeastConnections, Persistence: &pools.SessionPersistence{Type: "SOURCE_IP"}, Description: pointer("one"),
	}).Extract()
	must(t, err)
	equal(t, "method", changed.LBMethod, "LEAST_CONNECTIONS")
	active(t, client, lb.ID)
	shown, err := pools.Get(t.Context(), client, made.ID).Extract()
	must(t, err)
	equal(t, "persistence", shown.Persistence.Type, "SOURCE_IP")
	must(t, pools.Delete(t.Context(), client, made.ID).ExtractErr())
	active(t, client, lb.ID)
	_, err = pools.Get(t.Context(), client, made.ID).Extract()
	refused(t, err, http.StatusNotFound)
}

func TestMembers(t *testing.T) {
	t.Parallel()
	client := member(t)
	lb := balancer(t, client, "members")
	pool, err := pools.Create(t.Context(), client, pools.CreateOpts{
		LoadbalancerID: lb.ID, Protocol: pools.ProtocolTCP, LBMethod: pools.LBMethodSourceIp,
	}).Extract()
	must(t, err)
	made, err := pools.CreateMember(t.Context(), client, pool.ID, pools.CreateMemberOpts{
		Name: "one", Address: "10.1.9.1", ProtocolPort: 8080, Weight: pointer(5), Backup: pointer(true), MonitorPort: pointer(8081), SubnetID: subnet(),
	}).Extract()
	must(t, err)
	active(t, client, lb.ID)
	found := one(t, pools.ListMembers(client, pool.ID, pools.ListMembersOpts{Address: "10.1.9.1"}), pools.ExtractMembers)
	equal(t, "id", found.ID, made.ID)
	equal(t, "weight", found.Weight, 5)
	changed, err := pools.UpdateMember(t.Context(), client, pool.ID, made.ID, pools.UpdateMemberOpts{Weight: pointer(0), Backup: pointer(false)}).Extract()
	must(t, err)
	equal(t, "weight", changed.Weight, 0)
	active(t, client, lb.ID)
	shown, err := pools.GetMember(t.Context(), client, pool.ID, made.ID).Extract()
	must(t, err)
	equal(t, "drained", shown.Weight, 0)

	must(t, pools.BatchUpdateMembers(t.Context(), client, pool.ID, []pools.BatchUpdateMemberOpts{
		{Address: "10.1.9.1", ProtocolPort: 8080, Weight: pointer(7), Name: pointer("kept"), SubnetID: pointer(subnet())},
		{Address: "10.1.9.2", ProtocolPort: 8080},
		{Address: "10.1.9.3", ProtocolPort: 8080},
	}).ExtractErr())
	active(t, client, lb.ID)
	members := all(t, pools.ListMembers(client, pool.ID, nil), pools.ExtractMembers)
	equal(t, "members", len(members), 3)
	for _, one := range members {
		equal(t, one.Address, one.ProvisioningStatus, "ACTIVE")
		if one.ID == made.ID {
			equal(t, "kept, with another weight", one.Weight, 7)
		}
	}
	must(t, pools.DeleteMember(t.Context(), client, pool.ID, made.ID).ExtractErr())
	active(t, client, lb.ID)
	equal(t, "members", len(all(t, pools.ListMembers(client, pool.ID, nil), pools.ExtractMembers)), 2)
	must(t, pools.BatchUpdateMembers(t.Context(), client, pool.ID, []pools.BatchUpdateMemberOpts{}).ExtractErr())
	active(t, client, lb.ID)
	equal(t, "members", len(all(t, pools.ListMembers(client, pool.ID, nil), pools.ExtractMembers)), 0)
}

func TestMonitor(t *testing.T) {
	t.Parallel()
	client := member(t)
	lb := balancer(t, client, "monitors")
	pool, err := pools.Create(t.Context(), client, pools.CreateOpts{
		LoadbalancerID: lb.ID, Protocol: pools.ProtocolHTTP, LBMethod: pools.LBMethodRoundRobin,
	}).Extract()
	must(t, err)
	made, err := monitors.Create(t.Context(), client, monitors.CreateOpts{
		PoolID: pool.ID, Name: "up", Type: "HTTP", Delay: 10, Timeout: 5, MaxRetries: 3, MaxRetriesDown: 4, URLPath: "/up", HTTPMethod: "HEAD",
		HTTPVersion: "1.1", DomainName: "example.com", ExpectedCodes: "200-204",
	}).Extract()
	must(t, err)
	active(t, client, lb.ID)
	found := one(t, monitors.List(client, monitors.ListOpts{PoolID: pool.ID}), monitors.ExtractMonitors)
	equal(t, "id", found.ID, made.ID)
	changed, err := monitors.Update(t.Context(), client, made.ID, monitors.UpdateOpts{Delay: 20, ExpectedCodes: "200"}).Extract()
	must(t, err)
	equal(t, "delay", changed.Delay, 20)
	active(t, client, lb.ID)
	shown, err := monitors.Get(t.Context(), client, made.ID).Extract()
	must(t, err)
	equal(t, "version", shown.HTTPVersion, "1.1")
	equal(t, "method", shown.HTTPMethod, "HEAD")
	equal(t, "codes", shown.ExpectedCodes, "200")
	equal(t, "pool", shown.Pools[0].ID, pool.ID)
	must(t, monitors.Delete(t.Context(), client, made.ID).ExtractErr())
	active(t, client, lb.ID)
	_, err = monitors.Get(t.Context(), client, made.ID).Extract()
	refused(t, err, http.StatusNotFound)
}
