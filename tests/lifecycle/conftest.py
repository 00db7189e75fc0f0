# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest

from control_plane import ControlPlane
from provider_process import Provider, provider
from real_plane import RealPlane


@pytest.fixture
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane | RealPlane]:
    with RealPlane() if getattr(request, "param", "small") == "real" else ControlPlane() as running:
        yield running


@pytest.fixture
def octavia(plane: ControlPlane | RealPlane) -> Iterator[Provider]:
    with provider() as running:
        running.configure(**({"home": plane.home} if plane.home else {"endpoint": plane.url}))
        yield running
