# SPDX-License-Identifier: Apache-2.0
"""``octaviactl logs``: what the control plane, an amphora or a host wrote."""

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
    """Show the control plane's log, or that of NAME: a load balancer (its amphora's), a host, or a part of an id or of a
    log's name.

    With --json each line is a JSON object; one that was none stands under `event`.
    """
    from octavia_provider.kit import paths

    where = paths.home(home)
    found = {path.stem: path for path in sorted((where / "log").glob("*.log"))}
    if list_:
        _list(where, found, as_json=as_json)
        return
    path = paths.log_file(where) if name in (None, CONTROL_PLANE) else pick(where, found, str(name))
    if not path.exists():
        raise NotFound("has not been written yet.", subject=f"the log {path}")
    for line in _follow(path, lines) if follow else _last(path, lines):
        if as_json:
            console.say_json(_object(line), indent=None)
        else:
            console.say(*readable(line))


def _list(where: Path, found: Mapping[str, Path], *, as_json: bool) -> None:
    owners = {stem: label for label, stems in _owners(where, found).items() for stem in stems}
    logs = [{"log": CONTROL_PLANE, "of": ""}, *({"log": stem, "of": owners.get(stem, "")} for stem in found)]
    if as_json:
        console.say_json({"logs": logs})
        return
    for log in logs:
        console.say(f"{log['log']}  {log['of']}".rstrip())


def pick(where: Path, found: Mapping[str, Path], name: str) -> Path:
    """The log that is meant; ``NotFound`` where there is none, or several."""
    from octavia_provider.model.naming import means

    matches, known = [stem for stem in found if name in stem], False
    if not matches:
        for label, stems in _owners(where, found).items():
            if means(name, "", label.partition(" ")[2]):
                known = True
                matches += stems
    if len(matches) != 1:
        nothing = "has written nothing yet" if known else "has no log"
        what = f"matches several logs: {', '.join(matches)}" if matches else nothing
        raise NotFound(f"{what}.", subject=name, hint="octaviactl logs --list")
    return found[matches[0]]


def _owners(where: Path, found: Mapping[str, Path]) -> dict[str, list[str]]:
    """``load-balancer web`` or ``host one`` → the logs of it, by what the control plane or its store says."""
    from . import overview_source

    try:
        client = options.running_client(str(where), None)
        overview = overview_source.overview(client) if client else overview_source.unknown(where, None)
    except Unreachable as error:
        overview = overview_source.unknown(where, error)
    owners: dict[str, list[str]] = {}
    for label, ids in _named(overview):
        owners.setdefault(label, []).extend(stem for stem in found if any(id_ in stem for id_ in ids))
    return owners


def _named(overview: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for balancer in overview["load_balancers"]:
        ids = [str(amphora["id"]) for amphora in balancer.get("amphorae", ())]
        yield f"load-balancer {health.name(balancer)}", ids
    for host in overview.get("hosts", ()):
        yield f"host {health.name(host)}", [host["id"]]


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"event": line}


def readable(line: str) -> Iterable[object]:
    """``2026-01-01 12:00:00  warning  what happened  key=value …``; a line that is no JSON object as it is."""
    facts = _object(line)
    if "event" not in facts or len(facts) == 1:
        return (line,)
    when = str(facts.pop("timestamp", ""))[:19].replace("T", " ")
    level, event = str(facts.pop("level", "")), facts.pop("event")
    rest = "  ".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in facts.items())
    mark = styled(f"{level:<8}", fg=_LEVELS.get(level, "green"))
    return (styled(f"{when}  ", dim=True), mark, f" {event}  {rest}".rstrip())


def _last(path: Path, lines: int) -> list[str]:
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
