# SPDX-License-Identifier: Apache-2.0
"""URLs that a user, the environment or a catalogue names."""

from __future__ import annotations

from octavia_provider.kit import urls
from octavia_provider.model.errors import Invalid, Violation


def checked(where: str, what: str = "a control plane") -> str:
    """The URLs, separated by commas; ``Invalid`` where one is none of ``what``: requests to it would be retried to no end."""
    named = urls.endpoints(where)
    wrong = [one for one in named if not urls.is_endpoint(one)]
    if wrong or not named:
        shown = repr(wrong[0] if wrong else where)
        raise Invalid([Violation(("endpoint",), f"{shown} is no URL of {what}, as http://host:9876 is")])
    return where
