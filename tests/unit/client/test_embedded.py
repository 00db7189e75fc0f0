# SPDX-License-Identifier: Apache-2.0
"""Starting, finding, renewing and stopping the embedded control plane: the real one, without any object."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from octavia_provider.client import embedded
from octavia_provider.client.deadline import Deadline
from octavia_provider.kit import paths
from octavia_provider.model.errors import Conflict, Interrupted, PermanentError

pytestmark = pytest.mark.timeout(300)
PATIENCE = 120.0
"""Seconds for a start: a check of the machine and the control plane, each with 2 s of imports, on a busy machine."""


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="octavia-") as folder:  # pytest's folders are too long for a socket
        yield Path(folder)
        embedded.stop(Path(folder), Deadline(PATIENCE))


def facts(home: Path) -> dict[str, object]:
    client = embedded.connect(home=str(home), start=False)
    try:
        return client.control_plane(deadline=Deadline(10))
    finally:
        client.close()


def test_many_that_come_at_once_start_one_and_it_is_renewed_in_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "s3cret")
    monkeypatch.setenv("OCTAVIA_IDLE_SECONDS", "3600")
    starters = [threading.Thread(target=embedded.ensure_running, args=(home, Deadline(PATIENCE))) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    first = facts(home)
    pid = int(str(first["pid"]))
    assert os.getsid(pid) == pid, "it has a session of its own"
    assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()

    with monkeypatch.context() as older:
        older.setattr(embedded, "__version__", "0.0.9")
        with pytest.raises(Conflict, match=r"is version 0\.1\.0, and this plugin is the older 0\.0\.9"):
            embedded.ensure_running(home, Deadline(10))
    with monkeypatch.context() as newer:
        newer.setattr(embedded, "__version__", "0.2.0")
        embedded.ensure_running(home, Deadline(PATIENCE))
    second = facts(home)
    assert second["id"] == first["id"], "the same control plane"
    assert second["pid"] != first["pid"], "in another process"
    embedded.stop(home, Deadline(PATIENCE))
    assert not embedded.running(home)


def test_a_start_that_fails_says_what_the_log_says(home: Path) -> None:
    (home / "octavia.db").mkdir()
    with pytest.raises(PermanentError, match=r"ended with code \d+ while starting: .*octavia\.db"):
        embedded.ensure_running(home, Deadline(PATIENCE))
    (home / "octavia.db").rmdir()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("TEMPLATES_DIR", "/nonexistent", "'/nonexistent' does not exist"), ("IDLE_SECONDS", "abc", "and is 'abc'")],
)
def test_a_start_with_a_wrong_setting_names_it(
    name: str, value: str, words: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OCTAVIA_{name}", value)
    with pytest.raises(PermanentError, match=rf"OCTAVIA_{name}.*: .*{words}.*Try: octaviactl serve --help"):
        embedded.ensure_running(home, Deadline(PATIENCE))
    assert list(home.iterdir()) == []


def test_a_cancelled_start_does_not_wait_for_another_process(home: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with embedded._lock(home, Deadline(5)), pytest.raises(Interrupted, match="another process was starting it"):
        embedded.ensure_running(home, Deadline(5, cancelled))


def test_a_look_starts_nothing(home: Path) -> None:
    with pytest.raises(PermanentError, match="does not run"):
        facts(home)
    assert list(home.iterdir()) == []


def test_of_several_control_planes_of_a_home_another_one_is_asked_each_time_one_fails(home: Path) -> None:
    with contextlib.ExitStack() as stack:
        for name in (None, "one", "two"):
            folder = paths.instance(home, name)
            folder.mkdir(parents=True, exist_ok=True)
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(paths.api_socket(folder)))
            if name:  # the one without a name has ended, and left its socket
                listening.listen()
        turns = embedded._Turns(home, start=False)
        assert [turns(Deadline(1)).parent.name for _ in range(3)] == ["one", "two", "one"]


def test_which_control_plane_is_meant(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("OCTAVIA_ENDPOINT", "http://there")
    assert embedded.endpoint() == "http://there"
    assert embedded.endpoint("http://here") == "http://here"
    assert embedded.endpoint(home="/x") is None
    monkeypatch.setenv("OCTAVIA_HOME", str(home))
    assert paths.home() == home.resolve()
    assert paths.home("/somewhere") == Path("/somewhere")


def test_a_home_too_deep_for_a_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="longer than 90 bytes"):
        embedded.running(tmp_path / ("x" * 90))
