# SPDX-License-Identifier: Apache-2.0
"""The endpoint and the TLS of clients that sign in: both kinds alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from octavia_provider.client.deadline import Deadline
from octavia_provider.client.located import LocatedClient
from octavia_provider.client.signed_in import SignedInClient
from octavia_provider.client.stock.service import StockClient
from octavia_provider.model.errors import Invalid
from stock_octavia import StockOctavia

both = pytest.mark.parametrize("make", [SignedInClient, StockClient])
Make = Callable[[Any, str | None], LocatedClient]


class VerificationAsked(Exception):
    pass


class Login:
    """Of a catalogue with this endpoint; counts how often it was asked for."""

    service_id, project_id, source = "octavia", "p", "a test"

    def __init__(self, endpoint: str) -> None:
        self._endpoint, self.asked = endpoint, 0

    def headers(self) -> dict[str, str]:
        return {"X-Auth-Token": "token"}

    @property
    def endpoint(self) -> str:
        self.asked += 1
        return self._endpoint

    @property
    def tls(self) -> bool:
        raise VerificationAsked


def get(client: LocatedClient) -> None:
    client.request("GET", "/", deadline=Deadline(5))
    client.close()


@both
@pytest.mark.parametrize("given", [True, False])
def test_the_catalogue_says_where_it_is_unless_the_endpoint_is_given(make: Make, given: bool) -> None:
    with StockOctavia() as service:
        login = Login("http://elsewhere.invalid" if given else service.url)
        get(make(login, service.url if given else None))
        assert (len(service.requests), login.asked) == (1, int(not given))


@both
@pytest.mark.parametrize("given", [None, "https://127.0.0.1:1"])
def test_the_login_says_how_a_certificate_is_verified(make: Make, given: str | None) -> None:
    with pytest.raises(VerificationAsked):
        get(make(Login("https://127.0.0.1:1"), given))


@both
def test_a_catalogue_with_no_url_is_told_of(make: Make) -> None:
    with pytest.raises(Invalid, match="is no URL of"):
        get(make(Login("nowhere"), None))
