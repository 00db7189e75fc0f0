// SPDX-License-Identifier: Apache-2.0

package gophercloud

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/amphorae"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/flavorprofiles"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/providers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/quotas"
)

func TestFlavorsAndTheirProfiles(t *testing.T) {
	t.Parallel()
	client := admin(t)
	profile, err := flavorprofiles.Create(t.Context(), client, flavorprofiles.CreateOpts{
		Name: "p", ProviderName: "amphora", FlavorData: `{"loadbalancer_topology": "SINGLE"}`,
	}).Extract()
	must(t, err)
	_, err = flavorprofiles.Update(t.Context(), client, profile.ID, flavorprofiles.UpdateOpts{FlavorData: `{"loadbalancer_topology": "ACTIVE_STANDBY"}`}).Extract()
	must(t, err)
	shown, err := flavorprofiles.Get(t.Context(), client, profile.ID).Extract()
	must(t, err)
	equal(t, "data", shown.FlavorData, `{"loadbalancer_topology": "ACTIVE_STANDBY"}`)
	equal(t, "profile", one(t, flavorprofiles.List(client, flavorprofiles.ListOpts{Name: "p"}), flavorprofiles.ExtractFlavorProfiles).ID, profile.ID)
	flavor, err := flavors.Create(t.Context(), client, flavors.CreateOpts{Name: "pair", FlavorProfileId: profile.ID, Enabled: true}).Extract()
	must(t, err)
	_, err = flavors.Update(t.Context(), client, flavor.ID, flavors.UpdateOpts{Description: "two", Enabled: true}).Extract()
	must(t, err)
	equal(t, "flavor", one(t, flavors.List(client, flavors.ListOpts{Name: "pair", Enabled: pointer(true)}), flavors.ExtractFlavors).Description, "two")
	found, err := flavors.Get(t.Context(), member(t), flavor.ID).Extract()
	must(t, err)
	equal(t, "its profile", found.FlavorProfileId, profile.ID)
	refused(t, flavors.Delete(t.Context(), member(t), flavor.ID).ExtractErr(), http.StatusForbidden)
	must(t, flavors.Delete(t.Context(), client, flavor.ID).ExtractErr())
	must(t, flavorprofiles.Delete(t.Context(), client, profile.ID).ExtractErr())
}

// It runs before those that run in parallel: no other may count.
func TestQuota(t *testing.T) {
	client := admin(t)
	project := balancer(t, client, "quota").ProjectID
	changed, err := quotas.Update(t.Context(), client, project, quotas.UpdateOpts{Loadbalancer: pointer(1), Member: pointer(-1)}).Extract()
	must(t, err)
	equal(t, "limit", changed.Loadbalancer, 1)
	found, err := quotas.Get(t.Context(), member(t), project).Extract()
	must(t, err)
	equal(t, "limit", found.Loadbalancer, 1)
	_, err = loadbalancers.Create(t.Context(), client, loadbalancers.CreateOpts{Name: "second", VipSubnetID: subnet()}).Extract()
	refused(t, err, http.StatusForbidden)
	must(t, quotas.Delete(t.Context(), client, project).ExtractErr())
}

func TestProviders(t *testing.T) {
	t.Parallel()
	client := admin(t)
	found := all(t, providers.List(client, nil), providers.ExtractProviders)
	equal(t, "provider", found[0].Name, "amphora")
	flavor, err := providers.ListFlavorCapabilities(t.Context(), client, "amphora", nil).Extract()
	must(t, err)
	equal(t, "capabilities of flavors", len(flavor) > 0, true)
	_, err = providers.ListAvailabilityZoneCapabilities(t.Context(), client, "amphora", nil).Extract()
	must(t, err)
}

func TestAmphoraeAndFailover(t *testing.T) {
	t.Parallel()
	client := admin(t)
	lb := balancer(t, client, "amphorae")
	amphora := one(t, amphorae.List(client, amphorae.ListOpts{LoadbalancerID: lb.ID}), amphorae.ExtractAmphorae)
	equal(t, "status", amphora.Status, "ALLOCATED")
	shown, err := amphorae.Get(t.Context(), client, amphora.ID).Extract()
	must(t, err)
	equal(t, "its load balancer", shown.LoadbalancerID, lb.ID)
	equal(t, "role", shown.Role, "STANDALONE")
	must(t, amphorae.Failover(t.Context(), client, amphora.ID).ExtractErr())
	other := replaced(t, client, lb.ID, amphora.ID)
	must(t, loadbalancers.Failover(t.Context(), client, lb.ID).ExtractErr())
	replaced(t, client, lb.ID, other)
}

// replaced is the amphora that stands in the place of another one.
func replaced(t *testing.T, client *gophercloud.ServiceClient, lb, before string) string {
	t.Helper()
	active(t, client, lb)
	now := one(t, amphorae.List(client, amphorae.ListOpts{LoadbalancerID: lb}), amphorae.ExtractAmphorae)
	equal(t, "another one", now.ID != before, true)
	return now.ID
}
