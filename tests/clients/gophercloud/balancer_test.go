// SPDX-License-Identifier: Apache-2.0

package gophercloud

import (
	"net/http"
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/apiversions"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/l7policies"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/monitors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	found := all(t, apiversions.List(member(t)), apiversions.ExtractAPIVersions)
	current := found[len(found)-1]
	equal(t, "status", current.Status, "CURRENT")
	equal(t, "v2.0 is served", slices.ContainsFunc(found, func(v apiversions.APIVersion) bool { return v.ID == "v2.0" }), true)
}

func TestLoadBalancer(t *testing.T) {
	t.Parallel()
	client := member(t)
	made, err := loadbalancers.Create(t.Context(), client, loadbalancers.CreateOpts{
		Name: "web", Description: "one", VipSubnetID: subnet(), Provider: "amphora", AdminStateUp: pointer(true), Tags: []string{"a", "b"},
	}).Extract()
	must(t, err)
	equal(t, "status", made.ProvisioningStatus, "PENDING_CREATE")
	made = active(t, client, made.ID)
	equal(t, "operating status", made.OperatingStatus, "ONLINE")
	equal(t, "subnet", made.VipSubnetID, subnet())
	equal(t, "it has an address", made.VipAddress != "", true)
	equal(t, "provider", made.Provider, "amphora")
	equal(t, "times", made.CreatedAt.IsZero() || made.UpdatedAt.Before(made.CreatedAt), false)
	found := one(t, loadbalancers.List(client, loadbalancers.ListOpts{Name: "web", Tags: []string{"a"}}), loadbalancers.ExtractLoadBalancers)
	equal(t, "id", found.ID, made.ID)
	equal(t, "none", len(all(t, loadbalancers.List(client, loadbalancers.ListOpts{Name: "other"}), loadbalancers.ExtractLoadBalancers)), 0)

	changed, err := loadbalancers.Update(t.Context(), client, made.ID, loadbalancers.UpdateOpts{
		Name: pointer("shop"), Description: pointer(""), AdminStateUp: pointer(false), Tags: &[]string{"c"},
	}).Extract()
	must(t, err)
	equal(t, "name", changed.Name, "shop")
	changed = active(t, client, made.ID)
	equal(t, "description", changed.Description, "")
	equal(t, "up", changed.AdminStateUp, false)
	equal(t, "tags", slices.Equal(changed.Tags, []string{"c"}), true)

	statistics, err := loadbalancers.GetStats(t.Context(), client, made.ID).Extract()
	must(t, err)
	equal(t, "connections", statistics.ActiveConnections, 0)
	tree, err := loadbalancers.GetStatuses(t.Context(), client, made.ID).Extract()
	must(t, err)
	equal(t, "in the tree", tree.Loadbalancer.ID, made.ID)
	refused(t, loadbalancers.Failover(t.Context(), client, made.ID).ExtractErr(), http.StatusForbidden)

	must(t, loadbalancers.Delete(t.Context(), client, made.ID, nil).ExtractErr())
	gone(t, client, made.ID)
	_, err = loadbalancers.Get(t.Context(), client, made.ID).Extract()
	refused(t, err, http.StatusNotFound)
}

