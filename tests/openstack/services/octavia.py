# SPDX-License-Identifier: Apache-2.0
"""Octavia itself, as somebody else runs it: Keystone, its API and its worker, for tests of ``driver: octavia``.

Its drivers of compute, network, image and amphora are the ones that do nothing, so it needs neither Nova nor Neutron: what is
measured against it is its API, its queue and its worker. Ports as in ``configuration``: one cloud on a machine, or each in a
network namespace.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import ClassVar

from cloud import Cloud, answers, until
from configuration import PASSWORD, Configuration, Sections, url

CA_KEY_PASSPHRASE = PASSWORD


class OctaviaConfiguration(Configuration):
    """With octavia.conf. Drivers that do nothing wait for nothing: an ``amphora`` is there at once."""

    def write(self) -> None:
        super().write()
        (self.etc / "octavia").mkdir(exist_ok=True)
        self._ini("octavia/octavia.conf", self._octavia())
        (self.root / "plugins/octavia_wsgi.py").write_text(
            "from octavia.api import app\n"
            f"application = app.setup_app(argv=['octavia-api', '--config-file', '{self.etc}/octavia/octavia.conf'])\n"
        )

    def _octavia(self) -> Sections:
        certificate, key = self.etc / "octavia/ca.pem", self.etc / "octavia/ca.key"
        return {
            **self._common("octavia"),
            "api_settings": {
                "auth_strategy": "keystone", "api_base_uri": url("octavia"), "enabled_provider_drivers": "amphora:amphora",
                "default_provider_driver": "amphora", "allow_tls_terminated_listeners": True,
            },
            "controller_worker": {
                "workers": 1, "compute_driver": "compute_noop_driver", "network_driver": "network_noop_driver",
                "image_driver": "image_noop_driver", "amphora_driver": "amphora_noop_driver", "amp_active_wait_sec": 1,
                "amp_boot_network_list": "00000000-0000-0000-0000-000000000000", "amp_flavor_id": 1, "amp_image_tag": "amphora",
                "client_ca": certificate,
            },
            "certificates": {
                "cert_generator": "local_cert_generator", "ca_certificate": certificate, "ca_private_key": key,
                "ca_private_key_passphrase": CA_KEY_PASSPHRASE, "server_certs_key_passphrase": "insecure-key-do-not-use-this-key",
            },
            "health_manager": {"heartbeat_key": PASSWORD, "bind_ip": "127.0.0.1"},
            "oslo_messaging": {"topic": "octavia_prov"},
            "service_auth": self._user(),
            "task_flow": {"engine": "parallel", "max_workers": 5, "jobboard_enabled": False},
            "driver_agent": {f"{one}_socket_path": self.root / f"octavia-{one}.sock" for one in ("status", "stats", "get")},
        }  # fmt: skip


class OctaviaCloud(Cloud):
    """Keystone and Octavia."""

    databases: ClassVar[Sequence[str]] = ("keystone", "octavia")
    catalogue: ClassVar[Sequence[str]] = ("octavia",)
    configuration: ClassVar[type[Configuration]] = OctaviaConfiguration

    def _chains(self) -> Sequence[Callable[[], None]]:
        return (self._identity, self._octavia_database)

    def _octavia_database(self) -> None:
        folder = self.etc / "octavia"
        self._manage("octavia-db-manage", "--config-file", folder / "octavia.conf", "upgrade", "head")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "3650", "-subj", "/CN=octavia-test", "-passout",
             f"pass:{CA_KEY_PASSPHRASE}", "-keyout", folder / "ca.key", "-out", folder / "ca.pem"],
            check=True, capture_output=True,
        )  # fmt: skip

    def _services(self) -> None:
        until(lambda: answers(f"{url('keystone')}/v3"), "Keystone")
        self._clouds_file()
        self._users()
        self._wsgi("octavia", "octavia_wsgi", 4)
        self._start("octavia-worker", self.bin / "octavia-worker", "--config-file", self.etc / "octavia/octavia.conf")
        until(lambda: answers(url("octavia")), "Octavia")
        self._say("services")

    def _contents(self) -> None:
        """Nothing: each test makes what it needs."""
