# SPDX-License-Identifier: Apache-2.0
"""``octaviactl doctor``: what this machine has, what it lacks, and how to mend it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from . import options


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. ``needed``: without it nothing works; ``fix``: what to do; ``implies``: what follows from what was found."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True
    implies: tuple[str, ...] = ()


@click.command()
@options.home
@options.as_json
def doctor(home: str | None, as_json: bool) -> None:
    """Check this machine: kernel, tools, rights, the installation; say how to mend what is wrong."""
    from octavia_provider.kit import paths

    where = paths.home(home)
    findings = [*_cloud(), *_installation(where), *_pulumi()]
    if as_json:
        options.print_json([asdict(finding) for finding in findings])
    else:
        _show(findings)
    if any(finding.needed and not finding.ok for finding in findings):
        sys.exit(1)


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        mark = (
            click.style("✓", fg="green") if finding.ok else click.style("✗", fg="red" if finding.needed else "yellow")
        )
        click.echo(f"{mark} {finding.name}: {finding.detail}")
        for sentence in finding.implies:
            click.echo(f"    {sentence}")
        if not finding.ok and finding.fix:
            click.echo(f"    try: {finding.fix}")


def _cloud() -> Iterator[Finding]:
    from octavia_provider.clouds.netns import doctor as netns

    for check in netns.check():
        yield Finding(check.name, check.ok, check.detail, check.fix, implies=check.implies)


def _installation(where: Path) -> Iterator[Finding]:
    from octavia_provider.client import embedded
    from octavia_provider.kit import paths

    try:
        paths.api_socket(where)
        yield Finding("home", True, str(where))
    except ValueError as error:
        yield Finding("home", False, str(error), "export OCTAVIA_HOME=/var/lib/octavia")
        return
    runs = embedded.running(where)
    stopped = "does not run, and this home has a store: nothing is watched or healed"
    if runs or not paths.database(where).exists():
        detail = "runs" if runs else "does not run; it starts when `up` makes something"
        yield Finding("control plane", True, detail)
    else:
        fix = "octaviactl start; octaviactl service install, to have it at every boot"
        yield Finding("control plane", False, stopped, fix, needed=False)
    if where.exists():
        private = where.stat().st_mode & 0o077 == 0
        fix = f"chmod 700 {where}"
        yield Finding("privacy of the home", private, f"mode {where.stat().st_mode & 0o777:o}", fix)


def _pulumi() -> Iterator[Finding]:
    cli = shutil.which("pulumi")
    yield Finding(
        "pulumi", cli is not None, cli or "not on PATH; the embedded engine (octaviactl up) runs the same programs",
        "install the pulumi CLI, if you want it", needed=False,
    )  # fmt: skip
    plugin = shutil.which("pulumi-resource-octavia") or str(Path(sys.executable).parent / "pulumi-resource-octavia")
    yield Finding(
        "plugin", Path(plugin).exists(), plugin, "pip install pulumi-resource-octavia, and put its bin folder on PATH"
    )
    sdk = importlib.util.find_spec("pulumi_octavia") is not None
    yield Finding(
        "SDK for Python", sdk, "pulumi_octavia is there" if sdk else "pulumi_octavia is not installed beside this tool",
        "pip install pulumi_octavia in the project's virtual environment", needed=False,
    )  # fmt: skip
