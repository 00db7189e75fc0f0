# SPDX-License-Identifier: Apache-2.0
"""The client of a control plane that serves Keystone's users."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from octavia_provider.model.errors import Unauthenticated

from . import endpoints
from .client import Client
from .deadline import Deadline
from .keystone import Login

if TYPE_CHECKING:
    import ssl

    import httpx2

UNKNOWN = "http://catalogue"
"""Stands for the URL until the catalogue has been asked."""


class SignedInClient(Client):
    """``url`` None: that of the load balancing service in Keystone's catalogue.

    ``at_once``: a token goes with every request; else from the first one on that is refused without (401), so that a control plane
    that asks for none costs no login. ``tell`` hears once, for people, which credentials are used and where.
    """

    def __init__(
        self, login: Login, url: str | None = None, *, at_once: bool = True, tell: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(endpoints.checked(url) if url else UNKNOWN)
        self._login, self._in_catalogue, self._signs_in = login, url is None, at_once
        self._tell: Callable[[str], None] | None = tell
        self._telling = threading.Lock()

    def _send(
        self, method: str, path: str, options: Mapping[str, Any], deadline: Deadline, subject: str, *,
        stream: bool = False,
    ) -> httpx2.Response:  # fmt: skip
        renewed = False
        while True:
            signed_in = self._signs_in
            headers = {**options["headers"], **(self._login.headers() if signed_in else {})}
            try:
                response = super()._send(
                    method, path, {**options, "headers": headers}, deadline, subject, stream=stream
                )
            except Unauthenticated:
                if renewed:
                    raise
                if signed_in:
                    self._login.renew()
                self._signs_in, renewed = True, signed_in
            else:
                if signed_in:
                    self._report()
                return response

    def _open(self, deadline: Deadline) -> httpx2.Client:
        if self._in_catalogue:
            self._urls = [endpoints.checked(self._login.endpoint)]
        return super()._open(deadline)

    def _verify(self) -> bool | ssl.SSLContext:
        return self._login.tls if self.url.startswith("https:") else super()._verify()

    def _report(self) -> None:
        with self._telling:
            tell, self._tell = self._tell, None
        if tell is not None:
            where = "of Keystone's catalogue" if self._in_catalogue else "that was given"
            project = f", project {self._login.project_id}" if self._login.project_id else ""
            tell(f"signed in with {self._login.source}{project}; the control plane is {self.url}, the endpoint {where}")
