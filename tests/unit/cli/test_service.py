# SPDX-License-Identifier: Apache-2.0
"""octaviactl service install --print: the unit, without systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import octaviactl


def test_the_unit_of_one_of_several_control_planes(tmp_path: Path) -> None:
    options = ("--home", str(tmp_path), "--database", "postgresql:///octavia", "--name", "two", "--print")
    printed = octaviactl("service", "install", *options)
    assert printed.returncode == 0
    assert f"serve --stay --home {tmp_path} --database postgresql:///octavia --name two\n" in printed.stdout
    assert (
        '"unit": "/etc/systemd/system/octavia-two.service"'
        in octaviactl("service", "install", *options, "--json").stdout
    )


def test_a_unit_may_name_a_file_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "octavia.toml"
    file.write_text("")
    printed = octaviactl("service", "install", "--home", str(tmp_path), "--config", str(file), "--print")
    assert f"serve --stay --home {tmp_path} --config {file}\n" in printed.stdout
    assert octaviactl("service", "install", "--config", f"{file}x", "--print").returncode == 2


def test_a_unit_has_the_home_that_its_file_of_settings_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCTAVIA_HOME", raising=False)
    file, home = tmp_path / "octavia.toml", tmp_path / "h"
    file.write_text(f'home = "{home}"\n')
    printed = octaviactl("service", "install", "--config", str(file), "--print")
    assert f"serve --stay --home {home} --config {file}\n" in printed.stdout, printed.stderr
    other = tmp_path / "other"
    printed = octaviactl("service", "install", "--home", str(other), "--config", str(file), "--print")
    assert f"serve --stay --home {other} --config {file}\n" in printed.stdout, printed.stderr


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--database", "postgresql://me:secret@db/octavia", "has a password"),
        ("--name", "../two", "is no name of a control plane"),
    ],
)
def test_what_a_unit_may_not_say_is_refused(tmp_path: Path, option: str, value: str, why: str) -> None:
    refused = octaviactl("service", "install", "--home", str(tmp_path), option, value, "--print")
    assert refused.returncode != 0
    assert why in refused.stderr
    assert "secret" not in refused.stderr
