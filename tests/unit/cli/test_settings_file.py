# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from octavia_provider.cli import settings_file
from octavia_provider.cli.serve import serve
from octavia_provider.clouds.openstack.settings import OpenStackSettings
from octavia_provider.model.errors import Invalid, Refused
from octavia_provider.settings import Settings

WHOLE = """
home = "/var/lib/octavia"
stay = true
idle_seconds = 30.5
listen = "[::]:9876"
log_to = "stderr"
[openstack]
management_network = "lb-mgmt"
management_security_groups = ["one", "two"]
heartbeat_address = "192.0.2.1:5555"
volume_gb = 4
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OCTAVIA_IDLE_SECONDS": "7", "OCTAVIA_LOG_TO": ""})


def file(folder: Path, text: str) -> Path:
    found = folder / "octavia.toml"
    found.write_text(text)
    return found


def test_a_file_says_what_the_environment_does_not(tmp_path: Path) -> None:
    assert settings_file.take(file(tmp_path, WHOLE))
    found, cloud = Settings(), OpenStackSettings()  # type: ignore[call-arg]
    assert (found.home, found.address, found.log_to) == (Path("/var/lib/octavia"), ("::", 9876), "stderr")
    assert found.idle_seconds == 7  # of the environment
    assert (cloud.management_network, cloud.volume_gb) == ("lb-mgmt", 4)
    assert cloud.management_security_groups == ("one", "two")


def test_all_that_is_no_setting_is_named_and_nothing_is_taken(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as raised:
        settings_file.take(file(tmp_path, 'lisen = "x"\nstay = 1\n[openstack]\nimage = "y"\n[other]\n'))
    assert {violation.path for violation in raised.value.violations} == {
        ("lisen",), ("stay",), ("openstack", "image"), ("other",),
    }  # fmt: skip
    assert [name for name in os.environ if name.startswith("OCTAVIA_")] == ["OCTAVIA_IDLE_SECONDS", "OCTAVIA_LOG_TO"]


@pytest.mark.parametrize(("text", "said"), [(None, "cannot be read"), ("listen = ", "is no TOML")])
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    with pytest.raises(Refused, match=said):
        settings_file.take(file(tmp_path, text) if text else tmp_path / "none.toml")


@pytest.mark.parametrize("given", ["9876", "host:", "host:123456"])
def test_an_address_has_a_port(tmp_path: Path, given: str) -> None:
    answer = CliRunner().invoke(serve, ["--home", str(tmp_path), "--check", "--listen", given])
    assert (answer.exit_code, "--listen" in answer.output) == (2, True)
