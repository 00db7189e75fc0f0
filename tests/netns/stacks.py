# SPDX-License-Identifier: Apache-2.0
"""A Pulumi project of one test, run by either engine as a user runs it: a process, its words, its exit code.

Everything is the test's own: the project's folder, the stack's state, the passphrase, the home of the control plane.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavia_provider.client import embedded
from octavia_provider.client.client import Client
from octavia_provider.client.deadline import Deadline
from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.kit import paths
from octavia_provider.model.errors import OctaviaError
from octavia_provider.model.kinds import PARENTS

from .clouds import processes_of
from .installation import SERVER, Installation, until
from .processes import agents_among

ENGINES = ("embedded", "pulumi")
STACK = "dev"
REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
KINDS = {
    "octavia:index:LoadBalancer": "load_balancer", "octavia:index:Listener": "listener", "octavia:index:Pool": "pool",
    "octavia:index:Member": "member", "octavia:index:HealthMonitor": "health_monitor",
    "octavia:index:L7Policy": "l7_policy", "octavia:index:L7Rule": "l7_rule", "octavia:index:TlsContainer": "tls_container",
    "octavia:index:FlavorProfile": "flavor_profile", "octavia:index:Flavor": "flavor", "octavia:index:Quota": "quota",
    "octavia:index:AvailabilityZoneProfile": "availability_zone_profile",
    "octavia:index:AvailabilityZone": "availability_zone", "octavia:local:Network": "local_network", "octavia:local:Host": "local_host",
}  # fmt: skip
# Longer than any command of ours takes, shorter than a test may last.
PATIENCE = 100.0

HEAD = f"""
import pulumi
import pulumi_octavia as octavia
from pulumi import ResourceOptions as O

SERVER = '''{SERVER}'''

def host(name, network):
    command = ["python3", "-u", "-c", SERVER]
    return octavia.local.Host(name, network_id=network.id, command=command, environment={{"NAME": name}})
