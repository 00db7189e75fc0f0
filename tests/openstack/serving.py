# SPDX-License-Identifier: Apache-2.0
"""A control plane that serves users on a TLS port, and that they find in Keystone's catalogue."""

from __future__ import annotations

import contextlib
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pem
from command_line import octaviactl
from netns.installation import Installation

from .clients import Users, users
from .guests import Guests
from .project import Project


@dataclass
class Served:
    """``url``: where users are served; ``certificate``: of it; ``site``: the control plane; ``users``: who they are."""

    url: str
    certificate: Path
    site: Installation
    users: Users
    project: Project

    def ask(self, path: str, token: str | None = None) -> tuple[int, Any]:
        request = urllib.request.Request(self.url + path, headers={"X-Auth-Token": token} if token else {})
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        with contextlib.closing(urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusted))) as opener:
            try:
                with opener.open(request, timeout=30) as answer:
                    return answer.status, answer.headers
            except urllib.error.HTTPError as error:
                return error.code, error.headers


@contextlib.contextmanager
def serving(cloud_project: Project, tmp_path: Path, cloud: str) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pair, certificate, key = pem.make("localhost"), tmp_path / "tls.pem", tmp_path / "tls.key"
    certificate.write_text(pair.pem)
    key.write_text(pair.key_pem)
    settings = tmp_path / "octavia.toml"
    settings.write_text(
        f'stay = true\ncloud = "{cloud}"\nos_cloud = "test"\nlisten = "127.0.0.1:{port}"\nlog_to = "stderr"\n'
        f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'
    )
    url = f"https://localhost:{port}"
    site = Installation(tmp_path / "h", options=("--config", str(settings)))
    neutron = url if cloud == "embedded" else None
    with users(cloud_project, tmp_path, certificate, neutron) as everybody, contextlib.ExitStack() as after:
        after.callback(site.client.close)
        after.callback(site.stop)
        site.start()
        after.callback(_register, "--remove")
        _register(url)
        yield Served(url, certificate, site, everybody, cloud_project)


def _register(what: str) -> None:
    done = octaviactl("register", "--os-cloud", "test", what)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def served(cloud_project: Project, environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    """A control plane on OpenStack that users find in the catalogue."""
    with Guests(cloud_project), serving(cloud_project, tmp_path, "openstack") as made:
        yield made
