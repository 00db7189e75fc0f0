# SPDX-License-Identifier: Apache-2.0
"""Changes under constant TLS load: L7 policies, pools, authorities and revocation lists; no request and no handshake fails."""

from __future__ import annotations

import pem

from .installation import Installation, until
from .test_tls import begin, container, host, listener, pool, served, update
from .tls_client import Handshakes, ask, context, refused


def test_l7_changes_and_pool_switches__no_request_fails(site: Installation) -> None:
    root = pem.authority("root")
    stack = begin(site)
    one, two = (pool(stack, host(stack, name)) for name in ("m1", "m2"))
    cert = container(site, "cert", **pem.make("a.test", root).container())
    web = listener(stack, default_pool_id=one["id"], default_tls_container_ref=cert)
    url = str(web["url"])
    until(lambda: served(url))
    update(site, "listener", web["id"], default_pool_id=two["id"])
    until(lambda: served(url))
    with Handshakes(url, root) as load:
        for target, name in ((one, "m1"), (two, "m2"), (one, "m1")):
            update(site, "listener", web["id"], default_pool_id=target["id"])
            assert ask(url, trust=root).said["name"] == name
            load.more(10)
        policy = site.create(
            "l7_policy", listener_id=web["id"], action="REDIRECT_TO_POOL", redirect_pool_id=two["id"], name="to two"
        )
        rule = site.create("l7_rule", parent=policy["id"], type="PATH", compare_type="STARTS_WITH", value="/two")
        assert ask(url, trust=root, path="/two").said["name"] == "m2"
        assert ask(url, trust=root).said["name"] == "m1"
        load.more(10)
        site.update("l7_rule", rule["id"], parent=policy["id"], value="/zwei")
        assert [ask(url, trust=root, path=path).said["name"] for path in ("/two", "/zwei")] == ["m1", "m2"]
        update(site, "l7_policy", policy["id"], action="REJECT")
        assert ask(url, trust=root, path="/zwei").status == 403
        site.delete("l7_policy", policy["id"])
        assert ask(url, trust=root, path="/zwei").said["name"] == "m1"
        load.more(10)
    assert load.failures == []


def test_new_authorities_and_revocation_lists__no_handshake_fails__no_worker_changes(site: Installation) -> None:
    root, ca, other = pem.authority("root"), pem.authority("one"), pem.authority("two")
    alice, bob, eve = pem.make("alice", ca), pem.make("bob", ca), pem.make("eve", other)
    stack = begin(site)
    plain = pool(stack, host(stack, "m1"))
    cert = container(site, "cert", **pem.make("a.test", root).container())
    trusted, revoked = container(site, "ca", ca_certificates=ca.pem), container(site, "crl", crl=pem.crl(ca))
    web = listener(
        stack, default_pool_id=plain["id"], default_tls_container_ref=cert, client_authentication="MANDATORY",
        client_ca_tls_container_ref=trusted, client_crl_container_ref=revoked,
    )  # fmt: skip
    url = str(web["url"])
    until(lambda: served(url, client=alice))
    workers = site.workers()
    with Handshakes(url, root, client=alice) as load:
        assert refused(url, client=eve)
        update(site, "tls_container", revoked, crl=pem.crl(ca) + pem.crl(other))
        update(site, "tls_container", trusted, ca_certificates=ca.pem + other.pem)
        assert ask(url, client=eve).status == 200
        load.more(10)
        assert ask(url, client=bob).status == 200
        update(site, "tls_container", revoked, crl=pem.crl(ca, bob) + pem.crl(other))
        assert "revoked" in refused(url, using=context(client=bob))
        load.more(10)
        assert site.workers() == workers
        update(site, "listener", web["id"], timeout_client_data=40_000)  # a reload: what was told is in the files too
        assert site.workers() != workers
        assert "revoked" in refused(url, client=bob)
        assert ask(url, client=eve).status == 200
        load.more(10)
    assert load.failures == []
