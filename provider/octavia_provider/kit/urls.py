# SPDX-License-Identifier: Apache-2.0
"""URLs from user input."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def endpoints(text: str) -> list[str]:
    """The control planes that are named, separated by commas: any of them will do."""
    return [one.strip().rstrip("/") for one in text.split(",") if one.strip()]


def is_endpoint(text: str) -> bool:
    """Whether it is an http or https URL with a host, or ``unix://`` with the path of a socket."""
    return socket_path(text) is not None or parse_http(text) is not None


def socket_path(text: str) -> str | None:
    """The path in ``unix:///path/api.sock``; None for anything else."""
    path = text.removeprefix("unix://")
    return path if path != text and path.startswith("/") else None


def parse_http(text: str) -> SplitResult | None:
    """The parts of an http or https URL with a host; None for anything else."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if fits else None
