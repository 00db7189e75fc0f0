# SPDX-License-Identifier: Apache-2.0
"""OpenStack's clients that are written in Go. ``make test-clients`` builds them from their modules; no other run collects these."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulation.cloud import IPV4

from .keystone import PASSWORD, PROJECT, REGION

collect_ignore_glob = [] if os.environ.get("OCTAVIA_TEST_CLIENTS") else ["test_*.py"]
TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Served:
    """Where a control plane serves users, and what the clients' programs know of it. ``folder``: its log is there."""

    auth_url: str
    folder: Path

    def environment(self, user: str = "ann") -> dict[str, str]:
        """How a user logs on, as ``openrc`` files say it, and what tests need beside."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return clean | {
            "OS_AUTH_URL": self.auth_url, "OS_USERNAME": user, "OS_PASSWORD": PASSWORD, "OS_PROJECT_ID": PROJECT,
            "OS_USER_DOMAIN_NAME": "Default", "OS_REGION_NAME": REGION, "ADMIN_USERNAME": "root", "TEST_SUBNET_ID": IPV4,
        }  # fmt: skip


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """One control plane for all clients."""
    with tempfile.TemporaryDirectory(prefix="oct-") as folder:  # socket paths must be short
        log = Path(folder, "log")
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "clients.served", folder], cwd=TESTS, stdout=subprocess.PIPE, stderr=errors,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
            )  # fmt: skip
        try:
            assert process.stdout is not None
            said = process.stdout.readline().decode().strip()
            assert said, log.read_text()[-3000:]
            yield Served(said, Path(folder))
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture(autouse=True)
def log_where_it_fails(request: pytest.FixtureRequest, served: Served) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print((served.folder / "log").read_text()[-6000:])
