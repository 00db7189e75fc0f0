# SPDX-License-Identifier: Apache-2.0
"""No text of others reaches a terminal but through ``kit.console`` and ``kit.terminal``, which escape it; every command."""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import octavia_provider
from command_line import octaviactl
from octavia_engine.display.json_output import EventLines, PreviewJson
from octavia_engine.display.live import LiveDisplay
from octavia_engine.display.plain import PlainDisplay
from octavia_engine.events import Display, Step, Summary
from octavia_engine.state import ResourceState
from real_plane import RealPlane

SOURCE = Path(octavia_provider.__file__).parent
WRITERS = {"click.echo", "click.secho", "click.confirm", "click.prompt", "click.style", "click.echo_via_pager", "print"}
# Where a display writes what it has escaped; the program's runner, which cannot import us; the schema, for a file.
ALLOWED = {"engine/display/plain.py": {"print"}, "engine/display/live.py": {"print"}, "engine/runner.py": {"print"}}
EVIL = "\x1b]0;owned\x07\x1b[31m\u202e\r\x9b2J\u2028"


@pytest.mark.parametrize("folder", ["cli", "engine", "plugin"])
def test_nobody_else_writes_on_the_terminal(folder: str) -> None:
    for path in (SOURCE / folder).rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {ast.unparse(call) for call in calls}
        assert not names & WRITERS - ALLOWED.get(name, set()), f"{name} writes past kit.console"


def harmless(text: str) -> bool:
    return text.replace("\n", "").replace("\t", "").isprintable()


def tell(display: Display) -> None:
    urn = f"urn:pulumi:dev::p::octavia:index:Pool::{EVIL}[/x][red]"
    state = ResourceState(
        urn=urn,
        type="octavia:index:Pool",
        custom=True,
        id=EVIL,
        inputs={"name": EVIL, "tags": [EVIL, {EVIL: EVIL}]},
        outputs={},
    )
    step = Step("create", urn, new=state)
    display.begin("update", EVIL, preview=True)
    display.started(step)
    display.status(urn, EVIL)
    display.diagnostic("error", urn, f"{EVIL}[/x]\n{EVIL}")
    display.finished(step, 0.1, None)
    display.finished(step, 0.1, EVIL)
    display.end(Summary(outputs={EVIL: EVIL}))


@pytest.mark.parametrize("kind", [PlainDisplay, EventLines, PreviewJson])
def test_the_displays_of_the_engine_escape(kind: type) -> None:
    stream = io.StringIO()
    tell(kind(stream=stream))
    assert harmless(stream.getvalue())
    assert "owned" in stream.getvalue()


def test_the_live_display_escapes_and_interprets_no_markup() -> None:
    stream = io.StringIO()
    tell(LiveDisplay(Console(file=stream, width=300, highlight=False, no_color=True, soft_wrap=True)))
    assert harmless(stream.getvalue())
    assert "[/x][red]" in stream.getvalue()


@pytest.mark.parametrize("name", ["[/x]", "[red]", "[bold", ":smile:", "\\[", "%s{0}", "\\x1b[31m"])
def test_names_of_every_kind_are_shown_as_they_are(name: str) -> None:
    with RealPlane() as plane:
        balancer = plane.make(name)
        for command in (("status",), ("status", name), ("config", name), ("leftovers",)):
            done = octaviactl(*command, "--home", plane.home)
            assert (done.returncode, done.stderr) == (0, ""), command
            assert command[0] != "status" or name in done.stdout
        shown = json.loads(octaviactl("status", "--json", "--home", plane.home).stdout)
        assert [one["name"] for one in shown["load_balancers"]] == [name]
        assert balancer["name"] == name


def test_what_hosts_write_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "host-1.log").write_text(
        f"one {EVIL}\n" + json.dumps({"event": EVIL, "level": EVIL, "x": [EVIL]}) + "\n"
    )
    for more in ((), ("--json",)):
        done = octaviactl("logs", "host-1", "--home", str(tmp_path), *more)
        assert done.returncode == 0
        assert harmless(done.stdout)
        assert done.stdout.count("owned") == 4
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines == [{"event": f"one {EVIL}"}, {"event": EVIL, "level": EVIL, "x": [EVIL]}]


@pytest.mark.parametrize(
    "arguments", [("config", EVIL), (EVIL,), ("try", EVIL), ("status", f"--{EVIL}"), ("logs", EVIL)]
)
def test_what_was_typed_is_escaped_in_errors(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = octaviactl(*arguments, OCTAVIA_HOME=str(tmp_path))
    assert done.returncode
    assert harmless(done.stdout + done.stderr)
