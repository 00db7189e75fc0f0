# SPDX-License-Identifier: Apache-2.0
"""octaviactl: every command can be asked for help; errors are one line; purge removes what is ours alone."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import command_line
from octavia_provider.cli.main import COMMANDS
from octavia_provider.client import embedded
from octavia_provider.client.deadline import Deadline
from octavia_provider.model.errors import Unreachable
from real_plane import RealPlane


def octaviactl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "octavia_provider.cli.main", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = octaviactl(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = "import sys, octavia_provider.cli.main; print([m for m in ('rich', 'grpc', 'httpx2', 'aiohttp', 'pydantic') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nothing_runs__status_says_so_and_starts_nothing(tmp_path: Path) -> None:
    done = octaviactl("status", "--home", str(tmp_path))
    assert done.returncode == 0
    assert "No control plane runs here" in done.stdout
    assert json.loads(octaviactl("status", "--json", "--home", str(tmp_path)).stdout)["control_plane"] is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(300)
def test_leftovers_are_shown_and_deleted(tmp_path: Path) -> None:
    done = octaviactl("leftovers", "--home", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "No control plane runs here.\n")
    owner = {"provider": str(uuid.uuid4()), "urn": "urn:crashed"}
    with RealPlane() as plane:
        client = embedded.connect(home=plane.home, start=False)
        for asked in ({"owner": owner}, {}):
            body = {"network": {"name": "left"}, **asked}
            client.request("POST", "/v2/local/networks", json=body, wait=5, deadline=Deadline(10.0))
        client.close()
        left, kept = plane.objects()
        done = octaviactl("leftovers", "--home", plane.home, "--json")
        assert [item["id"] for item in json.loads(done.stdout)["leftovers"]] == [left]
        done = octaviactl("leftovers", "--home", plane.home, "--delete", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        assert "urn:crashed" in done.stdout
        assert plane.objects() == [kept]
        assert octaviactl("leftovers", "--home", plane.home).stdout == "no leftovers\n"


def test_config_where_nothing_runs_says_what_to_do(tmp_path: Path) -> None:
    done = octaviactl("config", "web", "--home", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "error: the control plane: does not run. Try: octaviactl start\n")


def test_purge_leaves_a_folder_alone_that_is_no_installation(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "mine.txt").write_text("x")
    done = octaviactl("purge", "--yes", "--home", str(tmp_path))
    assert done.returncode == 1
    assert "nothing was removed" in done.stderr
    assert (tmp_path / "cloud" / "mine.txt").exists()


def test_purge_of_a_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    done = octaviactl("purge", "--yes", "--home", str(path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert path.exists()


def test_no_color_is_honoured(tmp_path: Path) -> None:
    done = octaviactl("config", "web", "--home", str(tmp_path), NO_COLOR="1", FORCE_COLOR="1")
    assert "\x1b" not in done.stderr


class Member(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"me\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Member) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_try_shows_who_answers(url: str) -> None:
    answers = json.loads(octaviactl("try", url, "-n", "3", "--json").stdout)["answers"]
    assert [(a["status"], a["by"]) for a in answers] == [(200, "me")] * 3
    assert "me 3/3" in octaviactl("try", url, "-n", "3").stdout


def test_try_fails_where_nobody_answers() -> None:
    done = octaviactl("try", "http://127.0.0.1:9", "-n", "1")
    assert done.returncode == 1
    assert "not every request was answered" in done.stderr


def test_the_unit_file_of_the_service_names_the_home(tmp_path: Path) -> None:
    done = octaviactl("service", "install", "--print", "--home", str(tmp_path))
    assert f"serve --stay --home {tmp_path}" in done.stdout
    told = json.loads(octaviactl("service", "install", "--print", "--json", "--home", str(tmp_path)).stdout)
    assert told["text"] == done.stdout


@pytest.mark.timeout(600)  # ten processes
def test_stacks_are_told_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "x")
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)

    def told(*words: str) -> Any:
        done = octaviactl("stack", *words, "--cwd", str(tmp_path), "--json")
        assert (done.returncode, done.stderr) == (0, ""), words
        return json.loads(done.stdout)

    assert told("init", "dev") == {"name": "dev", "made": True}
    assert told("select", "dev") == {"name": "dev", "made": False}
    assert told("select", "prod", "--create") == {"name": "prod", "made": True}
    exported = octaviactl("stack", "export", "--cwd", str(tmp_path)).stdout
    (tmp_path / "document").write_text(exported)
    assert told("import", "--file", str(tmp_path / "document")) == {"name": "prod", "imported": 0}
    assert told("forget", "--all", "--yes") == {"name": "prod", "forgotten": []}
    assert told("rm", "prod", "--yes") == {"name": "prod", "removed": True}
    assert [one["name"] for one in told("ls")] == ["dev"]


def test_a_purge_tells_in_json_what_it_left(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert json.loads(octaviactl("purge", "--yes", "--json", "--home", str(home)).stdout) == {
        "home": str(home), "removed": False, "left": [],
    }  # fmt: skip


HERE = {"PULUMI_CONFIG_PASSPHRASE": "x"}
PROJECT = "name: p\nruntime: python\n"
IMPORT = ("stack", "import", "--file", "document")
BROKEN: dict[str, tuple[dict[str, bytes], tuple[str, ...], str]] = {
    "a project that is not UTF-8": ({"Pulumi.yaml": b"name: \xff"}, ("stack", "ls"), "is not UTF-8"),
    "a name and a runtime that are numbers": (
        {"Pulumi.yaml": b"name: 5\nruntime: 7"}, ("stack", "ls"),
        "name: must be text, and is 5; runtime: must be text, as `python` is, and is 7",
    ),
    "another runtime without a name": (
        {"Pulumi.yaml": b"runtime: {name: go}"}, ("stack", "ls"), "a project needs a name; runtime.name: 'go': the embedded",
    ),
    "a virtualenv that does not exist": (
        {"Pulumi.yaml": b"name: p\nruntime: {name: python, options: {virtualenv: none}}"}, ("stack", "ls"),
        "the virtualenv none does not exist",
    ),
    "a virtualenv that is none": (
        {"Pulumi.yaml": b"name: p\nruntime: {name: python, options: {virtualenv: venv}}", "venv/x": b""}, ("stack", "ls"),
        "the virtualenv venv has no Python",
    ),
    "a stack's file of another shape": ({"Pulumi.dev.yaml": b"config: 7"}, ("preview",), "config: is not a mapping"),
    "a document that is not UTF-8": ({"document": b"\xff"}, IMPORT, "not JSON"),
    "a document of endless brackets": ({"document": b"[" * 100_000}, IMPORT, "not JSON"),
    "an export that is a list": ({"document": b"[]"}, IMPORT, "not an export of version 3"),
    "resources that are a number": (
        {"document": b'{"version": 3, "deployment": {"resources": 7}}'}, IMPORT, "resources: is not a list",
    ),
    "a resource without a name": (
        {"document": b'{"version": 3, "deployment": {"resources": [{}]}}'}, IMPORT, "resources[0]: has no urn",
    ),
    "a checkpoint that is a list": ({".octavia/state/.pulumi/stacks/p/dev.json": b"[]"}, ("stack", "export"), "not readable"),
    "a checkpoint with half a resource": (
        {
            ".octavia/state/.pulumi/stacks/p/dev.json":
                b'{"version": 3, "checkpoint": {"latest": {"resources": [{"urn": "x"}]}}}',
        },
        ("stack", "export"), "has no type",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_of_in_one_line(name: str, tmp_path: Path) -> None:
    files, arguments, says = BROKEN[name]
    for path, content in {"Pulumi.yaml": PROJECT.encode(), "__main__.py": b"", **files}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    given = [str(tmp_path / word) if word == "document" else word for word in arguments]
    done = octaviactl(*given, "-C", str(tmp_path), **HERE, OCTAVIA_HOME=str(tmp_path / "home"))
    assert done.returncode in (1, 2)
    assert says in done.stderr, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.timeout(2 * embedded.START_TIMEOUT + 60)
def test_a_control_plane_that_cannot_start_says_why_once(tmp_path: Path) -> None:
    """A start is two processes (a check of the machine, the control plane) with 2 s of imports; its own deadline ends one that hangs."""
    (tmp_path / "octavia.db").write_text("junk")
    for _ in range(2):
        done = command_line.octaviactl("start", "--home", str(tmp_path))
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("file is not a database") == 1
        assert "Traceback" not in done.stderr + (tmp_path / "control-plane.log").read_text()


def test_json_alone_is_on_standard_output__and_a_wrong_endpoint_is_told_at_once() -> None:
    done = octaviactl("status", "--json", "--endpoint", "garbage")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is no URL of a control plane" in done.stderr


def test_try_fails_where_members_do(tmp_path: Path) -> None:
    class Unwell(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unwell) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = octaviactl("try", f"http://127.0.0.1:{server.server_port}/", "-n", "2")
        server.shutdown()
    assert done.returncode == 1
    assert "2 of 2 requests were answered with 503" in done.stderr
    assert octaviactl("try", "notaurl").returncode == 2


def test_a_fault_of_ours_is_one_line_and_a_file() -> None:
    code = (
        "import click, octavia_provider.cli.main as m\n"
        "def broken(*_, **__): raise RuntimeError('never\\nseen')\n"
        "m.octaviactl.main = broken\nm.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: octaviactl failed: RuntimeError: never seen. Try: report it, with ")
    log = Path(done.stderr.split()[-1])
    assert "Traceback" in log.read_text()
    log.unlink()


def test_purge_takes_what_a_failed_start_left(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for name in ("control-plane.log", "start.lock", "mine.txt"):
        (home / name).touch()
    (home / "log").mkdir()
    assert octaviactl("purge", "--home", str(home), "--yes").returncode == 1
    (home / "mine.txt").unlink()
    done = octaviactl("purge", "--home", str(home), "--yes")
    assert (done.returncode, done.stdout) == (0, f"removed {home}\n")


def test_stop_takes_a_control_plane_that_was_killed_meanwhile_as_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers when it is looked for, and its socket is dead when it is asked to stop."""
    path = tmp_path / "api.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    answers = iter([True])
    monkeypatch.setattr(embedded, "answers", lambda _: next(answers, False))
    embedded.stop(tmp_path, Deadline(0.1))
    monkeypatch.setattr(embedded, "answers", lambda _: True)
    with pytest.raises(Unreachable):
        embedded.stop(tmp_path, Deadline(0.1))
    listening.close()


def test_purge_takes_a_home_whose_key_is_lost(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "serve.lock").touch()
    (home / "octavia.db").write_text("notes of mine")
    done = octaviactl("purge", "--home", str(home), "--yes")
    assert done.returncode == 1
    assert (home / "octavia.db").exists()
    (home / "octavia.db").write_bytes(b"SQLite format 3\0")
    done = octaviactl("purge", "--home", str(home), "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"removed {home}\n"
    assert not home.exists()
