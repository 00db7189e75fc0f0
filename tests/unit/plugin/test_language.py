# SPDX-License-Identifier: Apache-2.0
"""Attributes are spelled as the program's language does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from octavia_provider.plugin import language


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    language.uses_snake_case.cache_clear()
    yield
    language.uses_snake_case.cache_clear()


@pytest.mark.parametrize(
    ("text", "runtime"),
    [
        ("name: p\nruntime: python\n", "python"),
        ("name: p\nruntime: 'yaml'\n", "yaml"),
        ("name: p\nruntime:\n  name: nodejs\n  options:\n    name: python\n", "nodejs"),
        ("name: p\nruntime:\n  options:\n    virtualenv: venv\n  name: python\n", "python"),
        ('{"name": "p", "runtime": {"name": "python", "options": {}}}', "python"),
        ('{"name": "p", "runtime": "go"}', "go"),
        ("name: p\n", ""),
    ],
)
def test_runtimes(text: str, runtime: str) -> None:
    assert language.runtime(text) == runtime


def test_it_is_read_from_the_project_above_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    assert language.uses_snake_case()


def test_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "protocolPort: goes with default_tls_container_ref only, and 'lb_algorithm' of x_y_z"
    monkeypatch.chdir(tmp_path)
    assert (
        language.translate_names(text)
        == "protocolPort: goes with defaultTlsContainerRef only, and 'lb_algorithm' of x_y_z"
    )
    language.uses_snake_case.cache_clear()
    (tmp_path / "Pulumi.yaml").write_text("runtime: python\n")
    assert language.translate_names(text) == (
        "protocol_port: goes with default_tls_container_ref only, and 'lb_algorithm' of x_y_z"
    )
