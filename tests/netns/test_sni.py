# SPDX-License-Identifier: Apache-2.0
"""Of the certificates of a listener, the one with the most exact name is shown, whatever its key and its place."""

from __future__ import annotations

import itertools
import ssl
from typing import Any

import pytest

import pem

from .installation import Installation, until
from .test_tls import begin, container, host, listener, pool, served, update
from .tls_client import Seen, ask, refused

pytestmark = pytest.mark.timeout(300)

KEYS = {"ec": pem.make("key").key, "rsa": pem.make("key", rsa_bits=2048).key, "ed25519": pem.ed25519()}
ONLY_RSA: dict[str, Any] = {"newest": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}
ONLY_EC: dict[str, Any] = {"newest": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}
WILD, API = "*.example.com", "api.example.com"


@pytest.mark.covers("listener.sni_container_refs", "listener.default_tls_container_ref")
def test_the_most_exact_name_wins(site: Installation) -> None:
    stack = begin(site)
    plain = pool(stack, host(stack, "m1"))
    pairs: dict[str, pem.Pair] = {}

    def make(label: str, key: str, *names: str, common: str = "") -> str:
        pairs[label] = pem.named(KEYS[key], common or names[0], names)
        return container(site, label, **pairs[label].container())

    ids = {
        "default": make("default", "ec", "default.test"), "wild": make("wild", "ec", WILD, "example.com"),
        "api": make("api", "rsa", API), "modern": make("modern", "ed25519", "ed.example.com"),
        "wild-rsa": make("wild-rsa", "rsa", WILD), "liar": make("liar", "ec", "liar.test", common="www.example.com"),
        "old": make("old", "rsa", common="Old.Example.com"),
    }  # fmt: skip
    web = listener(stack, default_pool_id=plain["id"], default_tls_container_ref=ids["default"])
    url = str(web["url"])
    until(lambda: served(url), what="the listener to answer")

    def shown(name: str | None, **options: Any) -> str:
        found: Seen = ask(url, name, **options)
        return next(label for label, pair in pairs.items() if pair.serial == found.serial)

    def serve(first: str, *others: str) -> None:
        refs = [ids[one] for one in others]
        update(site, "listener", web["id"], default_tls_container_ref=ids[first], sni_container_refs=refs)

    expected = {API: "api", "ed.example.com": "modern", "other.example.com": "wild", "www.example.com": "wild",
                "old.example.com": "old", "API.EXAMPLE.com": "api", "liar.test": "liar", "example.com": "wild"}  # fmt: skip
    orders = itertools.permutations(("wild", "api", "modern", "wild-rsa", "liar", "old"))
    for order in [("api", "wild", "old", "liar", "wild-rsa", "modern"), *itertools.islice(orders, 0, 720, 240)]:
        serve(*order)
        assert {name: shown(name) for name in expected} == expected, order
        assert [shown(None), shown("nowhere.test")] == [order[0]] * 2
        assert [shown("other.example.com", **ONLY_RSA), shown(API, **ONLY_RSA)] == ["wild-rsa", "api"]

    # the same name with keys of both kinds: each client is shown what it can use
    ids["both"] = make("both", "ec", API)
    serve("default", "wild", "api", "both")
    assert [shown(API, **ONLY_RSA), shown(API, **ONLY_EC), shown("x.example.com", **ONLY_EC)] == ["api", "both", "wild"]
    serve("default", "wild-rsa", "both")
    assert [shown(API), shown(API, **ONLY_EC), shown(API, **ONLY_RSA)] == ["both", "both", "wild-rsa"]

    # at run time: what comes, goes, and is renewed for other names
    serve("default", "api")
    workers = site.workers()
    serve("default", "api", "wild")
    assert [shown(API), shown("x.example.com")] == ["api", "wild"]
    assert site.workers() == workers  # without a reload
    serve("default", "wild")
    assert shown(API) == "wild"
    serve("default", "wild", "api")
    assert [shown(API), shown("x.example.com")] == ["api", "wild"]
    pairs["renewed"] = pem.named(KEYS["rsa"], "new.example.com", ["new.example.com"])
    update(site, "tls_container", ids["api"], **pairs["renewed"].container())
    assert [shown(API), shown("new.example.com"), shown("x.example.com")] == ["wild", "renewed", "wild"]
    update(site, "tls_container", ids["api"], **pairs["api"].container())
    assert [shown(API), shown("new.example.com")] == ["api", "wild"]
    pairs["again"] = pem.named(KEYS["ec"], WILD, [WILD, "example.com"])
    workers = site.workers()
    update(site, "tls_container", ids["wild"], **pairs["again"].container())
    assert [shown(API), shown("x.example.com"), shown("example.com")] == ["api", "again", "again"]
    assert site.workers() == workers
    update(site, "listener", web["id"], timeout_client_data=40_000)  # a reload reads the list anew
    assert [shown(API), shown("x.example.com"), refused(url, API)] == ["api", "again", ""]
