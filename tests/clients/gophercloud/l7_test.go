// SPDX-License-Identifier: Apache-2.0

package gophercloud

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/l7policies"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
)

func TestL7PoliciesAndRules(t *testing.T) {
	t.Parallel()
	client := member(t)
	lb := balancer(t, client, "l7")
	listener, err := listeners.Create(t.Context(), client, listeners.CreateOpts{
		LoadbalancerID: lb.ID, Protocol: listeners.ProtocolHTTP, ProtocolPort: 80,
	}).Extract()
	must(t, err)
	made, err := l7policies.Create(t.Context(), client, l7policies.CreateOpts{
		ListenerID: listener.ID, Name: "away", Action: l7policies.ActionRedirectPrefix, RedirectPrefix: "https://example.com",
		RedirectHttpCode: 308, Position: 1,
	}).Extract()
	must(t, err)
	active(t, client, lb.ID)
	found := one(t, l7policies.List(client, l7policies.ListOpts{ListenerID: listener.ID, AdminStateUp: true}), l7policies.ExtractL7Policies)
	equal(t, "id", found.ID, made.ID)
	equal(t, "code", found.RedirectHttpCode, 308)
	changed, err := l7policies.Update(t.Context(), client, made.ID, l7policies.UpdateOpts{
		Action: l7policies.ActionReject, Description: pointer("one"),
	}).Extract()
	must(t, err)
	equal(t, "action", changed.Action, "REJECT")
	active(t, client, lb.ID)
	rule, err := l7policies.CreateRule(t.Context(), client, made.ID, l7policies.CreateRuleOpts{
		RuleType: l7policies.TypeHeader, CompareType: l7policies.CompareTypeEqual, Key: "X-Test", Value: "no", Invert: true,
	}).Extract()
	must(t, err)
	active(t, client, lb.ID)
	equal(t, "rule", one(t, l7policies.ListRules(client, made.ID, nil), l7policies.ExtractRules).ID, rule.ID)
	_, err = l7policies.UpdateRule(t.Context(), client, made.ID, rule.ID, l7policies.UpdateRuleOpts{
		RuleType: l7policies.TypePath, CompareType: l7policies.CompareTypeRegex, Value: "^/a", Key: pointer(""), Invert: pointer(false),
	}).Extract()
	must(t, err)
	active(t, client, lb.ID)
	shown, err := l7policies.GetRule(t.Context(), client, made.ID, rule.ID).Extract()
	must(t, err)
	equal(t, "value", shown.Value, "^/a")
	equal(t, "inverted", shown.Invert, false)
	policy, err := l7policies.Get(t.Context(), client, made.ID).Extract()
	must(t, err)
	equal(t, "its rule", policy.Rules[0].ID, rule.ID)
	must(t, l7policies.DeleteRule(t.Context(), client, made.ID, rule.ID).ExtractErr())
	active(t, client, lb.ID)
	must(t, l7policies.Delete(t.Context(), client, made.ID).ExtractErr())
	active(t, client, lb.ID)
	_, err = l7policies.Get(t.Context(), client, made.ID).Extract()
	refused(t, err, http.StatusNotFound)
}
