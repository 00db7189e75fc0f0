# SPDX-License-Identifier: Apache-2.0
"""Two installations on one machine whose paths have the same hash: both publish, and neither is in the other's way."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from octavia_provider.clouds.netns import ranges

from .installation import Installation, installation, make_stack


@pytest.fixture
def sites() -> Iterator[tuple[Installation, Installation]]:
    with tempfile.TemporaryDirectory(prefix="oct-", dir="/tmp") as folder:
        one = Path(folder) / "one"
        alike = (
            path for number in range(10**6) if ranges._hashed(path := Path(folder) / str(number)) == ranges._hashed(one)
        )
        with installation(one) as first, installation(next(alike)) as second:
            yield first, second


def test_both_publish_at_one_port_and_keep_their_addresses(sites: tuple[Installation, Installation]) -> None:
    stacks = [make_stack(site, members=1) for site in sites]
    assert stacks[0].url != stacks[1].url
    for site in sites:
        site.kill()
        site.start()
    for stack in stacks:
        assert stack.site.get("listener", stack.listener["id"])["url"] == stack.url
    owners = json.loads((ranges.REGISTRY / "ranges.json").read_text()).values()
    assert {str(site.home) for site in sites} <= set(owners)
    sites[1].purge()
    assert str(sites[1].home) not in json.loads((ranges.REGISTRY / "ranges.json").read_text()).values()