"""
WEB = """
network = octavia.local.Network("net")
balancer = octavia.LoadBalancer("web", vip_network_id=network.id)
listener = octavia.Listener("http", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
pool = octavia.Pool("servers", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
pulumi.export("url", listener.url)
"""


def have_pulumi() -> bool:
    """Whether the real CLI and its Python language host are there."""
    return all(shutil.which(name) for name in ("pulumi", "pulumi-language-python"))


@dataclass(frozen=True)
class Outcome:
    """How a command ended. ``text`` is all that a user saw."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"{self.out}\n{self.err}"

    @property
    def ok(self) -> bool:
        return self.code == 0

    def document(self) -> dict[str, Any]:
        """The JSON on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class Cloud:
    """Ids of what the embedded cloud has."""

    networks: list[str]
    hosts: list[str]
    amphorae: list[str]
    published: list[str]


async def _cloud(home: Path) -> Cloud:
    cloud = NetnsCloud(home)
    try:
        return Cloud(
            sorted(await cloud.networks()), sorted(await cloud.host_running()),
            sorted(host.amphora_id for host in await cloud.all_instances()),
            sorted(publication.listener_id for publication in await cloud.publications()),
        )  # fmt: skip
    finally:
        await cloud.close()


@dataclass
class Project:
    """Project ``prog``, stack ``dev``. ``engine`` is ``embedded`` or ``pulumi``."""

    engine: str
    folder: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    site: Installation = field(init=False)
    _client: Client | None = None

    def __post_init__(self) -> None:
        self.site = Installation(self.home)
        self.code = self.folder / "prog"
        self.code.mkdir(parents=True)
        self.state_dir.mkdir()
        runtime = {"name": "python", "options": {"virtualenv": str(Path(sys.prefix))}}
        (self.code / "Pulumi.yaml").write_text(json.dumps({"name": "prog", "runtime": runtime}))
        self.program("")
        quietly = ["--non-interactive"] if self.engine == "pulumi" else []
        done = self.run("stack", "init", STACK, *quietly, stack=False)
        assert done.ok, done.text

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    def program(self, text: str) -> None:
        """The program; ``pulumi``, ``octavia``, ``O`` and ``host`` are at hand."""
        self.source(HEAD + text)

    def source(self, text: str) -> None:
        """The whole program."""
        (self.code / "__main__.py").write_text(text)

    def environ(self) -> dict[str, str]:
        """What the commands see."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "OCTAVIA_"))}
        return {
            **ours,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OCTAVIA_HOME": str(self.home),
            "OCTAVIA_STATE": str(self.state_dir),
            "PULUMI_BACKEND_URL": f"file://{self.state_dir}",
            "PULUMI_HOME": str(self.folder / "pulumi-home"),
            "PULUMI_CONFIG_PASSPHRASE": "correct horse",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
            "NO_COLOR": "1",
            **self.environment,
        }

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def command(self, *words: str, stack: bool = True) -> list[str]:
        """The command line of either engine."""
        where = ["-C", str(self.code)] + (["--stack", STACK] if stack else [])
        if self.engine == "pulumi":
            return ["pulumi", *words, *where]
        return [str(BIN / "octaviactl"), *words, *where]

    def start(self, *words: str, stack: bool = True) -> subprocess.Popen[str]:
        """Begin a command, in a session of its own."""
        return subprocess.Popen(
            self.command(*words, stack=stack), env=self.environ(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *words: str, stack: bool = True) -> Outcome:
        """Run a command to its end."""
        return ended(self.start(*words, stack=stack))

    def up(self, text: str | None = None, *options: str) -> Outcome:
        """``up``, with another program when one is given."""
        if text is not None:
            self.program(text)
        return self.run("up", "--yes", "--skip-preview", *options)

    def begin_up(self, *options: str) -> subprocess.Popen[str]:
        """``up``, begun."""
        return self.start("up", "--yes", "--skip-preview", *options)

    def up_well(self, text: str | None = None, *options: str) -> Outcome:
        """``up``, which has to succeed."""
        done = self.up(text, *options)
        assert done.ok, done.text
        return done

    def preview(self, *options: str) -> Outcome:
        return self.run("preview", *options)

    def steps(self) -> list[dict[str, Any]]:
        """What a preview says of all that is not ``same``: ``op``, ``urn``, ``detailedDiff``, …"""
        done = self.run("preview", "--json")
        assert done.ok, done.text
        return [step for step in done.document()["steps"] if step["op"] != "same"]

    def changes(self) -> dict[str, dict[str, Any]]:
        """The same by the resource's name, which two of a step must not share."""
        return {step["urn"].split("::")[3]: step for step in self.steps()}

    def unchanged(self) -> None:
        """There is nothing to do."""
        done = self.run("preview", "--expect-no-changes", "--diff")
        assert done.ok, done.text

    def refresh(self) -> Outcome:
        return self.run("refresh", "--yes", "--skip-preview")

    def destroy(self) -> Outcome:
        return self.run("destroy", "--yes", "--skip-preview")

    @property
    def client(self) -> Client:
        """A client that starts the control plane where it does not run, as a plugin's does."""
        if self._client is None:
            self._client = embedded.connect(None, str(self.home))
        return self._client

    # ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────
    def outputs(self) -> dict[str, Any]:
        done = self.run("stack", "output", "--json")
        assert done.ok, done.text
        return done.document()

    def checkpoint(self) -> dict[str, Any]:
        """The deployment as it is kept."""
        path = self.state_dir / ".pulumi" / "stacks" / "prog" / f"{STACK}.json"
        found: dict[str, Any] = json.loads(path.read_text())["checkpoint"].get("latest") or {}
        return found

    def resources(self) -> dict[str, dict[str, Any]]:
        """Name/kind → resource in the state, of ours; what only waits for its deletion is not among them."""
        return {
            key(resource): resource
            for resource in self.checkpoint().get("resources") or []
            if resource["type"] in KINDS and not resource.get("delete")
        }

    def objects(self) -> dict[str, list[dict[str, Any]]]:
        """Kind → the objects that the control plane has."""
        deadline = Deadline(30.0)
        found = {}
        for kind in KINDS.values():
            if kind not in PARENTS:
                found[kind] = list(self.client.list(kind, deadline=deadline))
        for kind, (parent, _) in PARENTS.items():
            listed = (self.client.list(kind, deadline=deadline, parent=above["id"]) for above in found[parent])
            found[kind] = [item for items in listed for item in items]
        return found

    def amphorae(self) -> list[dict[str, Any]]:
        found = self.client.request("GET", "/v2/octavia/amphorae", deadline=Deadline(30.0)).json()
        return list(found["amphorae"])

    def assert_nothing_double(self) -> None:
        """The control plane has what the state has, the cloud has what the control plane has, and no more."""
        assert not [r for r in self.checkpoint()["resources"] if r.get("delete")]
        assert not self.checkpoint().get("pending_operations")
        wanted = Counter((KINDS[r["type"]], r["id"]) for r in self.resources().values())
        there = Counter((kind, item["id"]) for kind, items in self.objects().items() for item in items)
        assert there == wanted
        balancers = [item["id"] for item in self.objects()["load_balancer"]]
        assert sorted(a["loadbalancer_id"] for a in self.amphorae()) == sorted(balancers)
        self.assert_cloud_has_no_more()

    def assert_cloud_has_no_more(self) -> None:
        """What the cloud has is what the control plane wants: networks, hosts, amphorae, one haproxy and agent each."""
        objects, cloud = self.objects(), self.cloud()
        ids = {kind: sorted(item["id"] for item in items) for kind, items in objects.items()}
        amphorae = sorted(a["id"] for a in self.amphorae())
        assert cloud.networks == ids["local_network"]
        assert cloud.hosts == ids["local_host"]
        assert cloud.amphorae == amphorae
        assert cloud.published == sorted(item["id"] for item in objects["listener"] if item["url"])
        # a process that is being started looks like its parent for a moment
        until(lambda: len(self.agents()) == len(amphorae), what=f"{len(amphorae)} agents")

    def cloud(self) -> Cloud:
        """What the cloud says it has."""
        return asyncio.run(_cloud(self.home))

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────
    def plugins(self) -> list[int]:
        """The plugin's processes of this project."""
        return self.mine("pulumi-resource-octavia")

    def control_plane(self) -> int | None:
        """The control plane's process of this home, whoever started it."""
        with contextlib.suppress(OctaviaError, OSError):
            facts = self.site.client.control_plane(deadline=Deadline(0.5))
            return int(facts["pid"])
        return None

    def agents(self) -> list[int]:
        """The agents' processes; none where there is no cloud."""
        with contextlib.suppress(AssertionError, OSError):
            return agents_among(processes_of(self.site.holder))
        return []

    def mine(self, word: str) -> list[int]:
        """Processes whose command line has this word and whose environment or arguments have our home."""
        home = str(self.home).encode()
        mark = b"OCTAVIA_HOME=" + home
        found = []
        for entry in (e for e in Path("/proc").iterdir() if e.name.isdigit()):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if (
                    word.encode() in words
                    and (mark in (entry / "environ").read_bytes().split(b"\0") or home in words.split(b"\0"))
                    and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                ):
                    found.append(int(entry.name))
        return sorted(found)

    def tell(self) -> None:
        """The control plane's last words, for the report of a test that failed."""
        with contextlib.suppress(OSError):
            print("\n".join(paths.log_file(self.home).read_text().splitlines()[-60:]))

    def started_anything(self) -> bool:
        """Whether a control plane was started, or has ever been, in this home."""
        return (self.home / "api.sock").exists() or bool(self.mine("octavia_provider.cli.main"))


def command_line(pid: int) -> bytes:
    """The command line of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def key(resource: dict[str, Any]) -> str:
    """``kind/name`` of a resource in the state."""
    return f"{KINDS[resource['type']]}/{resource['urn'].split('::')[3]}"


def assert_no_traceback_of_ours(outcome: Outcome) -> None:
    """pulumi's language host shows one of its own when a plugin dies; ours may not be there."""
    assert "octavia_provider/" not in outcome.text, outcome.text
    assert "octavia_provider." not in outcome.text, outcome.text


def ended(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a command; one that takes too long is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        kill(process)
        out, err = process.communicate()
        raise AssertionError(f"did not end within {PATIENCE} s: {process.args}\n{out}\n{err}") from None
    return Outcome(process.returncode, out, err)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL a command with what it started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
