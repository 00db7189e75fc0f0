# SPDX-License-Identifier: Apache-2.0
"""``octaviactl doctor``: check this machine's prerequisites and the installation."""

from __future__ import annotations

import datetime as dt
import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from octavia_provider.kit import console
from octavia_provider.kit.console import styled
from octavia_provider.model.errors import OctaviaError

from . import cloud_choice, exit_codes, health, options

RUNS = "runs"
AUTHORITY_WARNING = dt.timedelta(days=300)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. ``needed``: load balancers do not work without it; ``fix``: what to do; ``implies``: its consequences."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True
    implies: tuple[str, ...] = ()


@click.command(epilog="Exit codes: 0 nothing that is needed is missing or broken; 1 something is.")
@options.home
@cloud_choice.options
@options.as_json
def doctor(
    *, home: str | None, cloud: str | None, os_cloud: str | None, config_file: Path | None, as_json: bool
) -> None:
    """Check this machine: kernel, tools, rights, the installation; say how to mend what is wrong.

    On OpenStack, in place of kernel and tools: credentials, the catalogue, networks, the flavor, the image, quotas. It makes nothing there.

    ✓ well, ✗ needed and missing or broken, ○ optional and not there.
    """
    from octavia_provider.kit import paths

    where = paths.home(home)
    is_openstack, name = cloud_choice.openstack(where, cloud=cloud, os_cloud=os_cloud, config_file=config_file)
    findings = [*(_openstack(name) if is_openstack else _cloud()), *_installation(where), *_login(), *_pulumi()]
    if as_json:
        options.print_json([asdict(finding) for finding in findings])
    else:
        _show(findings)
    if any(finding.needed and not finding.ok for finding in findings):
        sys.exit(exit_codes.FAILED)


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        if finding.ok:
            mark = styled("✓", fg="green")
        else:
            mark = styled("✗", fg="red") if finding.needed else styled("○", fg="yellow")
        console.echo(mark, f" {finding.name}: {finding.detail}")
        for consequence in finding.implies:
            console.echo(f"    {consequence}")
        if not finding.ok and finding.fix:
            console.echo(f"    {'try' if finding.needed else 'optional'}: {finding.fix}")
    broken = [finding.name for finding in findings if finding.needed and not finding.ok]
    console.echo("")
    console.echo(f"Missing or broken: {', '.join(broken)}." if broken else "All that is needed is there.")


def _cloud() -> Iterator[Finding]:
    from octavia_provider.clouds.netns import doctor as netns

    for check in netns.check():
        yield Finding(check.name, check.ok, check.detail, check.fix, implies=check.implies)


def _openstack(name: str | None) -> Iterator[Finding]:
    from octavia_provider.clouds.openstack import doctor as openstack

    for check in openstack.check(name):
        yield Finding(check.name, check.ok, check.detail, check.fix, needed=check.needed)


def _installation(where: Path) -> Iterator[Finding]:
    from octavia_provider.kit import homes, paths

    try:
        paths.api_socket(where)
        yield Finding("home", True, str(where))
    except ValueError as error:
        yield Finding("home", False, str(error), "export OCTAVIA_HOME=/var/lib/octavia")
        return
    control_plane = _control_plane(where)
    yield control_plane
    if control_plane.detail == RUNS:
        yield from _control_planes(where)
        yield from _certificates(where)
    if where.exists():
        if homes.is_disk_full(where):
            yield Finding(
                "disk of the home", False, "is full: nothing can be changed", f"make room on the disk of {where}"
            )
        private = where.stat().st_mode & 0o077 == 0
        fix = f"chmod 700 {where}"
        yield Finding("privacy of the home", private, f"mode {where.stat().st_mode & 0o777:o}", fix)


