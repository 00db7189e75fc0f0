# SPDX-License-Identifier: Apache-2.0
"""The pages that are made from the code: rules as a list, attributes as a program spells them, every command."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from octavia_provider.cli.main import COMMANDS
from octavia_provider.model.kinds import KINDS

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    try:
        spec = importlib.util.spec_from_file_location("reference", SCRIPTS / "reference.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPTS))
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_rules_are_a_list_that_names_attributes_as_a_program_does(kind: str, reference: ModuleType) -> None:
    page = reference.kind(KINDS[kind])
    told = [*reference.rules(KINDS[kind])]
    if told:
        assert "\nRules:\n\n- " in page
        assert page.rstrip().endswith("\n".join(f"- {rule}" for rule in told))
    for rule in told:
        assert not re.search(r"[a-z]_[a-z]", rule), rule
        assert len(rule) < 250, "a sentence that is too long to be read once"


def test_rules_that_say_the_same_are_one(reference: ModuleType) -> None:
    told = [*reference.rules(KINDS["listener"])]
    assert "`hstsMaxAge`, `hstsIncludeSubdomains` and `hstsPreload` go with TERMINATED_HTTPS only." in told
    assert sum("go with" in rule or "goes with" in rule for rule in told) <= 4


def test_every_command_and_option_is_on_the_page(reference: ModuleType) -> None:
    page = reference.commands.page()
    for name in COMMANDS:
        assert f"### octaviactl {name}\n" in page
    for part in ("### octaviactl stack output", "`OCTAVIA_STATE`", "| 6 | ", "`--cacert`", "`--insecure`, `-k`"):
        assert part in page