func TestAWholeLoadBalancerInOneCall(t *testing.T) {
	t.Parallel()
	client := member(t)
	made, err := loadbalancers.Create(t.Context(), client, loadbalancers.CreateOpts{
		Name: "whole", VipSubnetID: subnet(), Listeners: []listeners.CreateOpts{{
			Name: "http", Protocol: listeners.ProtocolHTTP, ProtocolPort: 80,
			DefaultPool: &pools.CreateOpts{
				Name: "web", Protocol: pools.ProtocolHTTP, LBMethod: pools.LBMethodRoundRobin,
				Members: []pools.CreateMemberOpts{{Address: "10.1.9.1", ProtocolPort: 8080}, {Address: "10.1.9.2", ProtocolPort: 8080}},
				Monitor: monitors.CreateOpts{Type: "HTTP", Delay: 5, Timeout: 3, MaxRetries: 2, URLPath: "/whole"},
			},
			L7Policies: []l7policies.CreateOpts{{
				Name: "moved", Action: l7policies.ActionRedirectToURL, RedirectURL: "https://example.com/",
				Rules: []l7policies.CreateRuleOpts{{RuleType: l7policies.TypePath, CompareType: l7policies.CompareTypeStartWith, Value: "/old"}},
			}},
		}},
	}).Extract()
	must(t, err)
	t.Cleanup(func() { gone(t, client, made.ID) })
	made = active(t, client, made.ID)
	equal(t, "listeners", len(made.Listeners), 1)
	equal(t, "pools", len(made.Pools), 1)
	tree, err := loadbalancers.GetStatuses(t.Context(), client, made.ID).Extract()
	must(t, err)
	listener := tree.Loadbalancer.Listeners[0]
	equal(t, "listener", listener.Name, "http")
	equal(t, "members", len(listener.Pools[0].Members), 2)
	// The tree names a monitor "health_monitor", as Octavia's does, which gophercloud does not read; L7 policies are in neither's.
	equal(t, "policies", len(all(t, l7policies.List(client, l7policies.ListOpts{Name: "moved", AdminStateUp: true}), l7policies.ExtractL7Policies)), 1)
	equal(t, "monitors", len(all(t, monitors.List(client, monitors.ListOpts{URLPath: "/whole"}), monitors.ExtractMonitors)), 1)
	refused(t, loadbalancers.Delete(t.Context(), client, made.ID, loadbalancers.DeleteOpts{}).ExtractErr(), http.StatusBadRequest)
}

func TestListener(t *testing.T) {
	t.Parallel()
	client := member(t)
	lb := balancer(t, client, "listeners")
	made, err := listeners.Create(t.Context(), client, listeners.CreateOpts{
		LoadbalancerID: lb.ID, Name: "http", Protocol: listeners.ProtocolHTTP, ProtocolPort: 80, ConnLimit: pointer(100),
		AllowedCIDRs: []string{"192.0.2.0/24"}, InsertHeaders: map[string]string{"X-Forwarded-For": "true"},
		TimeoutClientData: pointer(1000), TimeoutMemberData: pointer(2000), TimeoutMemberConnect: pointer(3000), TimeoutTCPInspect: pointer(4000),
		Tags: []string{"a"},
	}).Extract()
	must(t, err)
	active(t, client, lb.ID)
	found := one(t, listeners.List(client, listeners.ListOpts{LoadbalancerID: lb.ID, ProtocolPort: 80}), listeners.ExtractListeners)
	equal(t, "id", found.ID, made.ID)
	shown, err := listeners.Get(t.Context(), client, made.ID).Extract()
	must(t, err)
	equal(t, "status", shown.ProvisioningStatus, "ACTIVE")
	equal(t, "its load balancer", shown.Loadbalancers[0].ID, lb.ID)
	equal(t, "limit", shown.ConnLimit, 100)
	equal(t, "timeouts", [4]int{shown.TimeoutClientData, shown.TimeoutMemberData, shown.TimeoutMemberConnect, shown.TimeoutTCPInspect}, [4]int{1000, 2000, 3000, 4000})
	equal(t, "header", shown.InsertHeaders["X-Forwarded-For"], "true")
	changed, err := listeners.Update(t.Context(), client, made.ID, listeners.UpdateOpts{
		Name: pointer("web"), ConnLimit: pointer(-1), AllowedCIDRs: &[]string{}, InsertHeaders: &map[string]string{}, Tags: &[]string{},
	}).Extract()
	must(t, err)
	equal(t, "name", changed.Name, "web")
	active(t, client, lb.ID)
	shown, err = listeners.Get(t.Context(), client, made.ID).Extract()
	must(t, err)
	equal(t, "limit", shown.ConnLimit, -1)
	equal(t, "emptied", len(shown.AllowedCIDRs)+len(shown.InsertHeaders)+len(shown.Tags), 0)
	_, err = listeners.GetStats(t.Context(), client, made.ID).Extract()
	must(t, err)
	_, err = listeners.Create(t.Context(), client, listeners.CreateOpts{LoadbalancerID: lb.ID, Protocol: listeners.ProtocolTCP, ProtocolPort: 80}).Extract()
	refused(t, err, http.StatusConflict)
	must(t, listeners.Delete(t.Context(), client, made.ID).ExtractErr())
	active(t, client, lb.ID)
	_, err = listeners.Get(t.Context(), client, made.ID).Extract()
	refused(t, err, http.StatusNotFound)
}