def _control_plane(where: Path) -> Finding:
    from octavia_provider.client import embedded
    from octavia_provider.kit import home_cloud, paths
    from octavia_provider.store import offline

    name, start = "control plane", home_cloud.start_hint(where)
    try:
        if embedded.running(where):
            return Finding(name, True, RUNS)
        if (elsewhere := paths.database_url(where)).exists():
            detail = f"does not run, and its state is in {elsewhere.read_text().strip()}: nobody watches or heals what there is"
            fix = "octaviactl serve --database URL, or octaviactl service install --database URL"
            on_openstack = f"{home_cloud.start_command(where)} --database URL"
            return Finding(name, False, detail, on_openstack if home_cloud.is_openstack(where) else fix)
        balancers = [one.name for one in offline.objects(paths.database(where)) if one.kind == "load_balancer"]
    except OctaviaError as error:
        return Finding(name, False, error.message, error.hint)
    except OSError as error:
        return Finding(
            name, False, f"does not run, and {error}", "put the database back from a copy, or: octaviactl purge"
        )
    if not balancers:
        ok, who = (
            (False, "`up` starts none")
            if home_cloud.is_openstack(where)
            else (True, "it starts when `up` makes something")
        )
        return Finding(name, ok, f"does not run; {who}", "" if ok else start, needed=ok)
    detail = f"does not run: nobody watches or heals {', '.join(balancers[:5])}{' and more' * (len(balancers) > 5)}"
    boot = f"octaviactl service install{' --config FILE' * home_cloud.is_openstack(where)}, to have it at every boot"
    return Finding(name, False, detail, f"{start}; {boot}")


def _login() -> Iterator[Finding]:
    """Where the environment says how to sign in to a cloud: who that is, and whether it has load balancers."""
    from octavia_provider.client import keystone

    if not keystone.named({}):
        return
    login = keystone.login({})
    name, told = "OpenStack user", login.source
    try:
        told = f"{login.source}, project {login.project_id}"
        yield Finding(name, True, f"{told}; load balancers: {login.endpoint}", needed=False)
    except OctaviaError as error:
        yield Finding(name, False, f"{told}: {error.message}", error.hint, needed=False)


def _heartbeats(heard: Mapping[str, Any]) -> Finding:
    fix = "look whether the control plane is reached (octaviactl logs); amphorae that are really lost: octaviactl failover"
    if heard.get("breaker_open"):
        return Finding("heartbeats", False, health.BREAKER.format(**heard), fix)
    silent, amphorae = heard.get("silent", 0), heard.get("amphorae", 0)
    return Finding("heartbeats", not silent, f"of {amphorae - silent} amphorae of {amphorae}", fix)


def _control_planes(where: Path) -> Iterator[Finding]:
    """Those that share a database."""
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline

    from . import health

    client = embedded.connect(home=str(where), start=False)
    try:
        processes = client.control_plane(deadline=Deadline(10.0)).get("control_planes", [])
    except OctaviaError as error:
        yield Finding("control planes", False, error.message, error.hint)
        return
    finally:
        client.close()
    if processes:
        silent = [one for one in processes if not one["alive"]]
        detail = "; ".join(map(health.control_plane, silent or processes))
        yield Finding("control planes", not silent, detail, "look at its log, and start it again", needed=False)


def _certificates(where: Path) -> Iterator[Finding]:
    """Of agents: whether they are heard, and their certificates (users' certificates are told of by ``status``)."""
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline

    name, deadline = "certificates of agents", Deadline(10.0)
    client = embedded.connect(home=str(where), start=False)
    try:
        facts = client.control_plane(deadline=deadline)
        authority = facts.get("certificate_authority") or {}
        found = client.request("GET", "/v2/octavia/amphorae", deadline=deadline).json()["amphorae"]
    except OctaviaError as error:
        yield Finding(name, False, error.message, error.hint)
        return
    finally:
        client.close()
    yield _heartbeats(facts.get("heartbeats") or {})
    if authority.get("expires"):
        end = dt.datetime.fromisoformat(authority["expires"])
        detail = f"good until {end:%Y-%m-%d}, and rotated a year before"
        if authority.get("phase"):
            waiting = len(authority.get("waiting", ()))
            detail = f"being rotated ({authority['phase']}), waits for {waiting} amphorae"
        yield Finding(
            "certificate authority", end - _now() > AUTHORITY_WARNING, detail, "octaviactl rotate --authority"
        )
    ends = sorted(amphora["cert_expiration"] for amphora in found if amphora["cert_expiration"])
    if ends:
        first = dt.datetime.fromisoformat(ends[0]).replace(tzinfo=dt.UTC)
        detail = f"good until {first:%Y-%m-%d}, and renewed before"
        yield Finding(name, first > _now(), detail, "octaviactl logs, for what is in the way of their renewal")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


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
