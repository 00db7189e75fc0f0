# SPDX-License-Identifier: Apache-2.0
"""``octaviactl logs``: the logs of the control plane, amphorae and hosts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from octavia_provider.kit import console
from octavia_provider.kit.console import styled
from octavia_provider.model.errors import NotFound, Unreachable

from . import health, options

CONTROL_PLANE = "control-plane"
_LEVELS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "bright_black"}


@click.command()
@click.argument("name", required=False, metavar="[NAME|ID]")
@click.option(
    "--lines", "-n", default=50, show_default=True, type=click.IntRange(0), help="How many of the last lines."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written, until interrupted.")
@click.option("--list", "list_", is_flag=True, help="List the logs there are.")
@options.as_json
@options.home
def logs(*, name: str | None, lines: int, follow: bool, list_: bool, as_json: bool, home: str | None) -> None:
    """Show the control plane's log, or that of NAME: one of several control planes, a load balancer (its amphora's), a host,
    or a part of an id or of a log's name.

    With --json each line is a JSON object; one that was none stands under `event`.
    """
    from octavia_provider.kit import paths

    where = paths.home(home)
    log_files = {path.stem: path for path in sorted((where / "log").glob("*.log"))}
    if list_:
        _list(where, log_files, as_json=as_json)
        return
    own = {instance.name: paths.log_file(instance) for instance in _instances(where)}
    if name in (None, CONTROL_PLANE):
        path = next((log for log in (paths.log_file(where), *own.values()) if log.exists()), paths.log_file(where))
    else:
        path = own.get(str(name)) or find_log(where, log_files, str(name))
    if not path.exists():
        raise NotFound("has not been written yet.", subject=f"the log {path}")
    for line in _follow(path, lines) if follow else _last_lines(path, lines):
        if as_json:
            console.echo_json(_parse(line), indent=None)
        else:
            console.echo(*format_line(line))


def _list(where: Path, log_files: Mapping[str, Path], *, as_json: bool) -> None:
    owners = {stem: label for label, stems in _owners(where, log_files).items() for stem in stems}
    planes = [{"log": instance.name, "of": "control plane"} for instance in _instances(where)]
    logs = [
        {"log": CONTROL_PLANE, "of": ""},
        *planes,
        *({"log": stem, "of": owners.get(stem, "")} for stem in log_files),
    ]
    if as_json:
        console.echo_json({"logs": logs})
        return
    for log in logs:
        console.echo(f"{log['log']}  {log['of']}".rstrip())


def _instances(where: Path) -> list[Path]:
    from octavia_provider.kit import paths

    return paths.instances(where)[1:]


def find_log(where: Path, log_files: Mapping[str, Path], name: str) -> Path:
    """The log file of that name; ``NotFound`` when none or several match."""
    from octavia_provider.model.naming import means

    matches, is_known = [stem for stem in log_files if name in stem], False
    if not matches:
        for label, stems in _owners(where, log_files).items():
            if means(name, "", label.partition(" ")[2]):
                is_known = True
                matches += stems
    if len(matches) != 1:
        none = "has written nothing yet" if is_known else "has no log"
        message = f"matches several logs: {', '.join(matches)}" if matches else none
        raise NotFound(f"{message}.", subject=name, hint="octaviactl logs --list")
    return log_files[matches[0]]


def _owners(where: Path, log_files: Mapping[str, Path]) -> dict[str, list[str]]:
    """``load-balancer web`` or ``host one`` → its log files, from the control plane or else the store."""
    from . import overview_source

    try:
        client = options.running_client(str(where), None)
        overview = overview_source.overview(client) if client else overview_source.offline_overview(where, None)
    except Unreachable as error:
        overview = overview_source.offline_overview(where, error)
    owners: dict[str, list[str]] = {}
    for label, ids in _labels(overview):
        owners.setdefault(label, []).extend(stem for stem in log_files if any(id_ in stem for id_ in ids))
    return owners


def _labels(overview: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for balancer in overview["load_balancers"]:
        ids = [str(amphora["id"]) for amphora in balancer.get("amphorae", ())]
        yield f"load-balancer {health.name(balancer)}", ids
    for host in overview.get("hosts", ()):
        yield f"host {health.name(host)}", [host["id"]]


def _parse(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"event": line}


def format_line(line: str) -> Iterable[object]:
    """``2026-01-01 12:00:00  warning  event  key=value …``; lines that are not JSON are unchanged."""
    facts = _parse(line)
    if "event" not in facts or len(facts) == 1:
        return (line,)
    when = str(facts.pop("timestamp", ""))[:19].replace("T", " ")
    level, event = str(facts.pop("level", "")), facts.pop("event")
    rest = "  ".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in facts.items())
    mark = styled(f"{level:<8}", fg=_LEVELS.get(level, "green"))
    return (styled(f"{when}  ", dim=True), mark, f" {event}  {rest}".rstrip())


def _last_lines(path: Path, lines: int) -> list[str]:
    written = path.read_bytes().decode(errors="replace").removesuffix("\n").split("\n")
    return written[max(0, len(written) - lines) :]


def _follow(path: Path, lines: int) -> Iterator[str]:
    command = ["tail", "-n", str(lines), "-F", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tail:
        if tail.stdout is None:
            raise ValueError("tail was started without a pipe")
        try:
            for line in tail.stdout:
                yield line.decode(errors="replace").rstrip("\n")
        finally:
            tail.terminate()
