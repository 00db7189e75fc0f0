# SPDX-License-Identifier: Apache-2.0
"""`octaviactl start` after a reboot: when it returns, not one request fails; and it says who does not serve."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from .installation import Installation, all_answer, ask, make_stack, until

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]
MONITOR = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 2, "url_path": "/"}


def start(site: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "octavia_provider.cli.main", "start", "--home", str(site.home), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("monitor", [MONITOR, None], ids=["monitored", "not monitored"])
def test_no_request_fails_once_start_has_returned(site: Installation, monitor: dict[str, object] | None) -> None:
    stack = make_stack(site, members=2, monitor=monitor)
    until(lambda: all_answer(stack), what="all members to answer")
    holder = site.holder
    site.kill()
    os.kill(holder, signal.SIGKILL)
    done = start(site)
    assert done.returncode == 0, done.stderr
    assert [ask(stack.url)[0] for _ in range(50)] == [200] * 50
    assert start(site).stdout.endswith("every load balancer that should serve does\n")


def test_a_pool_without_a_member_that_is_up_is_named(site: Installation) -> None:
    stack = make_stack(site, members=0, monitor=MONITOR)
    site.create("member", parent=stack.pool["id"], name="away", address="10.254.254.254", protocol_port=80)
    until(lambda: stack.operating("pool", stack.pool["id"]) == "ERROR", what="the pool to be found down")
    done = start(site, "--timeout", "1")
    assert done.returncode == 1
    assert "no member of pool" in done.stderr
