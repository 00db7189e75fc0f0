# SPDX-License-Identifier: Apache-2.0
"""What an answer holds, and whether it may be one of the API that was asked: at a wrong URL another service answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from octavia_provider.model.errors import PermanentError

if TYPE_CHECKING:
    import httpx2


class WrongService(PermanentError):
    """Another service answers at this URL."""


def otherness(response: httpx2.Response) -> str:
    """Why a response below 400 is none of our APIs, which answer 2xx with a JSON object or with nothing; "" where it may be one."""
    if response.status_code == 300:  # Keystone, Glance and others answer / so
        return "its versions are those of another service"
    if response.status_code > 300:
        return f"it redirects to {response.headers.get('Location') or 'nowhere'}"
    body = response.content.lstrip()
    return "" if not body or body.startswith((b"{", b"null")) else "no JSON object"


def part(response: httpx2.Response, key: str) -> Any:
    """What the JSON object has under ``key``; None where it lacks it."""
    found = json_of(response)
    return found.get(key) if isinstance(found, Mapping) else None


def json_of(response: httpx2.Response) -> Any:
    """Its body; None where it is no JSON."""
    try:
        return response.json()
    except ValueError:
        return None
