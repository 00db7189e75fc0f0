// SPDX-License-Identifier: Apache-2.0

// Package gophercloud runs gophercloud's calls of the load-balancer service against a control plane. The environment says who logs on
// (OS_AUTH_URL and its like), and TEST_SUBNET_ID on which subnet VIPs are made. ADMIN_USERNAME is an administrator of the same project.
package gophercloud

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

const patience = 60 * time.Second

// connect logs on as the user of the environment, or as another one of its project.
func connect(t *testing.T, user string) *gophercloud.ServiceClient {
	t.Helper()
	options, err := openstack.AuthOptionsFromEnv()
	must(t, err)
	options.DomainName = os.Getenv("OS_USER_DOMAIN_NAME") // which it does not read
	if user != "" {
		options.Username = user
	}
	provider, err := openstack.AuthenticatedClient(t.Context(), options)
	must(t, err)
	client, err := openstack.NewLoadBalancerV2(provider, gophercloud.EndpointOpts{Region: os.Getenv("OS_REGION_NAME")})
	must(t, err)
	return client
}

func member(t *testing.T) *gophercloud.ServiceClient { return connect(t, "") }

func admin(t *testing.T) *gophercloud.ServiceClient { return connect(t, os.Getenv("ADMIN_USERNAME")) }

func subnet() string { return os.Getenv("TEST_SUBNET_ID") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, found, wanted T) {
	t.Helper()
	if found != wanted {
		t.Errorf("%s: %v, not %v", what, found, wanted)
	}
}

// one is the only object of all pages.
func one[T any](t *testing.T, pager pagination.Pager, extract func(pagination.Page) ([]T, error)) T {
	t.Helper()
	found := all(t, pager, extract)
	if len(found) != 1 {
		t.Fatalf("%d objects, not 1: %+v", len(found), found)
	}
	return found[0]
}

func all[T any](t *testing.T, pager pagination.Pager, extract func(pagination.Page) ([]T, error)) []T {
	t.Helper()
	pages, err := pager.AllPages(t.Context())
	must(t, err)
	found, err := extract(pages)
	must(t, err)
	return found
}

// balancer makes a load balancer that is ACTIVE, and takes it away with all of its parts.
func balancer(t *testing.T, client *gophercloud.ServiceClient, name string) *loadbalancers.LoadBalancer {
	t.Helper()
	made, err := loadbalancers.Create(t.Context(), client, loadbalancers.CreateOpts{Name: name, VipSubnetID: subnet()}).Extract()
	must(t, err)
	t.Cleanup(func() { gone(t, client, made.ID) })
	return active(t, client, made.ID)
}

// active waits as most programs do: they ask again until the load balancer is ACTIVE.
func active(t *testing.T, client *gophercloud.ServiceClient, id string) *loadbalancers.LoadBalancer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found *loadbalancers.LoadBalancer
	err := gophercloud.WaitFor(ctx, func(ctx context.Context) (bool, error) {
		var err error
		found, err = loadbalancers.Get(ctx, client, id).Extract()
		return err == nil && found.ProvisioningStatus == "ACTIVE", err
	})
	must(t, err)
	return found
}

// gone deletes a load balancer with all of its parts, where it is there, and waits until nothing is found.
func gone(t *testing.T, client *gophercloud.ServiceClient, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's own has ended
	defer cancel()
	err := loadbalancers.Delete(ctx, client, id, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr()
	if err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		t.Error(err)
	}
	err = gophercloud.WaitFor(ctx, func(ctx context.Context) (bool, error) {
		_, err := loadbalancers.Get(ctx, client, id).Extract()
		if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		t.Error(err)
	}
}

func refused(t *testing.T, err error, status int) {
	t.Helper()
	if !gophercloud.ResponseCodeIs(err, status) {
		t.Errorf("not refused with %d: %v", status, err)
	}
}

func pointer[T any](value T) *T { return &value }
