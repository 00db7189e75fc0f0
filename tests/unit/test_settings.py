# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from octavia_provider.cli.serve import serve
from octavia_provider.settings import Settings


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCTAVIA_IDLE_SECONDS", "2.5")
    monkeypatch.setenv("OCTAVIA_LOG_LEVEL", "")  # as good as not set
    assert (Settings(home=tmp_path).idle_seconds, Settings(home=tmp_path).log_level) == (2.5, "info")
    assert Settings(home=tmp_path, idle_seconds=None).idle_seconds is None


@pytest.mark.parametrize(
    ("options", "environment", "named"),
    [
        (["--idle-seconds", "-3"], {}, "--idle-seconds"),
        (["--idle-seconds", "nan"], {}, "--idle-seconds"),
        ([], {"OCTAVIA_IDLE_SECONDS": "soon"}, "OCTAVIA_IDLE_SECONDS"),
        ([], {"OCTAVIA_LOG_LEVEL": "loud"}, "OCTAVIA_LOG_LEVEL"),
        ([], {"OCTAVIA_HEARTBEAT_INTERVAL": "0"}, "OCTAVIA_HEARTBEAT_INTERVAL"),
        ([], {"OCTAVIA_HEARTBEAT_INTERVAL": "2"}, "OCTAVIA_HEARTBEAT_TIMEOUT"),
        ([], {"OCTAVIA_HEARTBEAT_TIMEOUT": "2.9"}, "OCTAVIA_HEARTBEAT_TIMEOUT"),
        ([], {"OCTAVIA_BREAKER_SHARE": "1.5"}, "OCTAVIA_BREAKER_SHARE"),
        (["--name", "../elsewhere"], {}, "--name"),
        (["--name", "one\n"], {}, "--name"),
        (["--lease-seconds", "1"], {}, "--lease-seconds"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(
    options: list[str], environment: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("octavia_provider.cli.serve._preflight", lambda _: None)
    answer = CliRunner().invoke(serve, ["--home", str(tmp_path), *options], env=environment)
    assert (answer.exit_code, f"Invalid value for {named}: " in answer.output) == (2, True)


def test_all_bad_settings_are_named(tmp_path: Path) -> None:
    wrong = {"OCTAVIA_IDLE_SECONDS": "abc", "OCTAVIA_LOG_LEVEL": "zz"}
    answer = CliRunner().invoke(serve, ["--home", str(tmp_path / "home"), "--check"], env=wrong)
    assert answer.exit_code == 2
    assert all(f"{name}: Input should be" in answer.output for name in wrong)
    assert not (tmp_path / "home").exists()
