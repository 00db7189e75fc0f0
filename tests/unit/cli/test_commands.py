# SPDX-License-Identifier: Apache-2.0
"""octaviactl: every command can be asked for help; errors are one line; purge removes what is ours alone."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from octavia_provider.cli.main import COMMANDS
from octavia_provider.client import embedded
from octavia_provider.client.waiting import Deadline
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
    code = "import sys, octavia_provider.cli.main; print([m for m in ('rich', 'grpc', 'httpx2', 'aiohttp') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nothing_runs__status_says_so_and_starts_nothing(tmp_path: Path) -> None:
    done = octaviactl("status", "--home", str(tmp_path))
    assert done.returncode == 0
    assert "No control plane runs here" in done.stdout
    assert json.loads(octaviactl("status", "--json", "--home", str(tmp_path)).stdout)["control_plane"] is None
    assert list(tmp_path.iterdir()) == []


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
