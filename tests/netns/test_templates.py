# SPDX-License-Identifier: Apache-2.0
"""An operator's templates over ours: what clients see of them, and what becomes of one that haproxy refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from .installation import Installation, Load, make_stack, until


def lay(folder: Path, line: str) -> Path:
    path = folder / "haproxy" / "listener.j2"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '{% extends "octavia/haproxy/listener.j2" %}\n{% block frontend %}\n'
        f"{{% if listener.protocol == 'HTTP' %}}\n    {line}\n{{% endif %}}\n{{% endblock %}}\n"
    )
    return path


def octaviactl(site: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "octavia_provider.cli.main", *words, "--home", str(site.home)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def header(url: str) -> str | None:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: str | None = answer.headers["X-Operator"]
        return found


def test_a_line_of_an_operator__from_diff_to_clients__and_one_that_haproxy_refuses(
    site: Installation, tmp_path: Path
) -> None:
    site.stop()
    path = lay(tmp_path, 'http-response set-header X-Operator "{{ listener.name | in_quotes }} one"')
    site.options = ("--templates-dir", str(tmp_path))
    site.start()
    stack = make_stack(site, members=1)
    name = stack.listener["name"]
    assert header(stack.url) == f"{name} one"

    lay(tmp_path, "http-response set-header X-Operator two")
    shown = octaviactl(site, "config", stack.load_balancer["id"], "--diff")
    assert "+    http-response set-header X-Operator two" in shown.stdout, shown.stderr
    assert header(stack.url) == f"{name} one", "looking changes nothing"
    with Load(stack.url) as load:
        assert octaviactl(site, "config", "--apply").returncode == 0
        until(lambda: header(stack.url) == "two", what="the new template to be in force")
        load.more(50)
    assert not load.failures
    assert octaviactl(site, "config", "--diff").stdout == ""
    (found,) = json.loads(octaviactl(site, "config", "--diff", "--shipped", "--json").stdout)["load_balancers"]
    added = [line for line in found["diff"] if line[0] == "+" and line[:3] != "+++"]
    assert added == ["+    http-response set-header X-Operator two"]

    lay(tmp_path, "http-respond set-header X-Operator three")
    refused = site.update("listener", stack.listener["id"], timeout_client_data=40_000)
    assert refused["provisioning_status"] == "ERROR"
    for word in (str(path), f"listener {stack.listener['id']}", "http-respond"):
        assert word in refused["provisioning_error"]
    assert header(stack.url) == "two", "what was in force still is"
    applied = octaviactl(site, "config", "--apply")
    assert applied.returncode == 1
    assert f"not in force: template {path}" in applied.stderr
    assert "X-Operator two" in octaviactl(site, "config").stdout, "it stays known"

    lay(tmp_path, "http-response set-header X-Operator {{ nobody }}")
    said = octaviactl(site, "config", "--diff")
    assert said.returncode == 1
    assert f"{path}, line 4" in said.stderr
    assert "'nobody' is undefined" in said.stderr
    healed = site.update("listener", stack.listener["id"], timeout_client_data=30_000)
    assert healed["provisioning_status"] == "ERROR", (
        "a template that cannot be rendered is not taken: the one of before is"
    )

    lay(tmp_path, "http-response set-header X-Operator four")
    assert site.update("listener", stack.listener["id"], timeout_client_data=20_000)["provisioning_status"] == "ACTIVE"
    assert header(stack.url) == "four"


def test_a_template_that_is_no_good__the_control_plane_does_not_start_and_says_where(tmp_path: Path) -> None:
    path = lay(tmp_path / "templates", "{% if %}")
    command = [sys.executable, "-m", "octavia_provider.cli.main", "serve", "--home", str(tmp_path / "home")]
    done = subprocess.run(
        [*command, "--templates-dir", str(tmp_path / "templates")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"{path}, line 4" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
