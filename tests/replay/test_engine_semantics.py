# SPDX-License-Identifier: Apache-2.0
"""What no recorded step shows: failures and what they spare, options, secrets, configuration, drift, JSON."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from octavia_engine import stacks
from octavia_engine.display.json_output import EventLines, PreviewJson
from octavia_engine.display.live import LiveDisplay
from octavia_provider.cli.main import octaviactl
from octavia_provider.model.errors import Conflict, Forbidden, Invalid, NotFound

TRACES = Path(__file__).parent / "traces"
LB = 'lb = Balancer("lb", subnetId="net-1", key=pulumi.Output.secret("k3y"))\n'
WEB = 'web = Listener("web", balancerId=lb.id, port=80)\n'


def test_a_failed_create_spares_the_rest_and_skips_what_depends_on_it(stack: Any) -> None:
    result, shown = stack.up(
        LB
        + 'bad = Member("bad", balancerId=lb.id, address="a", failCreate=True)\n'
        + 'Member("dep", balancerId=bad.id, address="b")\n'
        + 'Member("after", balancerId=lb.id, address="c", opts=O(depends_on=[bad]))\n'
        + 'Member("free", balancerId=lb.id, address="d")\n'
        + 'pulumi.export("bad", bad.id)\npulumi.export("lb", lb.id)\n'
    )
    assert not result.ok
    assert set(stack.resources()) == {"lb", "free"}
    assert shown.count("no compute host has room for this member") == 1
    assert "error: probe:index:Member bad: no compute host has room" in shown
    assert result.summary.outputs == {"lb": "balancer-1"}
    assert "Traceback" not in shown


def test_nothing_is_deleted_in_a_run_that_failed(stack: Any) -> None:
    assert stack.up(LB + 'Member("old", balancerId=lb.id, address="a")\n')[0].ok
    assert not stack.up(LB + 'Member("bad", balancerId=lb.id, address="a", failCreate=True)\n')[0].ok
    assert set(stack.resources()) == {"lb", "old"}


def test_every_check_failure_is_shown_once_with_its_property_path(stack: Any) -> None:
    result, shown = stack.up(LB + 'Member("heavy", balancerId=lb.id, address="a", weight=500)\n')
    assert not result.ok
    assert shown.count("weight: weight must be at most 256") == 1
    assert set(stack.resources()) == {"lb"}


def test_a_program_that_raises_shows_its_own_frames_alone(stack: Any) -> None:
    result, shown = stack.up(LB + "def f():\n    raise ValueError('no such zone')\nf()\n")
    assert not result.ok
    assert "the program failed: ValueError: no such zone" in shown
    assert "__main__.py, line 13: raise ValueError" in shown
    assert "site-packages" not in shown
    assert "runpy" not in shown


def test_a_program_edited_within_one_second_runs_as_it_is(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytecode of before has the size and, in whole seconds, the time of the source."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    parts = stack.folder / "parts"
    parts.mkdir()
    sources = (stack.folder / "__main__.py", parts / "__init__.py", parts / "at.py")
    for at in ("a", "b"):
        (parts / "__init__.py").write_text(f'AT = "{at}"\n')
        (parts / "at.py").write_text(f'AT = "{at}"\n')
        stack.program(
            "import parts, parts.at\n"
            f'for n, at in {{"m": "{at}", "p": parts.AT, "q": parts.at.AT}}.items():\n'
            '    Member(n, balancerId="b", address=at)\n'
        )
        for source in sources:
            os.utime(source, (1_700_000_000, 1_700_000_000))
        result, shown = stack.up()
        assert result.ok, shown
        assert {one["address"] for one in stack.cloud().values()} == {at}
    assert not list(stack.folder.rglob("__pycache__"))


def test_a_missing_plugin_is_one_clear_error(stack: Any) -> None:
    result, shown = stack.up('pulumi.CustomResource("nosuch:index:Thing", "x", {})\n')
    assert not result.ok
    assert shown.count("no plugin pulumi-resource-nosuch on PATH") == 1
    assert "Try: install the provider of nosuch" in shown


def test_two_resources_of_one_name_are_refused(stack: Any) -> None:
    result, shown = stack.up(LB + LB)
    assert not result.ok
    assert "two resources have this type and name" in shown
    assert set(stack.resources()) == {"lb"}


def test_delete_before_replace_takes_along_what_would_be_replaced(stack: Any) -> None:
    text = (
        'lb = Balancer("lb", subnetId="{net}", opts=O(delete_before_replace=True))\n'
        'inner = Balancer("inner", subnetId=lb.id)\n'
        'loose = Member("loose", balancerId=lb.id, address="a")\n'
    )
    assert stack.up(text.format(net="n1"))[0].ok
    stack.mutations()
    assert stack.up(text.format(net="n2"))[0].ok
    mutations = stack.mutations()
    assert mutations[:3] == [("Delete", "inner"), ("Delete", "lb"), ("Create", "lb")]
    assert sorted(mutations[3:]) == [("Create", "inner"), ("Update", "loose")]
    assert {r["id"] for r in stack.resources().values()} == set(stack.cloud())


def test_deleted_with_spares_the_call(stack: Any) -> None:
    assert stack.up(LB + 'Member("m", balancerId=lb.id, address="a", opts=O(deleted_with=lb))\n')[0].ok
    stack.mutations()
    result, shown = stack.run("destroy")
    assert result.ok, shown
    assert stack.mutations() == [("Delete", "lb")]
    assert stack.deployment()["resources"] == []


def test_a_protected_resource_is_not_replaced(stack: Any) -> None:
    text = 'Member("m", balancerId="b", address="{at}", opts=O(protect=True))\n'
    assert stack.up(text.format(at="a"))[0].ok
    result, shown = stack.up(text.format(at="b"))
    assert not result.ok
    assert "would have to be replaced" in shown
    assert len(stack.cloud()) == 1


def test_custom_timeouts_reach_the_provider(stack: Any) -> None:
    timeouts = 'pulumi.CustomTimeouts(create="1h30m", delete="90s")'
    assert stack.up(f'Member("m", balancerId="b", address="a", opts=O(custom_timeouts={timeouts}))\n')[0].ok
    (create,) = (call for call in stack.calls() if call["method"].endswith("/Create"))
    assert create["request"]["timeout"] == 5400
    assert stack.resources()["m"]["customTimeouts"] == {"create": 5400, "delete": 90}


def test_ignored_changes_inside_a_list_stay_as_they_were(stack: Any) -> None:
    text = 'Balancer("lb", subnetId="n", tags={tags}, opts=O(ignore_changes=["tags[1]"]))\n'
    assert stack.up(text.format(tags='["a", "b"]'))[0].ok
    assert stack.up(text.format(tags='["x", "y"]'))[0].ok
    assert stack.resources()["lb"]["inputs"]["tags"] == ["x", "b"]


def test_an_object_that_is_not_there_cannot_be_imported(stack: Any) -> None:
    result, shown = stack.up('Member("m", balancerId="b", address="a", opts=O(import_="member-404"))\n')
    assert not result.ok
    assert "there is no probe:index:Member with the id member-404 to import" in shown


def test_invariant_11_secrets_are_never_in_the_clear_on_disk(stack: Any) -> None:
    text = (
        'lb = Balancer("lb", subnetId="n", key=pulumi.Output.secret("hush-input"), '
        'tags=pulumi.Output.secret([{"deep": "hush-list"}]))\n'
        'Member("m", balancerId=lb.id, address="hush-output", opts=O(additional_secret_outputs=["address"]))\n'
        'pulumi.export("s", pulumi.Output.secret({"a": "hush-export"}))\n'
    )
    result, shown = stack.up(text)
    assert result.ok, shown
    disk = b"".join(
        path.read_bytes() for path in stack.folder.rglob("*") if path.is_file() and ".octavia" in path.parts
    )
    for word in (b"hush-input", b"hush-list", b"hush-export"):
        assert word not in disk
        assert word.decode() not in shown
    assert stack.resources()["m"]["outputs"]["address"]["value"] == "hush-output"
    assert stacks.outputs(stack.folder, "dev")["s"]["value"] == {"a": "hush-export"}


def test_what_did_not_change_keeps_its_ciphertext(stack: Any) -> None:
    assert stack.up(LB)[0].ok
    path = stack.backend.path("prog", "dev")
    first = json.loads(path.read_text())["checkpoint"]["latest"]["resources"]
    assert stack.run("up")[0].ok
    assert json.loads(path.read_text())["checkpoint"]["latest"]["resources"] == first


def test_another_passphrase_is_refused_before_anything_happens(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.up(LB)[0].ok
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    stack.calls()
    with pytest.raises(Forbidden, match="the passphrase is not the one that encrypted"):
        stack.up()
    assert stack.calls() == []
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(Forbidden, match="set PULUMI_CONFIG_PASSPHRASE"):
        stack.up()


def test_configuration_reaches_the_program_and_the_default_provider(stack: Any) -> None:
    assert stack.up("")[0].ok  # makes the stack's settings file
    from octavia_engine.project import Project, StackSettings
    from octavia_engine.secrets import Secrets

    settings = StackSettings(Project.load(stack.folder), "dev")
    key = Secrets.open(str(settings.salt), "correct horse", "dev")
    with settings.path.open("a") as file:
        file.write("config:\n  size: 3\n  probe:endpoint: https://x\n")
        file.write(f"  probe:token: {{secure: '{key.encrypt('t0k')}'}}\n  prog:shape: {{a: [1, true]}}\n")
    stack.calls()
    result, shown = stack.up(
        "c = pulumi.Config()\n"
        'pulumi.export("size", c.require_int("size"))\npulumi.export("shape", c.require_object("shape"))\n'
        'pulumi.export("more", c.get("more"))\n' + LB,
        config={"more": "yes"},
    )
    assert result.ok, shown
    assert result.summary.outputs == {"size": 3, "shape": {"a": [1, True]}, "more": "yes"}
    (configure,) = (call["request"] for call in stack.calls() if call["method"].endswith("/Configure"))
    assert configure["args"]["endpoint"] == "https://x"
    assert configure["args"]["token"]["value"] == "t0k"
    assert configure["variables"] == {"probe:config:endpoint": "https://x", "probe:config:token": "t0k"}
    assert b"t0k" not in stack.backend.path("prog", "dev").read_bytes()


def test_refresh_finds_drift_and_what_is_gone(stack: Any) -> None:
    text = LB + WEB + 'Member("m", balancerId=lb.id, address="a", weight=1, opts=O(depends_on=[web]))\n'
    assert stack.up(text)[0].ok
    data = json.loads(stack.cloud_file.read_text())
    data["objects"]["member-3"]["weight"] = 9
    del data["objects"]["listener-2"]
    stack.cloud_file.write_text(json.dumps(data))
    result, shown = stack.run("refresh")
    assert result.ok, shown
    assert result.summary.changes == {"update": 1, "delete": 1, "same": 1}
    assert "~ weight: 1 → 9" not in shown  # without --diff
    assert set(stack.resources()) == {"lb", "m"}
    assert stack.resources()["m"]["inputs"]["weight"] == 9
    assert stack.resources()["m"]["dependencies"] == [stack.resources()["lb"]["urn"]]
    assert stack.resources()["lb"]["outputs"]["key"] != "k3y"
    assert stack.up()[0].summary.changes == {"create": 1, "update": 1, "same": 2}


def test_a_preview_changes_nothing_and_needs_no_stack(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    stack.program(LB + WEB)
    result, shown = stack.run("preview")
    assert result.ok, shown
    assert result.summary.changes == {"create": 3}
    assert "+ key: [secret]" in shown
    assert "+ balancerId: [unknown]" in shown
    assert stack.cloud() == {}
    assert not (stack.folder / ".octavia").exists()
    assert not (stack.folder / "Pulumi.dev.yaml").exists()


@pytest.mark.parametrize("name", ["01-preview-create", "04-preview-update"])
def test_preview_json_is_the_document_that_the_cli_writes(name: str, stack: Any) -> None:
    if name.startswith("04"):
        first = TRACES / "03-same"
        stack.source((first / "program.py").read_text())
        assert stack.run("up")[0].ok
    stack.source((TRACES / name / "program.py").read_text())
    stream = io.StringIO()
    assert stack.run("preview", display=PreviewJson(stream=stream))[0].ok
    ours, theirs = json.loads(stream.getvalue()), json.loads((TRACES / name / "preview.json").read_text())
    assert ours["changeSummary"] == theirs["changeSummary"]
    assert set(ours) == set(theirs)
    steps = {step["urn"]: step for step in ours["steps"]}
    assert set(steps) == {step["urn"] for step in theirs["steps"]}
    for step in theirs["steps"]:
        mine = steps[step["urn"]]
        assert set(mine) == set(step)
        for key in ("op", "detailedDiff", "diffReasons", "replaceReasons"):
            assert mine.get(key) == step.get(key)
        inputs = step["newState"].get("inputs")
        assert (inputs and mine["newState"]["inputs"].get("weight")) == (inputs and inputs.get("weight"))


def test_event_lines_say_how_a_run_went(stack: Any) -> None:
    stream = io.StringIO()
    assert stack.up(LB, display=EventLines(stream))[0].ok
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0] == {"event": "begin", "kind": "update", "stack": "dev", "preview": False}
    assert lines[-1]["changes"] == {"create": 2}
    assert [line["op"] for line in lines if line["event"] == "finished"] == ["create", "create"]


def test_stacks_are_made_exported_imported_and_forgotten(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks.init(stack.folder, "prod")
    with pytest.raises(Conflict, match="there is such a stack already"):
        stacks.init(stack.folder, "prod")
    assert stack.up(LB)[0].ok
    document = stacks.export(stack.folder, "dev", show_secrets=True)
    assert "k3y" in json.dumps(document)
    assert "k3y" not in json.dumps(stacks.export(stack.folder, "dev"))
    assert stacks.import_(stack.folder, "prod", document) == 3
    assert stack.backend.stacks("prog") == ["dev", "prod"]
    assert b"k3y" not in stack.backend.path("prog", "prod").read_bytes()
    document["deployment"]["resources"].reverse()
    with pytest.raises(Invalid, match="does not come before it"):
        stacks.import_(stack.folder, "prod", document)
    with pytest.raises(Conflict, match="still has 3 resources"):
        stacks.remove(stack.folder, "dev")
    assert stack.run("destroy")[0].ok
    stacks.remove(stack.folder, "dev")
    with pytest.raises(NotFound, match="there is no such stack"):
        stack.run("destroy")


def test_everything_independent_runs_at_once_within_the_limit(stack: Any) -> None:
    many = LB + 'ms = [Member(f"m{i}", balancerId=lb.id, address=f"a{i}") for i in range(40)]\n'
    assert stack.up(many, parallel=3)[0].ok
    assert len(stack.cloud()) == 41
    assert stack.run("destroy", parallel=3)[0].ok
    assert stack.cloud() == {}


def test_a_stack_whose_control_plane_is_lost_is_forgotten_by_name_or_as_a_whole(stack: Any) -> None:
    assert stack.up(LB + 'Member("m", balancerId=lb.id, address="a")\nMember("n", balancerId="b", address="a")\n')[0].ok
    with pytest.raises(NotFound, match="it has no resource x"):
        stacks.find_urns(stack.folder, "dev", ["x"])
    with pytest.raises(Conflict, match=r"Member::m depends on .*Balancer::lb"):
        stacks.forget(stack.folder, "dev", stacks.find_urns(stack.folder, "dev", ["lb"]))
    stack.calls()
    stacks.forget(stack.folder, "dev", stacks.find_urns(stack.folder, "dev", ["lb", "m"]))
    assert set(stack.resources()) == {"n"}
    stacks.forget(stack.folder, "dev", stacks.find_urns(stack.folder, "dev", [], everything=True))
    assert stack.resources() == {}
    assert stack.calls() == []
    assert len(stack.cloud()) == 3
    result, shown = stack.up(LB)
    assert result.ok, shown
    assert result.summary.changes["create"] == 2


def test_stack_forget_asks_and_says_what_it_needs(stack: Any) -> None:
    assert stack.up(LB)[0].ok
    command = ["stack", "forget", "-C", str(stack.folder)]
    runner = CliRunner()
    for words in ([], ["lb", "--all"]):
        assert "name resources, or say --all" in runner.invoke(octaviactl, [*command, *words]).output
    assert "nobody can be asked here; say --yes" in runner.invoke(octaviactl, [*command, "--all"]).output
    assert "1 resources forgotten" in runner.invoke(octaviactl, [*command, "lb", "--yes"]).output
    assert stack.resources() == {}


def test_where_nobody_can_be_asked_nothing_is_begun(stack: Any) -> None:
    for words in (["up"], ["destroy"], ["refresh"]):
        done = CliRunner().invoke(octaviactl, [*words, "-C", str(stack.folder)])
        assert done.exit_code == 2
        assert "nobody can be asked here; say --yes" in done.output
    assert stack.calls() == []


@pytest.mark.parametrize("place", ["a file", "/proc/nope"])
def test_a_state_folder_that_cannot_be_is_one_line(
    place: str, stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OCTAVIA_STATE", str(tmp_path / "file") if place == "a file" else place)
    done = CliRunner().invoke(octaviactl, ["up", "--yes", "--skip-preview", "-C", str(stack.folder)])
    assert done.exit_code == 1
    assert done.exception is None or isinstance(done.exception, SystemExit)
    lines = [line for line in done.output.splitlines() if not line.startswith("There is no stack dev yet")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "OCTAVIA_STATE" in done.output


def test_debug_messages_are_in_the_json_when_asked_for(stack: Any) -> None:
    for debug in (False, True):
        stream = io.StringIO()
        assert stack.up('pulumi.log.debug("deep")\n', display=EventLines(stream, debug=debug))[0].ok
        assert ("deep" in stream.getvalue()) == debug


def test_a_preview_says_why_a_dependent_is_replaced_too(stack: Any) -> None:
    text = (
        'lb = Balancer("lb", subnetId="{net}", opts=O(delete_before_replace=True))\n'
        'inner = Balancer("inner", subnetId=lb.id)\n'
    )
    assert stack.up(text.format(net="n1"))[0].ok
    stack.program(text.format(net="n2"))
    _, shown = stack.run("preview")
    lines = shown.splitlines()
    at = next(number for number, line in enumerate(lines) if "Balancer inner replace" in line)
    assert lines[at + 1].strip() == '~ subnetId: "balancer-1" → [unknown]  [replaces]'


def test_no_color_leaves_no_escapes_of_style(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, highlight=False, soft_wrap=True, width=100)
    assert stack.up(LB, display=LiveDisplay(console))[0].ok
    assert "created" in file.getvalue()
    assert not re.findall(r"\x1b\[[\d;]*m", file.getvalue())
