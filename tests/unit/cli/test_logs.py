# SPDX-License-Identifier: Apache-2.0
"""octaviactl logs: by names and parts of ids, readable for people and JSON for programs; config --json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from command_line import octaviactl
from octavia_provider.cli import logs
from octavia_provider.model.errors import NotFound
from octavia_provider.ports import Amphora
from real_plane import RealPlane

LINE = {
    "load_balancer": "web",
    "seconds": 0.2,
    "event": "applied",
    "level": "info",
    "timestamp": "2026-11-29T12:18:18.1Z",
}


def test_logs_are_found_by_name_with_and_without_a_control_plane() -> None:
    with RealPlane() as plane:
        balancer = plane.make("web-3139c48")
        network = plane.run(plane.plane.make("local_network", name="net"))
        host = plane.run(plane.plane.make("local_host", name="server-1", network_id=network["id"], command=["true"]))
        amphora = Amphora(id="7d58c021-8c3b-43e8-b8cd-f8eedd2286c3", load_balancer_id=balancer["id"])
        plane.run(plane.plane.store.write(lambda tx: tx.put_amphora(amphora)))
        log = Path(plane.home) / "log"
        log.mkdir()
        (log / f"amphora-{amphora.id}.log").write_text("of the amphora\n")
        (log / f"host-{host['id']}.log").write_text("of the host\n")
        assert octaviactl("logs", "web", "--home", plane.home).stdout == "of the amphora\n"
        listed = json.loads(octaviactl("logs", "--list", "--json", "--home", plane.home).stdout)["logs"]
        assert {"log": f"host-{host['id']}", "of": "host server-1"} in listed
        found = {path.stem: path for path in log.iterdir()}
        for _ in range(2):
            for name in ("web", "web-3139c48", amphora.id, "7d58c021"):
                assert logs.find_log(Path(plane.home), found, name).name == f"amphora-{amphora.id}.log"
            assert logs.find_log(Path(plane.home), found, "server-1").name == f"host-{host['id']}.log"
            (Path(plane.home) / "api.sock").unlink(missing_ok=True)
        with pytest.raises(NotFound, match="server-1: has written nothing yet"):
            logs.find_log(Path(plane.home), {}, "server-1")
        with pytest.raises(NotFound, match="nobody: has no log"):
            logs.find_log(Path(plane.home), found, "nobody")
        with pytest.raises(NotFound, match=r"matches several logs: .*, "):
            logs.find_log(Path(plane.home), found, "-")


def test_people_read_lines_and_programs_json(tmp_path: Path) -> None:
    (tmp_path / "control-plane.log").write_text(json.dumps(LINE) + "\nplain text\n")
    done = octaviactl("logs", "--home", str(tmp_path))
    assert done.stdout == "2026-11-29 12:18:18  info     applied  load_balancer=web  seconds=0.2\nplain text\n"
    done = octaviactl("logs", "--json", "--home", str(tmp_path))
    assert [json.loads(line) for line in done.stdout.splitlines()] == [LINE, {"event": "plain text"}]
    assert octaviactl("logs", "-n", "1", "--home", str(tmp_path)).stdout == "plain text\n"
    assert octaviactl("logs", "-n", "0", "--home", str(tmp_path)).stdout == ""


@pytest.mark.parametrize("line", ["7", "[]", "null", '"x"', "{}", '{"a": 1}', '{"event": null, "x": {}}', "{", ""])
def test_any_line_is_shown(line: str, tmp_path: Path) -> None:
    (tmp_path / "control-plane.log").write_text(f"{line}\n")
    assert octaviactl("logs", "--home", str(tmp_path)).returncode == 0
    done = octaviactl("logs", "--json", "--home", str(tmp_path))
    assert isinstance(json.loads(done.stdout), dict)


def test_following_goes_on_and_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "control-plane.log"
    path.write_text("")
    command = [sys.executable, "-u", "-m", "octavia_provider.cli.main", "logs", "--follow", "--home", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as following:
        assert following.stdout is not None
        with path.open("a") as file:
            file.write(json.dumps(LINE) + "\n\x1b[2J\n")
        assert following.stdout.readline() == "2026-11-29 12:18:18  info     applied  load_balancer=web  seconds=0.2\n"
        assert following.stdout.readline() == "\\x1b[2J\n"
        following.terminate()


def test_config_has_json_and_takes_the_resource_name() -> None:
    with RealPlane() as plane:
        balancer = plane.make("web-3139c48")
        found = json.loads(octaviactl("config", "web", "--json", "--home", plane.home).stdout)["load_balancers"]
        assert found == [{"id": balancer["id"], "name": "web-3139c48", "haproxy": f"# {balancer['id']}"}]
        done = octaviactl("config", "nope", "--home", plane.home)
        assert (done.returncode, done.stdout) == (1, "")
        assert "load balancer nope" in done.stderr


def test_each_of_several_control_planes_has_a_log() -> None:
    with tempfile.TemporaryDirectory() as home:  # pytest's folders are too long for sockets
        for name in ("one", "two"):
            folder = Path(home) / "instances" / name
            folder.mkdir(parents=True)
            (folder / "control-plane.log").write_text(f"of {name}\n")
        for words, shown in (((), "of one\n"), (("two",), "of two\n")):
            assert octaviactl("logs", *words, "--home", home).stdout == shown
        listed = json.loads(octaviactl("logs", "--list", "--json", "--home", home).stdout)["logs"]
        assert [log["log"] for log in listed if log["of"] == "control plane"] == ["one", "two"]
