# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that use the kernel."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from . import stacks
from .agents import Amphora, serving
from .installation import Installation, installation
from .sandbox import Sandbox, sandbox

ENDLESS = 180
"""Seconds after which a test that says nothing else hangs: many processes start in each, and the machine may be busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.netns)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(ENDLESS))


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A home whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="oct-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def walls() -> Iterator[Sandbox]:
    """Namespaces of this test's own."""
    yield from sandbox()


@pytest_asyncio.fixture
async def amphora(walls: Sandbox, tmp_path: Path) -> AsyncIterator[Amphora]:
    """An agent that has nothing in force yet, and three members."""
    async for made in serving(walls, tmp_path):
        yield made


@pytest.fixture
def site(short_home: Path) -> Iterator[Installation]:
    """A running installation of this test's own."""
    with installation(short_home) as running:
        yield running


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.pulumi_cli] * (name == "pulumi")) for name in stacks.ENGINES]
)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine there is."""
    if request.param == "pulumi" and not stacks.have_pulumi():
        pytest.skip("the pulumi CLI and pulumi-language-python are not on PATH")
    return str(request.param)


@pytest.fixture
def project(engine: str, short_home: Path, tmp_path: Path) -> Iterator[stacks.Project]:
    """A Pulumi project with a home of its own; what it made is purged at the end."""
    made = stacks.Project(engine, tmp_path / "project", short_home)
    try:
        yield made
    finally:
        made.tell()
        made.site.purge()
