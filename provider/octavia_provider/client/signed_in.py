# SPDX-License-Identifier: Apache-2.0
"""The client of a control plane that serves Keystone's users."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from octavia_provider.model.errors import Unauthenticated

from .deadline import Deadline
from .keystone import Login
from .located import LocatedClient

if TYPE_CHECKING:
    import httpx2


class SignedInClient(LocatedClient):
    """``url`` None: that of the load balancing service in Keystone's catalogue.

    ``at_once``: a token goes with every request; else from the first one on that is refused without (401), so that a control plane
    that asks for none costs no login. ``tell`` hears once, for people, which credentials are used and where.
    """

    _login: Login

    def __init__(
        self, login: Login, url: str | None = None, *, at_once: bool = True, tell: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(login, url)
        self._signs_in = at_once
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

    def _report(self) -> None:
        with self._telling:
            tell, self._tell = self._tell, None
        if tell is not None:
            where = "of Keystone's catalogue" if self._in_catalogue else "that was given"
            project = f", project {self._login.project_id}" if self._login.project_id else ""
            tell(f"signed in with {self._login.source}{project}; the control plane is {self.url}, the endpoint {where}")
