# SPDX-License-Identifier: Apache-2.0
"""A project on disk that runs against the probe provider: what the tests of the engine work with."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from octavia_engine import run, secrets, state, values
from octavia_engine.backend import Backend
from octavia_engine.display.plain import PlainDisplay
from octavia_engine.project import Project, StackSettings

HERE = Path(__file__).parent
PASSPHRASE = "correct horse"
CLASSES = """
import pulumi
from pulumi import ResourceOptions as O
class Balancer(pulumi.CustomResource):
    status: pulumi.Output[str]
    def __init__(self, n, opts=None, **k): super().__init__("probe:index:Balancer", n, {**k, "status": None}, opts)
class Listener(pulumi.CustomResource):
    def __init__(self, n, opts=None, **k): super().__init__("probe:index:Listener", n, {**k, "status": None}, opts)
class Member(pulumi.CustomResource):
    def __init__(self, n, opts=None, **k): super().__init__("probe:index:Member", n, {**k, "status": None}, opts)
"""


class Lines:
    """A stream that remembers."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


class Stack:
    """Project ``prog``, stack ``dev``, in a folder of its own; the provider's cloud is one JSON file in it."""

    def __init__(self, folder: Path, monkeypatch: Any) -> None:
        self.folder = folder / "prog"
        self.cloud_file, self.calls_file = folder / "cloud.json", folder / "calls.jsonl"
        for name in ("PULUMI_CONFIG_PASSPHRASE_FILE", "OCTAVIA_STATE"):
            monkeypatch.delenv(name, raising=False)
        self.environment = {
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PROBE_CLOUD": str(self.cloud_file),
            "PROBE_CALLS": str(self.calls_file),
        }
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        plugin = folder / "bin" / "pulumi-resource-probe"
        plugin.parent.mkdir()
        plugin.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "probe" / "provider.py"} "$@"\n')
        plugin.chmod(0o755)
        self.folder.mkdir()
        (self.folder / "Pulumi.yaml").write_text(
            "name: prog\nruntime: python\nplugins:\n  providers:\n    - {name: probe, path: ../bin}\n"
        )
        self.program("")

    def program(self, text: str) -> None:
        """The program; the classes of the probe are at hand."""
        self.source(CLASSES + text)

    def source(self, text: str) -> None:
        """The whole program."""
        (self.folder / "__main__.py").write_text(text)

    @property
    def backend(self) -> Backend:
        return Backend(Project.load(self.folder).state_dir)

    def run(self, kind: str, **options: Any) -> tuple[run.Result, str]:
        """Run up, preview, destroy, …: the result and what was shown."""
        lines = Lines()
        display = options.pop("display", None) or PlainDisplay(lines)  # type: ignore[arg-type]
        result = getattr(run, kind)(self.folder, "dev", run.Options(display=display, **options))
        return result, lines.text

    def up(self, text: str | None = None, **options: Any) -> tuple[run.Result, str]:
        """Run ``up``, with another program when one is given."""
        if text is not None:
            self.program(text)
        return self.run("up", **options)

    def deployment(self) -> dict[str, Any]:
        """The checkpoint, secrets in the clear as ``{signature, value}``."""
        path = self.backend.path("prog", "dev")
        latest: dict[str, Any] = json.loads(path.read_text())["checkpoint"]["latest"]
        salt = latest["secrets_providers"]["state"]["salt"]
        key = secrets.Secrets.open(salt, PASSPHRASE, "dev")
        latest["resources"] = values.decrypt(latest["resources"], key.decrypt)
        return latest

    def resources(self) -> dict[str, dict[str, Any]]:
        """Name → resource, of what the provider manages."""
        return {
            resource["urn"].split("::")[3]: resource
            for resource in self.deployment()["resources"]
            if resource["type"].startswith("probe:")
        }

    def seed(self, resources: list[dict[str, Any]]) -> None:
        """Start from a state: the checkpoint, and a cloud that has what it speaks of."""
        key = secrets.Secrets.new(PASSPHRASE)
        StackSettings(Project.load(self.folder), "dev").save_salt(key.salt)
        sealed = values.encrypt(values.decrypt(resources, key.decrypt), key.encrypt)
        self.backend.write("prog", "dev", state.new_deployment(sealed, [], key.provider()))
        objects = {
            resource["id"]: values.plain(resource.get("outputs") or {})
            for resource in resources
            if resource["custom"] and resource["type"].startswith("probe:") and "id" in resource
        }
        numbers = [int(ident.rpartition("-")[2]) for ident in objects]
        self.cloud_file.write_text(json.dumps({"last": max([0, *numbers]) + 100, "objects": objects}))

    def cloud(self) -> dict[str, Any]:
        """Id → object, of what exists."""
        if not self.cloud_file.exists():
            return {}
        found: dict[str, Any] = json.loads(self.cloud_file.read_text())["objects"]
        return found

    def put(self, ident: str, found: dict[str, Any]) -> None:
        """Make an object behind everybody's back."""
        data = json.loads(self.cloud_file.read_text())
        data["objects"][ident] = found
        self.cloud_file.write_text(json.dumps(data))

    def calls(self) -> list[dict[str, Any]]:
        """The calls that the provider got since this was asked last."""
        if not self.calls_file.exists():
            return []
        found = [json.loads(line) for line in self.calls_file.read_text().splitlines()]
        self.calls_file.unlink()
        return found

    def mutations(self) -> list[tuple[str, str]]:
        """(method, name) of the calls that changed something."""
        return [
            (call["method"].rpartition("/")[2], call["request"]["name"])
            for call in self.calls()
            if call["method"].endswith(("/Create", "/Update", "/Delete")) and not call["request"].get("preview")
        ]

    def child_environment(self, **more: str) -> dict[str, str]:
        """For an engine in a process of its own."""
        return os.environ | self.environment | more
