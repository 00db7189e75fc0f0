# SPDX-License-Identifier: Apache-2.0
"""URLs from user input."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def parse_http(text: str) -> SplitResult | None:
    """The parts of an http or https URL with a host; None for anything else."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if fits else None
