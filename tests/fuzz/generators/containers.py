# SPDX-License-Identifier: Apache-2.0
"""The TLS containers that drawn listeners and pools name: real ones, made once a session, with ids that are always the same."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from typing import Any

import pem
from octavia_provider.model.tls_container import TlsContainer
from octavia_provider.model.validation import validated

from .chance import Draw

_NAMES = ("elliptic", "chain", "rsa", "sealed", "authority", "authorities", "revoked", "all revoked")
_ID: Mapping[str, str] = {name: str(uuid.UUID(int=number)) for number, name in enumerate(_NAMES, start=0xAB00)}
BY_SORT: Mapping[str, tuple[str, ...]] = {
    "certificate": tuple(_ID[name] for name in _NAMES[:4]), "ca_certificates": tuple(_ID[name] for name in _NAMES[4:6]),
    "crl": tuple(_ID[name] for name in _NAMES[6:]),
}  # fmt: skip
SORTS: Mapping[str, str] = {
    "default_tls_container_ref": "certificate", "sni_container_refs": "certificate", "client_ca_tls_container_ref": "ca_certificates",
    "client_crl_container_ref": "crl", "tls_container_ref": "certificate", "ca_tls_container_ref": "ca_certificates",
    "crl_container_ref": "crl",
}  # fmt: skip
"""What each reference should find."""
LISTS_OF_ALL = _ID["all revoked"]


@functools.cache
def values() -> Mapping[str, Mapping[str, Any]]:
    """What each holds, by id, as the store has it."""
    ca, other = pem.authority(), pem.authority("other")
    middle = pem.authority("middle", ca)
    one = pem.make("one.test", ca)
    contents: Mapping[str, dict[str, Any]] = {
        "elliptic": one.container(),
        "chain": pem.make("*.three.test", middle).container(intermediates=middle.pem),
        "rsa": pem.make("api.three.test", ca, rsa_bits=2048).container(),
        "sealed": {"certificate": one.pem, "private_key": one.sealed_key("§ a\"b'"), "passphrase": "§ a\"b'"},
        "authority": {"ca_certificates": ca.pem},
        "authorities": {"ca_certificates": ca.pem + other.pem},
        "revoked": {"crl": pem.crl(ca, one)},
        "all revoked": {"crl": pem.crl(ca, one) + pem.crl(other)},
    }
    return {_ID[name]: validated(TlsContainer, contents[name]) for name in _NAMES}


def reference(draw: Draw, sort: str) -> str:
    """One that holds this sort of thing, in one of the forms of a reference; in few cases another, or none."""
    if draw.happens(1):
        sort = draw.choice(list(BY_SORT))
    id_ = str(uuid.UUID(int=draw.getrandbits(128))) if draw.happens(0.5) else draw.choice(BY_SORT[sort])
    return draw.choice(
        (id_, id_, id_.upper(), f"https://a.example/v1/containers/{id_}", f"x'\n\"/{id_}/", id_.replace("-", ""))
    )
