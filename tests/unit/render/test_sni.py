# SPDX-License-Identifier: Apache-2.0
"""Which lines of a list say for which names their certificates are, and for which not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import pem
from octavia_provider.render import sni

EC, RSA, ED = "ec", "rsa", "ed25519"
KEYS = {kind: pem.make("key", **options).key for kind, options in ((EC, {}), (RSA, {"rsa_bits": 2048}))}
KEYS[ED] = pem.ed25519()


def certificate(key: str, *names: str, common: str | None = None) -> str:
    return pem.named(KEYS[key], common or (names[0] if names else "nobody"), names).pem


WILD, API = "*.example.com", "api.example.com"


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([(EC, WILD), (RSA, API)], {0: (WILD, f"!{API}")}),
        ([(RSA, API), (EC, WILD)], {1: (WILD, f"!{API}")}),
        ([(RSA, WILD), (EC, API)], {}),  # haproxy's own order; who cannot use ECDSA is served by the wildcard
        ([(RSA, WILD), (RSA, API)], {}),
        ([(RSA, WILD), (ED, API), (EC, WILD)], {0: (WILD, f"!{API}"), 2: (WILD, f"!{API}")}),
        ([(EC, WILD), (RSA, API), (EC, API)], {}),
        ([(EC, WILD, API), (RSA, API)], {}),
        ([(EC, WILD), (RSA, "API.Example.COM", "a.b.example.com", "example.com")], {0: (WILD, f"!{API}")}),
        ([(EC, WILD, "*.example.net"), (RSA, "x.example.net", API)],
         {0: (WILD, "*.example.net", f"!{API}", "!x.example.net")}),
        ([(EC, WILD)], {}),
    ],
)  # fmt: skip
def test_a_wildcard_that_would_go_before_a_name__is_not_for_it(
    listed: Sequence[tuple[str, ...]], said: dict[int, object]
) -> None:
    files = {f"{n}.pem": certificate(key, *names) for n, (key, *names) in enumerate(listed)}
    assert sni.filters(files) == {f"{n}.pem": words for n, words in said.items()}


def test_a_common_name_beside_alternative_names_is_none() -> None:
    liar = certificate(EC, "other.example.com", common=API)
    old = certificate(RSA, common=API)  # without alternative names it is one
    assert sni.filters({"liar": liar, "wild": certificate(RSA, WILD)}) == {"liar": ("other.example.com",)}
    assert sni.filters({"liar": liar, "true": certificate(RSA, API)}) == {"liar": ("other.example.com",)}
    assert sni.filters({"liar": liar, "else": certificate(RSA, "x.test")}) == {}
    assert sni.filters({"wild": certificate(EC, WILD), "old": old}) == {"wild": (WILD, f"!{API}")}
    assert sni.filters({"free": certificate(EC, common="A Company, Inc."), "old": old}) == {}
