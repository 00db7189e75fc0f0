# SPDX-License-Identifier: Apache-2.0
"""OpenStack's libraries, which are there where the extra ``openstack`` is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from octavia_provider.model.errors import Refused


@contextmanager
def needed() -> Iterator[None]:
    """Around their imports: ``Refused`` says what to install."""
    try:
        yield
    except ImportError as error:
        raise Refused(
            f"needs {error.name}, which is not installed", subject="OpenStack",
            hint="PREFIX/lib/octavia/bin/pip install --require-hashes -r requirements/openstack.txt",
        ) from None  # fmt: skip
