# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of the haproxy and the Python that it finds."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from octavia_amphora.wire import haproxy_versions
from octavia_provider.clouds.netns import doctor


def finding(name: str) -> doctor.Check:
    return next(check for check in doctor._parts() if check.name.startswith(name))


@pytest.mark.parametrize(
    ("said", "ok", "implied"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17", True, "a reload for each member that comes"),
        ("HAProxy version 3.0.11-1+deb13u4 2026/10/15", True, "come and go without a reload"),
        ("HAProxy version 3.2.26-1 2026/10/14", True, "the tests run with it"),
        ("HAProxy version 9.1.0", True, "nobody has tried"),
        ("HAProxy version 2.4.22-0ubuntu0.22.04.4", False, "too old"),
        ("no such thing", False, ""),
    ],
)
def test_the_version_of_haproxy_is_told_with_what_it_implies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, ok: bool, implied: str
) -> None:
    program = tmp_path / "haproxy"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = finding("haproxy")
    assert found.ok is ok
    assert implied in "\n".join(found.implies)
    version = haproxy_versions.parse(said)
    assert list(found.implies) == (haproxy_versions.implications(version) if version else [])
    assert said in found.detail or version is None


def test_the_version_of_python_is_told() -> None:
    found = finding("Python")
    assert found.ok
    assert platform.python_version() in found.detail
    tried = sys.version_info[:2] in doctor.PYTHONS_TRIED
    assert found.implies == (f"the tests run with 3.11, 3.13{'' if tried else ', not with this one'}",)
