# SPDX-License-Identifier: Apache-2.0
"""The configuration files of the services."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PASSWORD = "octavia-test"  # everywhere: all of it is on loopback, and gone after the tests
REGION = "RegionOne"
PORTS = {
    "keystone": 15000, "placement": 15778, "glance": 15292, "neutron": 15696, "nova": 15774, "barbican": 15311,
    "octavia": 15876, "heat": 15804,
}  # fmt: skip
TYPES = {
    "placement": ("placement", ""), "glance": ("image", ""), "neutron": ("network", ""), "nova": ("compute", "/v2.1"),
    "barbican": ("key-manager", ""), "octavia": ("load-balancer", ""),
    "heat": ("orchestration", "/v1/%(tenant_id)s"),
}  # fmt: skip
RABBIT, EPMD, DISTRIBUTION = 15673, 15369, 15370
COMPUTES = ("compute-1", "compute-2")
SERVICE_USER = "services"
"""All services sign in as this user."""
Sections = Mapping[str, Mapping[str, object]]


def url(service: str) -> str:
    return f"http://127.0.0.1:{PORTS[service]}"


class Configuration:
    """Writes them. ``venv``: where the services' own paste files are."""

    mechanism_driver = "bind_all"

    def __init__(self, root: Path, venv: Path) -> None:
        self.root, self.venv, self.etc = root, venv, root / "etc"

    def database(self, name: str) -> str:
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self.root}/mysql.sock&charset=utf8mb4"

    def write(self) -> None:
        for folder in (*PORTS, "home/.barbican", "home/.heat"):
            (self.etc / folder).mkdir(parents=True, exist_ok=True)
        for folder in ("log", "images", "locks", "state", "rabbit", "plugins", *(f"state/{one}" for one in COMPUTES)):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self._ini("keystone/keystone.conf", self._keystone())
        self._ini("placement/placement.conf", self._placement())
        self._ini("glance/glance-api.conf", self._glance())
        self._ini("neutron/neutron.conf", self._neutron())
        self._ini("neutron/ml2.ini", self._ml2())
        self._ini("nova/nova.conf", self._nova())
        for name in COMPUTES:
            place = {"host": name, "state_path": self.root / "state" / name}
            self._ini(f"nova/{name}.conf", {"DEFAULT": place})
        self._barbican_files()
        self._ini("home/.heat/heat.conf", self._heat())
        for service, file in (
            ("nova", "api-paste.ini"),
            ("neutron", "api-paste.ini"),
            ("glance", "glance-api-paste.ini"),
            ("heat", "api-paste.ini"),
        ):
            (self.etc / service / file).write_bytes((self.venv / "etc" / service / file).read_bytes())
        self._mechanism_driver()
        self._mariadb_and_rabbitmq()

    def _ini(self, name: str, sections: Sections) -> None:
        lines = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items()), ""]
        (self.etc / name).write_text("\n".join(lines))

    def _user(self) -> dict[str, object]:
        return {
            "auth_type": "password", "auth_url": f"{url('keystone')}/v3", "username": SERVICE_USER, "password": PASSWORD,
            "project_name": "service", "user_domain_name": "Default", "project_domain_name": "Default", "region_name": REGION,
        }  # fmt: skip

    def _common(self, service: str) -> dict[str, dict[str, object]]:
        """Of all that have a database, a message bus and users."""
        return {
            "DEFAULT": {
                "transport_url": f"rabbit://guest:guest@127.0.0.1:{RABBIT}//", "rpc_response_timeout": 60,
                "state_path": self.root / "state",
            },
            "database": {"connection": self.database(service), "max_pool_size": 10, "max_overflow": 40},
            "keystone_authtoken": {**self._user(), "service_token_roles_required": True},
            "oslo_messaging_rabbit": {"rabbit_quorum_queue": False, "rabbit_transient_quorum_queue": False},
            "oslo_messaging_notifications": {"driver": "noop"},
            "oslo_concurrency": {"lock_path": self.root / "locks"},
        }  # fmt: skip

    def _keystone(self) -> Sections:
        return {
            "DEFAULT": {"max_token_size": 255},
            "database": {"connection": self.database("keystone")},
            "token": {"provider": "fernet"},
            "fernet_tokens": {"key_repository": self.etc / "keystone/keys"},
            "fernet_receipts": {"key_repository": self.etc / "keystone/keys"},
            "credential": {"key_repository": self.etc / "keystone/keys"},
            "identity": {"password_hash_rounds": 4},
            # one process, so a cache in memory is never stale; without it each validation of a token reads all roles from the database
            "cache": {"enabled": True, "backend": "dogpile.cache.memory"},
        }

    def _placement(self) -> Sections:
        return {
            "api": {"auth_strategy": "keystone"},
            "placement_database": {"connection": self.database("placement")},
            "keystone_authtoken": self._user(),
        }

    def _glance(self) -> Sections:
        return {
            **self._common("glance"),
            "DEFAULT": {"enabled_backends": "files:file"},
            "glance_store": {"default_backend": "files"},
            "files": {"filesystem_store_datadir": self.root / "images"},
            "os_glance_staging_store": {"filesystem_store_datadir": self.root / "state/staging"},
            "os_glance_tasks_store": {"filesystem_store_datadir": self.root / "state/tasks"},
            "paste_deploy": {"flavor": "keystone", "config_file": self.etc / "glance/glance-api-paste.ini"},
        }

    def _neutron(self) -> Sections:
        found = self._common("neutron")
        found["DEFAULT"] |= {
            "core_plugin": "ml2", "service_plugins": "router,qos", "auth_strategy": "keystone", "api_workers": 1, "rpc_workers": 0,
            "rpc_state_report_workers": 0, "send_events_interval": 1, "enable_traditional_dhcp": False,
            "api_paste_config": self.etc / "neutron/api-paste.ini",
        }  # fmt: skip
        unlimited = ("network", "subnet", "port", "security_group", "security_group_rule")
        return {
            **found,
            "nova": self._user(),
            "placement": self._user(),
            "quotas": {f"quota_{one}": -1 for one in unlimited},
        }

    def _ml2(self) -> Sections:
        return {
            "ml2": {
                "type_drivers": "vxlan,flat", "tenant_network_types": "vxlan", "mechanism_drivers": self.mechanism_driver,
                "extension_drivers": "port_security,qos",
            },
            "ml2_type_vxlan": {"vni_ranges": "1:10000"},
            "securitygroup": {"enable_security_group": True},
        }  # fmt: skip

    def _nova(self) -> Sections:
        found = self._common("nova")
        found["DEFAULT"] |= {
            "compute_driver": "fake.FakeDriver", "my_ip": "127.0.0.1", "osapi_compute_workers": 1, "report_interval": 5,
            "vif_plugging_timeout": 30, "instances_path": self.root / "state/instances",
        }  # fmt: skip
        filters = "ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,ServerGroupAntiAffinityFilter"
        return {
            **found,
            "api_database": {"connection": self.database("nova_api"), "max_pool_size": 10, "max_overflow": 40},
            "wsgi": {"api_paste_config": self.etc / "nova/api-paste.ini"},
            "conductor": {"workers": 1},
            "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 5},
            # else two servers of a pair are on one host where the other one has some servers more, which other tests make
            "filter_scheduler": {"enabled_filters": filters, "soft_anti_affinity_weight_multiplier": 1000},
            "quota": {"instances": -1, "cores": -1, "ram": -1, "server_groups": -1, "server_group_members": -1},
            "vnc": {"enabled": False},
            "glance": {"api_servers": url("glance")},
            "placement": self._user(),
            "neutron": self._user(),
            "service_user": {**self._user(), "send_service_user_token": True},
        }

    def _heat(self) -> Sections:
        """Its programs read ~/.heat."""
        found = self._common("heat")
        found["DEFAULT"] |= {
            "num_engine_workers": 1, "auth_encryption_key": 2 * PASSWORD + 8 * "x", "region_name_for_services": REGION,
            "heat_metadata_server_url": url("heat"),
        }  # fmt: skip
        return {
            **found,
            "trustee": self._user(),
            "paste_deploy": {"api_paste_config": self.etc / "heat/api-paste.ini"},
            "clients_keystone": {
                "auth_uri": f"{url('keystone')}/v3",
                "insecure": True,
            },  # each control plane under test has a certificate of its own
        }

    def _barbican_files(self) -> None:
        """Its programs read ~/.barbican alone, and its WSGI module a paste file of /etc: so ours loads ours."""
        common = self._common("barbican")
        common["DEFAULT"] |= {
            "host_href": url("barbican"), "db_auto_create": False, "sql_connection": self.database("barbican"),
            "max_allowed_secret_in_bytes": 200000, "max_allowed_request_size_in_bytes": 400000,
        }  # fmt: skip
        key = {"kek": "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="}
        self._ini("home/.barbican/barbican.conf", {**common, "simple_crypto_plugin": key, "queue": {"enable": False}})
        paste = (self.venv / "etc/barbican/barbican-api-paste.ini").read_text()
        lines = ["/v1: barbican-api-keystone" if line.startswith("/v1:") else line for line in paste.splitlines()]
        (self.etc / "barbican/paste.ini").write_text("\n".join(lines))
        (self.etc / "barbican/barbican_wsgi.py").write_text(
            "import sys\nsys.argv = ['barbican-api']\nfrom paste import deploy\n"
            f"application = deploy.loadapp('config:{self.etc}/barbican/paste.ini', name='main')\n"
        )

    def _mechanism_driver(self) -> None:
        """Found by its entry point, so it looks like an installed distribution."""
        plugins = self.root / "plugins"
        (plugins / "bind_all.py").write_text(Path(__file__).with_name("bind_all.py").read_text())
        metadata = plugins / "bind_all-1.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bind-all\nVersion: 1\n")
        drivers = ("bind_all = bind_all:BindAll", "bind_taps = bind_all:BindTaps")
        (metadata / "entry_points.txt").write_text("\n".join(("[neutron.ml2.mechanism_drivers]", *drivers, "")))

    def _mariadb_and_rabbitmq(self) -> None:
        """Without durability: what is lost with the machine is a test's."""
        self._ini("my.cnf", {"mysqld": {
            "user": "root", "datadir": self.root / "mysql", "socket": self.root / "mysql.sock", "pid-file": self.root / "mysql.pid",
            "skip-networking": 1, "skip-log-bin": 1, "performance_schema": 0, "max_connections": 600,
            "innodb_flush_log_at_trx_commit": 0, "innodb_flush_method": "nosync", "innodb_doublewrite": 0,
            "character-set-server": "utf8mb4",
        }})  # fmt: skip
        (self.root / "rabbit/rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{RABBIT}\nlog.console = true\nlog.file = false\ndisk_free_limit.absolute = 50MB\n"
        )
        (self.root / "rabbit/enabled_plugins").write_text("[].")
