# SPDX-License-Identifier: Apache-2.0
"""Which stack is meant: a mistyped name makes none, the first of a project is easy, a removed one is not selected."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner, Result

from octavia_engine import secrets, stacks
from octavia_provider.cli.main import octaviactl

LB = 'Balancer("lb", subnetId="n1")\n'


def command(stack: Any, *words: str) -> Result:
    return CliRunner().invoke(octaviactl, [*words, "-C", str(stack.folder)])


def names(stack: Any) -> list[str]:
    return list(stack.backend.stacks("prog"))


@pytest.mark.parametrize(
    "words",
    [("up", "--yes"), ("up", "--yes", "--skip-preview"), ("preview",), ("destroy", "--yes"), ("refresh", "--yes"),
     ("stack", "output"), ("stack", "export")],
)  # fmt: skip
def test_a_mistyped_stack_is_an_error_that_says_how_to_make_one(words: tuple[str, ...], stack: Any) -> None:
    stacks.init(stack.folder, "production")
    done = command(stack, *words, "--stack", "prodution")
    assert done.exit_code == 1
    assert done.output == (
        "error: stack prodution: there is no such stack (there are production); did you mean production? Try: octaviactl "
        "stack init prodution, or octaviactl up --create --stack prodution, to make it\n"
    )
    assert names(stack) == ["production"]
    assert not (stack.folder / "Pulumi.prodution.yaml").exists()
    assert stack.calls() == []


def test_the_first_up_of_a_project_makes_a_stack_and_says_so(stack: Any) -> None:
    stack.program(LB)
    done = command(stack, "preview")
    assert done.exit_code == 0
    assert "There is no stack dev yet; `octaviactl up` would make it." in done.output
    assert names(stack) == []
    done = command(stack, "up", "--yes")
    assert done.exit_code == 0, done.output
    assert "There is no stack dev yet; this makes it." in done.output
    assert names(stack) == ["dev"]
    assert "There is no stack" not in command(stack, "up", "--yes").output


def test_a_name_makes_a_stack_where_that_is_asked_for(stack: Any) -> None:
    stack.program(LB)
    assert command(stack, "up", "--yes", "--stack", "prod").exit_code == 1
    assert "(there are none)" in command(stack, "preview", "--stack", "prod").output
    assert command(stack, "up", "--yes", "--stack", "prod", "--create").exit_code == 0
    assert command(stack, "stack", "select", "test").exit_code == 1
    assert command(stack, "stack", "select", "test", "--create").exit_code == 0
    assert names(stack) == ["prod", "test"]


def test_an_import_makes_no_stack(stack: Any) -> None:
    stacks.init(stack.folder, "dev")
    document = stack.folder / "export.json"
    document.write_text('{"version": 3, "deployment": {}}')
    done = command(stack, "stack", "import", "--stack", "dv", "--file", str(document))
    assert done.exit_code == 1
    assert "did you mean dev?" in done.output
    assert names(stack) == ["dev"]


def test_a_removed_stack_is_not_selected(stack: Any) -> None:
    for name in ("one", "two", "three"):
        assert command(stack, "stack", "init", name).exit_code == 0
    assert command(stack, "stack", "rm", "two", "--yes").exit_code == 0
    assert stacks.default_stack(stack.folder) == "three"  # another than the removed one stays selected
    assert command(stack, "stack", "rm", "three", "--yes").exit_code == 0
    assert stacks.default_stack(stack.folder) == "one"
    assert command(stack, "stack", "init", "four").exit_code == 0
    assert command(stack, "stack", "init", "five").exit_code == 0
    assert command(stack, "stack", "rm", "five", "--yes").exit_code == 0
    done = command(stack, "preview")
    assert done.exit_code == 1
    assert "no stack is selected, and there are four, one" in done.output
    assert names(stack) == ["four", "one"]


def test_the_passphrase_is_asked_for_once_and_before_anything_is_shown(
    stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.program(LB)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    done = command(stack, "up", "--yes")
    assert done.exit_code == 1
    assert "its secrets need a passphrase and none was given" in done.output
    assert "Previewing" not in done.output
    assert stack.calls() == []
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        print("ASKED")
        return "correct horse"

    monkeypatch.setattr("octavia_engine.secrets._interactive", lambda: True)
    monkeypatch.setattr("getpass.getpass", answer)
    secrets._prompt.cache_clear()
    done = command(stack, "up", "--yes")
    secrets._prompt.cache_clear()
    assert done.exit_code == 0, done.output
    assert done.output.index("ASKED") < done.output.index("Previewing")
    assert len(asked) == 1


def test_a_wrong_passphrase_is_refused_before_the_preview(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.up(LB)[0].ok
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    for words in (("up", "--yes"), ("destroy", "--yes"), ("refresh", "--yes")):
        done = command(stack, *words)
        assert done.exit_code == 1
        assert "the passphrase is not the one" in done.output
        assert "review" not in done.output
