# SPDX-License-Identifier: Apache-2.0
"""Where a client's service is: at the endpoint that was given, or at that of Keystone's catalogue; and how its certificate is verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from . import endpoints
from .client import Client
from .deadline import Deadline
from .keystone import Login

if TYPE_CHECKING:
    import ssl

    import httpx2

UNKNOWN = "http://catalogue"
"""Stands for the URL until the catalogue has been asked."""


class LocatedClient(Client):
    """``endpoint`` None: that of the load balancing service in the catalogue of ``login``; ``login`` None: there is no catalogue."""

    expected: ClassVar[str] = "a control plane"
    """What is at the endpoint, for people."""

    def __init__(self, login: Login | None, endpoint: str | None) -> None:
        super().__init__(endpoints.checked(endpoint, self.expected) if endpoint else UNKNOWN)
        self._login, self._in_catalogue = login, not endpoint

    def _open(self, deadline: Deadline) -> httpx2.Client:
        if self._in_catalogue and self._login is not None:
            self._urls = [endpoints.checked(self._login.endpoint, self.expected)]
        return super()._open(deadline)

    def _verify(self) -> bool | ssl.SSLContext:
        return self._login.tls if self._login and self.url.startswith("https:") else super()._verify()
