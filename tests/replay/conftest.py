# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the replay tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("replay_stack", Path(__file__).parent / "stack.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["replay_stack"] = _module
_spec.loader.exec_module(_module)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A run of an engine is two processes or three, each with a second of imports, and a test has up to six of them."""
    for item in items:
        if item.path.parent == Path(__file__).parent and "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with the probe provider, nothing deployed."""
    return _module.Stack(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rounds of key derivation: the real number is tested once, with the real value."""
    monkeypatch.setattr("octavia_engine.secrets.ROUNDS", 10)
