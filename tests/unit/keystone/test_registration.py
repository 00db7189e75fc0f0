# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from keystoneauth1.exceptions import ConnectFailure, Forbidden

from octavia_provider.keystone.registration import Registration, register, unregister
from octavia_provider.keystone.rules import ROLES
from octavia_provider.model.errors import Refused, Unreachable

URLS = {"public": "https://lb:9876", "internal": "https://lb:9876", "admin": "http://10.0.0.1:9876"}
WANTED = Registration(urls=URLS, region="one")


class Catalogue:
    """The calls of openstacksdk's identity proxy that are made."""

    def __init__(self) -> None:
        self.identity = self
        self.found: dict[str, list[Any]] = {"service": [], "endpoint": [], "role": []}

    def _make(self, what: str, **values: Any) -> Any:
        made = SimpleNamespace(id=f"{what}{len(self.found[what])}", **values)
        self.found[what].append(made)
        return made

    def services(self, type: str) -> list[Any]:  # noqa: A002
        return [one for one in self.found["service"] if one.type == type]

    def endpoints(self, service_id: str) -> list[Any]:
        return [one for one in self.found["endpoint"] if one.service_id == service_id]

    def roles(self) -> list[Any]:
        return self.found["role"]

    def create_service(self, **values: Any) -> Any:
        return self._make("service", **values)

    def create_endpoint(self, **values: Any) -> Any:
        return self._make("endpoint", **values)

    def create_role(self, **values: Any) -> Any:
        return self._make("role", **values)

    def update_endpoint(self, id_: str, url: str) -> None:
        next(one for one in self.found["endpoint"] if one.id == id_).url = url

    def delete_endpoint(self, id_: str) -> None:
        self.found["endpoint"] = [one for one in self.found["endpoint"] if one.id != id_]

    def delete_service(self, id_: str) -> None:
        self.found["service"] = [one for one in self.found["service"] if one.id != id_]


def test_it_is_registered_once_and_changed_in_place() -> None:
    catalogue = Catalogue()
    assert len(register(catalogue, WANTED)) == 1 + len(URLS) + len(ROLES)
    assert register(catalogue, WANTED) == []
    changed = Registration(urls={**URLS, "public": "https://other"}, region="one", roles=())
    assert register(catalogue, changed) == ["changed the public endpoint from https://lb:9876 to https://other"]
    assert {one.interface: one.url for one in catalogue.found["endpoint"]} == changed.urls


def test_the_service_goes_with_its_last_region() -> None:
    catalogue = Catalogue()
    register(catalogue, WANTED)
    register(catalogue, Registration(urls=URLS, region="two"))
    unregister(catalogue, "one")
    assert {one.region_id for one in catalogue.found["endpoint"]} == {"two"}
    assert catalogue.found["service"]
    unregister(catalogue, "two")
    assert not catalogue.found["endpoint"] + catalogue.found["service"]
    assert len(catalogue.found["role"]) == len(ROLES)
    assert unregister(catalogue, "two") == []


@pytest.mark.parametrize(("error", "kind"), [(Forbidden("no"), Refused), (ConnectFailure("gone"), Unreachable)])
def test_keystone_refuses_in_its_own_words(error: Exception, kind: type[Exception]) -> None:
    catalogue = Catalogue()

    def fail(**_: Any) -> None:
        raise error

    catalogue.create_service = fail  # type: ignore[method-assign]
    with pytest.raises(kind, match=re.escape(str(error))):
        register(catalogue, WANTED)


def test_several_services_of_the_type_are_nobodys_to_choose_from() -> None:
    catalogue = Catalogue()
    for name in ("a", "b"):
        catalogue.create_service(type="load-balancer", name=name)
    with pytest.raises(Refused, match=r"several services of type load-balancer: a \(service0\), b \(service1\)"):
        register(catalogue, WANTED)
