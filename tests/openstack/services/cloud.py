# SPDX-License-Identifier: Apache-2.0
"""Starts the services in their order, makes what tests take for granted, ends them."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import secrets
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from configuration import (
    COMPUTES,
    DISTRIBUTION,
    EPMD,
    PASSWORD,
    PORTS,
    REGION,
    SERVICE_USER,
    TYPES,
    Configuration,
    url,
)

FIRST_ENDED = (
    "nova-compute",
    "nova",
    "neutron",
    "glance",
    "placement",
    "barbican",
    "octavia",
    "heat",
    "keystone",
    "rabbit",
    "epmd",
    "mariadb",
)


def until(condition: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if found := condition():
                return found
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up waiting for {what}")
        time.sleep(0.2)


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=2)
    except urllib.error.HTTPError as error:
        return error.code < 500
    return True


class Cloud:
    """``root``: everything that it writes; ``venv``: where the services are installed."""

    databases: ClassVar[Sequence[str]] = (
        "keystone", "placement", "glance", "neutron", "nova_api", "nova", "nova_cell0", "barbican", "heat",
    )  # fmt: skip
    catalogue: ClassVar[Sequence[str]] = ("placement", "glance", "neutron", "nova", "barbican", "heat")
    configuration: ClassVar[type[Configuration]] = Configuration

    def __init__(self, root: Path, venv: Path) -> None:
        self.root, self.venv, self.bin = root, venv, venv / "bin"
        self.etc, self.began = root / "etc", time.monotonic()
        self.pids: dict[str, int] = {}
        self.environment = {
            **os.environ, "OS_KEYSTONE_CONFIG_DIR": str(self.etc / "keystone"), "OS_PLACEMENT_CONFIG_DIR": str(self.etc / "placement"),
            "OS_GLANCE_CONFIG_DIR": str(self.etc / "glance"), "OS_NOVA_CONFIG_DIR": str(self.etc / "nova"),
            "OS_NEUTRON_CONFIG_DIR": str(self.etc / "neutron"), "OS_NEUTRON_CONFIG_FILES": "neutron.conf;ml2.ini",
            "PYTHONPATH": str(root / "plugins"), "HOME": str(self.etc / "home"),
        }  # fmt: skip

    def up(self) -> None:
        """All of it, from nothing."""
        if (self.root / "pids.json").exists():
            raise SystemExit(f"{self.root} is up already: down first")
        self.root.mkdir(parents=True, exist_ok=True)
        self.configuration(self.root, self.venv).write()
        try:
            self._databases()
            self._services()
            self._contents()
        except BaseException:
            down(self.root)
            raise
        self._say(f"up: OS_CLIENT_CONFIG_FILE={self.root}/clouds.yaml OS_CLOUD=admin")

    def _say(self, words: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {words}", flush=True)

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _start(self, name: str, *command: Any, **environment: str) -> None:
        with (self.root / "log" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(one) for one in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**self.environment, **environment},
            )  # fmt: skip
        self.pids[name] = process.pid
        (self.root / "pids.json").write_text(json.dumps(self.pids))

    def _wsgi(self, name: str, module: str, threads: int, *more: Any) -> None:
        self._start(
            name, self.bin / "uwsgi", "--http-socket", f"127.0.0.1:{PORTS[name]}", "--module", module, "--need-app", "--master",
            "--processes", 1, "--threads", threads, "--enable-threads", "--die-on-term", "--lazy-apps", "--buffer-size", 65535,
            "--add-header", "Connection: close", "--disable-logging", "--pythonpath", self.root / "plugins", *more,
        )  # fmt: skip

    def _manage(self, program: str, *arguments: Any) -> None:
        self._run(self.bin / program, *arguments)

    def _manage_in_turn(self, module: str, common: Sequence[object], *commands: Sequence[object]) -> None:
        """Several commands of a program whose import is what takes its time. ``common``: what each of them begins with."""
        words = [[str(word) for word in (*common, *command)] for command in commands]
        self._run(self.bin / "python", "-P", Path(__file__).with_name("manage.py"), module, json.dumps(words))

    def _run(self, *command: Any) -> None:
        words = [str(word) for word in command]
        done = subprocess.run(words, env=self.environment, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: {done.stderr[-2000:]}")

    # ── databases ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _databases(self) -> None:
        install = [
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            f"--datadir={self.root}/mysql",
            "--skip-test-db",
        ]
        method = "--auth-root-authentication-method=normal"
        subprocess.run([*install, method], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._start("mariadb", "/usr/sbin/mariadbd", f"--defaults-file={self.etc}/my.cnf")
        self._rabbitmq()
        until(lambda: self._sql("select 1"), "MariaDB")
        for name in self.databases:
            self._sql(f"create database {name} character set utf8mb3")
        keys = self.etc / "keystone/keys"
        keys.mkdir(mode=0o700)
        for name in ("0", "1"):
            (keys / name).write_bytes(base64.urlsafe_b64encode(secrets.token_bytes(32)))
            (keys / name).chmod(0o600)
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(one) for one in self._chains()]:
                done.result()
        self._say("databases")

    def _chains(self) -> Sequence[Callable[[], None]]:
        """What fills the databases; each beside the others."""
        return (self._identity_and_nova, self._others)

    def _sql(self, words: str) -> bool:
        command = ["mariadb", "--no-defaults", "-S", str(self.root / "mysql.sock"), "-u", "root", "-e", words]
        subprocess.run(command, check=True, capture_output=True)
        return True

    def _rabbitmq(self) -> None:
        here = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(EPMD), "HOME": str(self.root / "rabbit")}
        self._start("epmd", "epmd", "-address", "127.0.0.1", "-port", EPMD)
        places = {
            "NODENAME": "octavia-test@localhost", "DIST_PORT": str(DISTRIBUTION), "MNESIA_BASE": f"{self.root}/rabbit/db",
            "LOG_BASE": f"{self.root}/log", "CONFIG_FILE": f"{self.root}/rabbit/rabbitmq.conf",
            "ENABLED_PLUGINS_FILE": f"{self.root}/rabbit/enabled_plugins", "PID_FILE": f"{self.root}/rabbit/pid",
            "SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }  # fmt: skip
        named = {f"RABBITMQ_{name}": value for name, value in places.items()}
        self._start("rabbit", "/usr/lib/rabbitmq/bin/rabbitmq-server", **here, **named)

    def _identity(self) -> None:
        keystone = ("--config-file", self.etc / "keystone/keystone.conf")
        endpoints = [
            word
            for kind in ("admin", "internal", "public")
            for word in (f"--bootstrap-{kind}-url", f"{url('keystone')}/v3")
        ]
        bootstrap = ("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION, *endpoints)
        self._manage_in_turn("keystone.cmd.manage", keystone, ("db_sync",), bootstrap)
        self._wsgi("keystone", "keystone.wsgi.api", 4)

    def _identity_and_nova(self) -> None:
        self._identity()
        self._manage("placement-manage", "--config-file", self.etc / "placement/placement.conf", "db", "sync")
        nova, written = ("--config-file", self.etc / "nova/nova.conf"), Configuration(self.root, self.venv)
        self._manage_in_turn(
            "nova.cmd.manage", nova, ("api_db", "sync"),
            ("cell_v2", "map_cell0", "--database_connection", written.database("nova_cell0")),
            ("cell_v2", "create_cell", "--name", "cell1"), ("db", "sync"),
        )  # fmt: skip

    def _others(self) -> None:
        neutron = [
            word for file in ("neutron.conf", "ml2.ini") for word in ("--config-file", self.etc / "neutron" / file)
        ]
        self._manage("neutron-db-manage", *neutron, "upgrade", "heads")
        self._manage("glance-manage", "--config-file", self.etc / "glance/glance-api.conf", "db_sync")
        self._manage("barbican-manage", "db", "upgrade")
        self._manage("heat-manage", "db_sync")

    # ── services ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _services(self) -> None:
        until(lambda: answers(f"{url('keystone')}/v3"), "Keystone")
        self._clouds_file()
        self._users()
        self._wsgi("placement", "placement.wsgi.api", 4)
        self._wsgi("neutron", "neutron.wsgi.api", 6)
        self._wsgi("glance", "glance.wsgi.api", 4)
        self._wsgi("barbican", "barbican_wsgi", 2, "--pythonpath", self.etc / "barbican")
        self._wsgi("nova", "nova.wsgi.osapi_compute", 6)
        nova = ("--config-file", self.etc / "nova/nova.conf")
        for name in ("nova-conductor", "nova-scheduler"):
            self._start(name, self.bin / name, *nova)
        self._wsgi("heat", "heat.wsgi.api", 4)
        self._start("heat-engine", self.bin / "heat-engine")
        until(lambda: answers(url("placement")), "Placement")
        for name in COMPUTES:
            self._compute(name, self.bin / "nova-compute", *nova, "--config-file", self.etc / f"nova/{name}.conf")
        for name in ("glance", "neutron", "nova", "barbican", "heat"):
            until(lambda name=name: answers(url(name)), name)
        self._say("services")

    def _compute(self, name: str, *command: Any) -> None:
        self._start(f"nova-compute-{name}", *command)

    def _clouds_file(self) -> None:
        auth = {
            "auth_url": f"{url('keystone')}/v3", "username": "admin", "password": PASSWORD, "project_name": "admin",
            "user_domain_name": "Default", "project_domain_name": "Default",
        }  # fmt: skip
        clouds = {"clouds": {"admin": {"region_name": REGION, "auth": auth}}}
        (self.root / "clouds.yaml").write_text(json.dumps(clouds))
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(self.root / "clouds.yaml")

    def _users(self) -> None:
        """One user for all services, the catalogue, the roles of Octavia and Barbican."""
        identity = connect().identity
        roles = {one.name: one for one in identity.roles()}
        for name in ("service", "creator", "load-balancer_member", "load-balancer_admin"):
            roles.setdefault(name, None)
            roles[name] = roles[name] or identity.create_role(name=name)
        project = identity.create_project(name="service", domain_id="default")
        user = identity.create_user(
            name=SERVICE_USER, password=PASSWORD, domain_id="default", default_project_id=project.id
        )
        for name in ("admin", "service"):
            identity.assign_project_role_to_user(project, user, roles[name])
        for name in self.catalogue:
            kind, path = TYPES[name]
            service = identity.create_service(type=kind, name=name)
            for interface in ("public", "internal", "admin"):
                identity.create_endpoint(
                    service_id=service.id, interface=interface, region_id=REGION, url=url(name) + path
                )

    def _contents(self) -> None:
        """A compute flavor, an image (empty: nothing boots it), both computes."""
        connection = connect()
        # Neutron loads its policies at the first requests, of reading and of making, and refuses a second one meanwhile (403)
        list(connection.network.networks())
        connection.network.delete_network(connection.network.create_network(name="first"))
        connection.compute.create_flavor(name="amphora", ram=512, vcpus=1, disk=1)
        connection.image.create_image(
            name="amphora", disk_format="raw", container_format="bare", visibility="public", tags=["amphora"],
            data=io.BytesIO(bytes(1 << 20)), validate_checksum=False,
        )  # fmt: skip
        until(
            lambda: (
                {one.host for one in connection.compute.services(binary="nova-compute") if one.state == "up"}
                == {*COMPUTES}
            ),
            "computes",
        )
        self._manage(
            "nova-manage", "--config-file", self.etc / "nova/nova.conf", "cell_v2", "discover_hosts", "--by-service"
        )


def connect() -> Any:
    import openstack

    return openstack.connect(cloud="admin")


def down(root: Path) -> None:
    """End what was started, by its process ids; the databases last."""
    file = root / "pids.json"
    pids: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    order = sorted(pids, key=lambda name: next(i for i, one in enumerate(FIRST_ENDED) if name.startswith(one)))
    for names in (order[:-3], order[-3:]):
        for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            for name in names:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pids[name], number)
            deadline = time.monotonic() + seconds
            while any(_alive(pids[name]) for name in names) and time.monotonic() < deadline:
                time.sleep(0.1)
    file.unlink(missing_ok=True)


def _alive(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
