# SPDX-License-Identifier: Apache-2.0
"""The embedded cloud with its state in PostgreSQL: it serves, comes back, and keeps to its database."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from octavia_provider.kit import paths
from postgresql import Server, postgresql, postgresql_server

from .installation import Installation, Load, make_stack
from .test_pairs import flavor, roles

__all__ = ["postgresql", "postgresql_server"]


def octaviactl(site: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "octavia_provider.cli.main", *words, "--home", str(site.home)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.timeout(240)
def test_state_in_postgresql__over_restarts_of_both__and_no_other_home_or_database(
    site: Installation, postgresql: str, postgresql_server: Server
) -> None:
    site.purge()
    site.options = ("--database", postgresql)
    site.start()
    stack = make_stack(site, members=1, flavor_id=flavor(site))
    assert sorted(roles(site).values()) == ["BACKUP", "MASTER"]
    assert not paths.database(site.home).exists()
    with Load(stack.url) as load:
        postgresql_server.stop(signal.SIGQUIT)
        postgresql_server.start()
        site.update("listener", stack.listener["id"], description="after a restart of the server")
        site.kill()
        site.start()
        shown = site.update("listener", stack.listener["id"], description="after a crash of the control plane")
        assert shown["provisioning_status"] == "ACTIVE"
        load.more(50)
    assert not load.failures
    site.stop()
    refused = octaviactl(site, "serve")
    assert refused.returncode != 0
    assert "keeps its state in postgresql" in refused.stderr + refused.stdout
    assert "keeps its state in postgresql" in octaviactl(site, "adopt").stderr
    site.start()
