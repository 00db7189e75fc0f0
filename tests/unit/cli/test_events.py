# SPDX-License-Identifier: Apache-2.0
"""``octaviactl events`` and ``history``: what was decided, of what, how often; names, codes, JSON lines; what comes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider.cli import exit_codes
from octavia_provider.cli.history import span
from octavia_provider.model.events import Reason
from real_plane import RealPlane
from unit.store.opening import record as stored


@pytest.fixture(scope="module")
def plane() -> Iterator[RealPlane]:
    """With a load balancer that has lived, one that has not, and one that is gone."""
    with RealPlane() as made:
        web = made.make("web-0a1b2c3")["id"]
        made.run(made.plane.store.write(lambda tx: tx.insert(stored("load_balancer", name="quiet"))))
        record(made, Reason.ControlPlaneStarted, "began", control_plane="one")
        record(made, Reason.AmphoraBooted, "runs", load_balancer_id=web, amphora_id="a" * 36, data={"seconds": 2.5})
        record(made, Reason.ConfigurationApplied, "in force", load_balancer_id=web)
        record(made, Reason.ConfigurationApplied, "in force", load_balancer_id=web)
        record(
            made, Reason.ConfigurationRefused, "unknown keyword", load_balancer_id=web, object_kind="listener",
            object_id="b" * 36, data={"name": "tls"},
        )  # fmt: skip
        record(made, Reason.AmphoraLost, "does not run", load_balancer_id=web, amphora_id="a" * 36)
        group = {"object_kind": "amphora_group", "object_id": "c" * 36, "data": {"name": "apps"}}
        record(made, Reason.AmphoraBooted, "runs for it", amphora_id="d" * 36, **group)
        gone = made.run(made.plane.balancer("gone"))["id"]
        record(made, Reason.LoadBalancerDeleted, "is gone", load_balancer_id=gone)
        made.run(made.plane.call("DELETE", f"/lbaas/loadbalancers/{gone}", wait=10))
        yield made


def record(plane: RealPlane, reason: Reason, message: str, **about: Any) -> None:
    event = reason.event(message, **about)
    plane.run(plane.plane.store.write(lambda tx: tx.record(event)))


def told(*arguments: str) -> list[str]:
    done = octaviactl(*arguments)
    assert done.returncode == exit_codes.OK, done.stderr
    return done.stdout.splitlines()


def reasons(lines: list[str]) -> list[str]:
    return [json.loads(line)["reason"] for line in lines]


def test_events_say_when_what_of_what_and_how_often(plane: RealPlane) -> None:
    lines = told("events", "--home", plane.home)
    assert [line[21:].split(": ", 1) for line in lines] == [
        [
            "info     LoadBalancerCreated     load balancer web-0a1b2c3",
            "A load balancer was asked for; its address is 10.1.0.2",
        ],
        ["info     ControlPlaneStarted     control plane one", "began"],
        ["info     AmphoraBooted           load balancer web-0a1b2c3, amphora aaaaaaaa", "runs"],
        ["info     ConfigurationApplied    load balancer web-0a1b2c3", lines[3].split(": ", 1)[1]],
        ["error    ConfigurationRefused    load balancer web-0a1b2c3, listener tls", "unknown keyword"],
        ["warning  AmphoraLost             load balancer web-0a1b2c3, amphora aaaaaaaa", "does not run"],
        ["info     AmphoraBooted           amphora group apps, amphora dddddddd", "runs for it"],
        [
            "info     LoadBalancerCreated     load balancer gone",
            "A load balancer was asked for; its address is 10.1.1.2",
        ],
        ["info     LoadBalancerDeleted     load balancer gone", "is gone"],
    ]
    assert "in force (×2 since 2" in lines[3]
    assert len(told("events", "-n", "2", "--home", plane.home)) == 2


def test_events_are_chosen(plane: RealPlane) -> None:
    for arguments, expected in (
        (["-l", "web", "-s", "warning"], ["ConfigurationRefused", "AmphoraLost"]),
        (["-l", "gone", "-l", "web", "-r", "amphoralost", "-r", "LoadBalancerDeleted"], ["AmphoraLost", "LoadBalancerDeleted"]),
        (["--since", "1h", "-s", "error"], ["ConfigurationRefused"]),
        (["--since", "2100-01-01"], []),
        (["-l", "quiet"], []),
    ):  # fmt: skip
        assert reasons(told("events", "--json", *arguments, "--home", plane.home)) == expected, arguments


def test_what_cannot_be_answered_has_codes(plane: RealPlane, tmp_path: Any) -> None:
    for command in (["events", "-l", "nobody"], ["history", "nobody"]):
        done = octaviactl(*command, "--home", plane.home)
        assert (done.returncode, done.stdout) == (exit_codes.NOT_FOUND, "")
        assert "load balancer nobody: does not exist. Try: octaviactl status" in done.stderr
    for command in (["events"], ["history", "web"]):
        assert octaviactl(*command, "--home", str(tmp_path)).returncode == exit_codes.NO_CONTROL_PLANE
    for wrong in (["-r", "Nothing"], ["--since", "soon"], ["-s", "bad"]):
        assert octaviactl("events", *wrong, "--home", plane.home).returncode == exit_codes.USAGE
    assert "no events" in octaviactl("events", "-l", "quiet", "--home", plane.home).stderr


def test_history_is_a_life_in_order(plane: RealPlane) -> None:
    lines = told("history", "web", "--home", plane.home)
    assert lines[0].startswith("web-0a1b2c3  ")
    assert lines[1].split() == ["time", "(UTC)", "after", "generation", "reason", "of", "what"]
    assert "LoadBalancerCreated" in lines[2]
    words = [line.split(maxsplit=2)[2] for line in lines[3:-1]]
    assert "AmphoraBooted" in words[0]
    assert words[0].endswith("amphora aaaaaaaa  runs, in 2.5 s")
    assert "in force (×2 since" in words[1]
    assert words[2].endswith("ConfigurationRefused  listener tls      unknown keyword")
    assert words[3].endswith("AmphoraLost           amphora aaaaaaaa  does not run")
    assert lines[-1].startswith(f"amphora {'a' * 36}: since 2")
    found = [json.loads(line) for line in told("history", "web", "--json", "--home", plane.home)]
    assert [event["after"] is None for event in found] == [True, False, False, False, False]
    assert "is gone" in told("history", "gone", "--home", plane.home)[-1]


def test_an_amphora_group_has_a_history_and_events_of_its_own(plane: RealPlane) -> None:
    lines = told("history", "c" * 36, "--home", plane.home)
    assert lines[0] == f"amphora group apps  {'c' * 36}"
    assert lines[2].endswith("AmphoraBooted  amphora dddddddd  runs for it")
    (line,) = told("events", "--group", "c" * 36, "--home", plane.home)
    assert line.endswith("AmphoraBooted           amphora group apps, amphora dddddddd: runs for it")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0214, "0.0214 s"), (12.34, "12.3 s"), (300, "5 min"), (10_000, "2.78 h"), (1_000_000, "12 d"), (-1, "-1 s")],
)
def test_spans_are_short(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.timeout(200)
def test_following_goes_on_with_what_comes() -> None:
    command = [
        sys.executable,
        "-m",
        "octavia_provider.cli.main",
        "events",
        "--follow",
        "--json",
        "-n",
        "1",
        "-s",
        "error",
    ]
    with RealPlane() as plane:
        record(plane, Reason.OrphanFound, "before")
        with subprocess.Popen([*command, "--home", plane.home], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            deadline = threading.Timer(140, process.kill)  # it fails then, and does not take the tests' process along
            deadline.start()
            try:
                assert json.loads(process.stdout.readline())["message"] == "before"
                record(plane, Reason.AmphoraLost, "is a warning")
                record(plane, Reason.OrphanFound, "after")
                assert json.loads(process.stdout.readline())["message"] == "after"
            finally:
                code = interrupted(process)
                deadline.cancel()
            assert code == exit_codes.INTERRUPTED


def interrupted(process: subprocess.Popen[str]) -> int:
    """Its exit code."""
    process.send_signal(signal.SIGINT)
    return process.wait()


def test_a_status_in_error_shows_the_last_warning() -> None:
    with RealPlane() as plane:
        plane.plane.refuse.add("web")
        id_ = plane.make("web")["id"]
        record(plane, Reason.AmphoraLost, "does not run any more", load_balancer_id=id_)
        record(plane, Reason.AmphoraBooted, "runs", load_balancer_id=id_)
        shown = octaviactl("status", "--home", plane.home).stdout
        assert "AmphoraLost at 2" in shown
        assert "does not run any more" in shown
        plane.make("good")
        (good,) = json.loads(octaviactl("status", "good", "--json", "--home", plane.home).stdout)["load_balancers"]
        assert good["last_warning"] is None
