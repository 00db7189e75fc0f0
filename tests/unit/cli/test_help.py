# SPDX-License-Identifier: Apache-2.0
"""What --help and docs/reference/octaviactl.md tell: every variable that is read, every exit code, every question's -y."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import octavia_provider
from command_line import octaviactl
from octavia_provider.cli import environment, exit_codes
from octavia_provider.cli import main as entry

SOURCE = Path(octavia_provider.__file__).parent
READ = re.compile(r"""(?:environ(?:\.get\(|\[)|getenv\(|envvar=|VARIABLE = )\s*"([A-Z][A-Z_]+)\"""")
# Of the system, or of what we start ourselves.
OTHERS = {"PATH", "TERM", "HOME", "GRPC_VERBOSITY", "PYTHONPATH", "NOTIFY_SOCKET"}


def every_command() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    context = click.Context(entry.octaviactl)
    for name in entry.COMMANDS:
        command = entry.octaviactl.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", one) for inner, one in command.commands.items()]
    return found


def test_every_variable_that_is_read_is_told() -> None:
    read = {name for path in SOURCE.rglob("*.py") for name in READ.findall(path.read_text())} - OTHERS
    assert read <= environment.VARIABLES.keys()
    assert len(read) >= 5
    done = octaviactl("--help")
    for name in environment.VARIABLES:
        assert name in done.stdout


def test_every_exit_code_is_told() -> None:
    done = octaviactl("--help")
    for number, meaning in exit_codes.MEANINGS.items():
        assert re.search(rf"^ +{number} +{re.escape(meaning)}$", done.stdout, re.MULTILINE)


def test_what_asks_can_be_told_not_to() -> None:
    for name, command in every_command():
        source = Path(sys.modules[getattr(command.callback, "__wrapped__", command.callback).__module__].__file__ or "")
        options = {option for parameter in command.params for option in parameter.opts}
        if "--yes" in options:
            assert "-y" in options, name
        if name in ("leftovers", "purge", "adopt", "up", "destroy", "refresh", "stack rm", "stack forget"):
            assert "--yes" in options, name
        assert source.exists()


TELLING = (
    "status",
    "config",
    "try",
    "logs",
    "doctor",
    "ids",
    "leftovers",
    "start",
    "up",
    "preview",
    "destroy",
    "refresh",
)


@pytest.mark.parametrize(
    "name", [*TELLING, "adopt", "purge", "service install", "service uninstall", "stack init", "stack select", "stack ls",
             "stack output", "stack import", "stack rm", "stack forget"],
)  # fmt: skip
def test_what_tells_something_has_json(name: str) -> None:
    command = dict(every_command())[name]
    assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = octaviactl("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_OCTAVIACTL_COMPLETE" in done.stdout


def test_bash_completes_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "octavia_provider.cli.main"], capture_output=True, text=True, check=False,
        env={"_OCTAVIACTL_COMPLETE": "bash_complete", "COMP_WORDS": "octaviactl sta", "COMP_CWORD": "1"},
    )  # fmt: skip
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == {"stack", "start", "status"}
