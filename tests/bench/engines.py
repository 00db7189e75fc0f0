# SPDX-License-Identifier: Apache-2.0
"""Whole runs of a program: an ``up`` that makes 10, 100, 500 or 1,000 resources, then a preview, and a no-op ``up``.

With the embedded engine, and with the ``pulumi`` CLI where it is on PATH. Each also runs on an empty provider
(``empty_provider.py``): the difference is our share. The members' addresses lead nowhere and nobody checks them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .plugin import BIN
from .rows import Row, at_most, median
from .site import folder, purge
from .topics import Say

LARGE = 500
RUNS: dict[str, dict[int, int]] = {"embedded": {10: 3, 100: 3, 500: 3, 1000: 1}, "pulumi": {10: 3, 500: 1}}
"""Engine → resources → rounds. The CLI needs minutes for the larger ones: it writes the whole checkpoint at each step."""
PROGRAM = """
import pulumi, pulumi_octavia as octavia
count = pulumi.Config().require_int("count")
network = octavia.local.Network("net")
balancer = octavia.LoadBalancer("lb", vip_network_id=network.id)
listener = octavia.Listener("web", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
pool = octavia.Pool("pool", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
for n in range(count - 4):
    octavia.Member(f"m{n}", pool_id=pool.id, address=f"10.77.{n // 250}.{n % 250 + 1}", protocol_port=80)
"""
PROJECT = """name: bench
runtime:
  name: python
  options:
    virtualenv: {venv}
{plugins}"""
PLUGINS = """plugins:
  providers:
    - name: octavia
      path: {path}
"""
REAL = BIN / "pulumi-resource-octavia"


@dataclass
class Project:
    """One program with its stack, home and state in a directory of its own."""

    base: Path
    engine: str
    empty: bool
    environment: dict[str, str] = field(default_factory=dict)

    def make(self, count: int, program: str = PROGRAM) -> None:
        """Write it down; ``count`` is the program's to read."""
        for name in ("program", "plugin", "state", "pulumi"):
            (self.base / name).mkdir(exist_ok=True)
        self._plugin()
        plugins = PLUGINS.format(path=self.base / "plugin")
        (self.base / "program/Pulumi.yaml").write_text(PROJECT.format(venv=BIN.parent, plugins=plugins))
        (self.base / "program/__main__.py").write_text(program)
        (self.base / "program/Pulumi.dev.yaml").write_text(f"config:\n  bench:count: {count}\n")
        self.environment = os.environ | {
            "OCTAVIA_HOME": str(self.base / "home"),
            "OCTAVIA_STATE": str(self.base / "state"),
            "PULUMI_HOME": str(self.base / "pulumi"),
            "PULUMI_BACKEND_URL": f"file://{self.base / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "bench",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        self.run("stack", "init", "dev")
        if self.engine == "pulumi":
            # a stack's init writes its salt, and would drop what the file had
            self.run("config", "set", "count", str(count), "--stack", "dev")

    def _plugin(self) -> None:
        path = self.base / "plugin/pulumi-resource-octavia"
        if not self.empty:
            path.symlink_to(REAL)
            return
        here = Path(__file__).with_name("empty_provider.py")
        path.write_text(f"#!/bin/sh\nexec {sys.executable} {here}\n")
        path.chmod(0o755)

    def run(self, *words: str) -> float:
        """Run one command of the engine; seconds."""
        binary = "pulumi" if self.engine == "pulumi" else str(BIN / "octaviactl")
        return self._run(binary, *words, "-C", str(self.base / "program"))

    def octaviactl(self, *words: str, codes: Container[int] = (0,)) -> float:
        """Run a command of the operator's tool that ends with one of these codes; seconds."""
        return self._run(str(BIN / "octaviactl"), *words, codes=codes)

    def _run(self, *command: str, codes: Container[int] = (0,)) -> float:
        began = time.monotonic()
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode in codes, f"{command}: {done.stdout[-1500:]} {done.stderr[-1500:]}"
        return time.monotonic() - began

    def up(self) -> float:
        """Bring it about."""
        return self.run("up", "--stack", "dev", "--yes", *(["--skip-preview"] if self.engine == "pulumi" else []))

    def preview(self) -> float:
        """Only look."""
        return self.run("preview", "--stack", "dev")

    def close(self) -> None:
        """Take away the installation behind it."""
        if not self.empty:
            purge(self.base / "home")


def measured(engine: str, count: int, *, empty: bool) -> tuple[float, float, float]:
    """Seconds of the first ``up``, of a preview, and of an ``up`` that changes nothing, for a new project."""
    with folder() as base:
        project = Project(base, engine, empty)
        project.make(count)
        try:
            return project.up(), project.preview(), project.up()
        finally:
            project.close()


def _rows(engine: str, count: int, runs: int, say: Say) -> Iterator[Row]:
    real, empty = [], []
    for turn in range(runs):
        say(f"{engine}: {count} resources, round {turn + 1} of {runs}")
        real.append(measured(engine, count, empty=False))
        empty.append(measured(engine, count, empty=True))
    total, preview, again = (median(found) for found in zip(*real, strict=True))
    share = median(one[0] - other[0] for one, other in zip(real, empty, strict=True))
    name = f"engine.{engine}"
    first = "with the start of control plane and cloud"
    yield Row(f"{name}.up_{count}", total, "s", None, runs, first)
    yield Row(
        f"{name}.up_{count}_our_share",
        share,
        "s",
        at_most(5) if count == LARGE else None,
        runs,
        "less an empty provider",
    )
    yield Row(f"{name}.preview_{count}", preview, "s", None, runs)
    yield Row(f"{name}.no_op_up_{count}", again, "s", None, runs)


def measure(say: Say) -> Iterator[Row]:
    """Both engines, both sizes."""
    with_cli = shutil.which("pulumi") and shutil.which("pulumi-language-python")
    for engine in ("embedded", "pulumi") if with_cli else ("embedded",):
        for count, runs in RUNS[engine].items():
            yield from _rows(engine, count, runs, say)
