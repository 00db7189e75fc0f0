# SPDX-License-Identifier: Apache-2.0
"""The unit file: paths are words, whatever is in them."""

from __future__ import annotations

from pathlib import Path

from octavia_provider.render.systemd import unit


def command(**values: Path | str | None) -> str:
    text = unit(python="/usr/bin/python3", home=Path("/var/lib/octavia"), **{"templates_dir": None, **values})  # type: ignore[arg-type]
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    return line.partition("=")[2]


def test_the_command() -> None:
    assert command() == "/usr/bin/python3 -P -m octavia_provider.cli.main serve --stay --home /var/lib/octavia"


def test_templates_of_an_operator() -> None:
    assert command(templates_dir=Path("/etc/octavia/templates")).endswith(" --templates-dir /etc/octavia/templates")


def test_what_systemd_would_read_otherwise_is_quoted() -> None:
    assert command(templates_dir=Path('/a b/%h/$HOME/"\\')).endswith(r' --templates-dir "/a b/%%h/$$HOME/\"\\"')


def test_one_of_several_control_planes_on_a_database() -> None:
    assert command(database="postgresql:///octavia?host=/run/postgresql", name="two").endswith(
        ' --database "postgresql:///octavia?host=/run/postgresql" --name two'
    )
