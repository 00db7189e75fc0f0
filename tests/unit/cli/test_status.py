# SPDX-License-Identifier: Apache-2.0
"""octaviactl status: everything of a load balancer, by name or id, what is wrong and why, in few requests; exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider.cli import exit_codes, health, overview_source, tree
from octavia_provider.client import client
from octavia_provider.model import statuses
from octavia_provider.model.errors import TransientError
from octavia_provider.store import offline
from real_plane import RealPlane


def test_all_parts_are_shown_with_what_they_do() -> None:
    with RealPlane() as plane:
        made = plane.make("web")
        done = octaviactl("status", "--home", plane.home)
        assert (done.returncode, done.stderr) == (exit_codes.OK, "")
        for part in (
            "HTTP :80", "TCP :81", "ROUND_ROBIN", "10.9.9.1:80  weight 1", "10.9.9.2:80  weight 2", "HTTP /healthy every 5 s",
            "L7 policy 1 web  REDIRECT_TO_POOL → web", "if PATH STARTS_WITH /api", made["vip_address"],
        ):  # fmt: skip
            assert part in done.stdout, done.stdout
        [shown] = json.loads(octaviactl("status", "--json", "--home", plane.home).stdout)["load_balancers"]
        [http, tcp] = shown["listeners"]
        assert (http["protocol"], http["protocol_port"], tcp["protocol"]) == ("HTTP", 80, "TCP")
        assert http["default_pool_id"] == shown["pools"][0]["id"]
        assert [member["weight"] for member in shown["pools"][0]["members"]] == [1, 2]


async def host(plane: RealPlane) -> None:
    network = await plane.plane.make("local_network", name="app-net")
    await plane.plane.make("local_host", name="app", network_id=network["id"], command=["true"])


def test_names_and_ids_choose_and_what_is_not_there_has_a_code_of_its_own() -> None:
    with RealPlane() as plane:
        made = {name: plane.make(name)["id"] for name in ("web", "api-0a1b2c3")}
        for word, found in (
            ("web", "web"),
            (made["web"], "web"),
            ("api", "api-0a1b2c3"),
            ("api-0a1b2c3", "api-0a1b2c3"),
        ):
            shown = json.loads(octaviactl("status", word, "--json", "--home", plane.home).stdout)
            assert [one["name"] for one in shown["load_balancers"]] == [found]
        plane.run(host(plane))
        assert "host app" in octaviactl("status", "--home", plane.home).stdout
        assert "host" not in octaviactl("status", "web", "--home", plane.home).stdout
        done = octaviactl("status", "web", "nope", "--home", plane.home)
        assert done.returncode == exit_codes.NOT_FOUND
        assert "no load balancer or amphora group nope" in done.stderr


def test_the_reason_of_an_error_is_shown_and_the_code_tells_of_it() -> None:
    with RealPlane() as plane:
        plane.plane.refuse.add("web")
        plane.make("web")
        done = octaviactl("status", "--home", plane.home)
        assert done.returncode == exit_codes.ERROR
        assert "! load balancer web: haproxy said no" in done.stdout
        assert "! listener web: haproxy said no" in done.stdout
        shown = json.loads(octaviactl("status", "--json", "--home", plane.home).stdout)
        assert "load balancer web: haproxy said no" in shown["troubles"]


def test_what_is_in_the_way_for_now_is_shown() -> None:
    with RealPlane() as plane:
        made = plane.make("web")
        plane.plane.status_cache.trouble = {made["id"]: "no descriptors"}.get  # type: ignore[method-assign,assignment]
        done = octaviactl("status", "--home", plane.home)
        assert "! load balancer web: no descriptors" in done.stdout
        assert done.returncode == exit_codes.DEGRADED


def test_requests_do_not_grow_with_what_is_shown() -> None:
    with RealPlane() as plane:
        asked = []
        for number in range(12):
            plane.make(f"lb-{number}")
            if number in (0, 11):
                before = plane.requests.count(1)
                assert octaviactl("status", "--home", plane.home).returncode == exit_codes.OK
                asked.append(plane.requests.count(1) - before)
        assert asked == [1, 1]


def test_more_than_a_page_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from octavia_provider.api import overview
    from octavia_provider.cli import overview_source
    from octavia_provider.client import embedded

    monkeypatch.setattr(overview, "PAGE", 2)
    with RealPlane() as plane:
        for number in range(5):
            plane.run(plane.plane.balancer(f"lb-{number}"))
        client = embedded.connect(home=plane.home, start=False)
        before = plane.requests.count(1)
        found = overview_source.overview(client)
        client.close()
        assert [one["name"] for one in found["load_balancers"]] == [f"lb-{number}" for number in range(5)]
        assert len(found["networks"]) == 5
        assert plane.requests.count(1) - before == 3


def test_without_a_control_plane_things_are_unknown_and_not_down() -> None:
    with RealPlane() as plane:
        plane.make("web")
        (Path(plane.home) / "api.sock").unlink()
        done = octaviactl("status", "web", "--home", plane.home)
        assert done.returncode == exit_codes.NO_CONTROL_PLANE
        assert "web" in done.stdout
        assert "UNKNOWN" in done.stdout
        assert not {"OFFLINE", "ONLINE", "ACTIVE"} & set(done.stdout.split())
        assert "octaviactl start" in done.stdout
        assert octaviactl("status", "other", "--home", plane.home).returncode == exit_codes.NOT_FOUND
        done = octaviactl("leftovers", "--home", plane.home)
        assert (done.returncode, "the control plane: does not run; it alone knows" in done.stderr) == (
            exit_codes.NO_CONTROL_PLANE,
            True,
        )
        shown = json.loads(octaviactl("status", "--json", "--home", plane.home).stdout)
        assert shown["control_plane"] is None
        assert [one["operating_status"] for one in shown["load_balancers"]] == [statuses.UNKNOWN]


def test_a_control_plane_that_cannot_read_its_store_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise TransientError("cannot be used now: connection refused", subject="store")

    monkeypatch.setattr(client, "RETRY_SECONDS", 0.0)
    with RealPlane() as plane:
        monkeypatch.setattr(client.Client, "_send", fail)
        for command in ("status", "events", "upgrade", "leftovers"):
            done = octaviactl(command, "--home", plane.home)
            assert done.returncode == exit_codes.NO_CONTROL_PLANE, command
            assert "store: cannot be used now: connection refused" in done.stderr


class Counting(dict[str, Any]):
    """A spec that counts what is asked of it."""

    asked = 0

    def get(self, *args: Any) -> Any:
        Counting.asked += 1
        return super().get(*args)


def test_without_a_control_plane_each_object_is_looked_at_a_few_times(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # fmt: skip
    def looks(count: int) -> int:
        known = [offline.Known("load_balancer", f"lb{n}", f"lb{n}", Counting()) for n in range(count)]
        known += [
            offline.Known("pool", f"p{n}", f"p{n}", Counting(loadbalancer_id=f"lb{n}", protocol="HTTP"))
            for n in range(count)
        ]
        monkeypatch.setattr(offline, "objects", lambda _: known)
        Counting.asked = 0
        found = overview_source.offline_overview(tmp_path, None)["load_balancers"]
        assert [[pool["id"] for pool in one["pools"]] for one in found] == [[f"p{n}"] for n in range(count)]
        return Counting.asked

    assert looks(20) == 2 * looks(10)


def test_an_endpoint_that_does_not_answer_has_the_code_of_that() -> None:
    done = octaviactl("status", "--endpoint", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (exit_codes.NO_CONTROL_PLANE, "")


def test_what_nobody_told_yet_is_unknown() -> None:
    with RealPlane() as plane:
        plane.make("web")
        plane.plane.status_cache.operating_status = lambda _record: statuses.OFFLINE  # type: ignore[method-assign]
        done = octaviactl("status", "--home", plane.home)
        assert done.returncode == exit_codes.DEGRADED
        assert "nothing was heard of its amphora yet" in done.stdout
        assert "OFFLINE" not in done.stdout


def test_watch_tells_of_each_change() -> None:
    with RealPlane() as plane:
        command = [
            sys.executable,
            "-m",
            "octavia_provider.cli.main",
            "status",
            "--watch",
            "--json",
            "--interval",
            "0.5",
        ]
        env = {**os.environ, "OCTAVIA_HOME": plane.home}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as watching:
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())["load_balancers"] == []
            plane.run(plane.plane.balancer("web"))
            names: list[str] = []
            while names != ["web"]:
                names = [one["name"] for one in json.loads(watching.stdout.readline())["load_balancers"]]
            watching.terminate()


SOON = {"message": "the certificate (CN=a) ends in 11 days, on 2026-01-01", "valid": True, "breaks": False}
OVER = {"message": "the certificate (CN=a) ended 3 days ago, on 2026-01-01", "valid": False, "breaks": True}
NODE = {"id": "i", "name": "n", "provisioning_status": "ACTIVE", "operating_status": "ONLINE", "admin_state_up": True}
HOST = {"id": "h", "role": "GROUP", "status": "ALLOCATED", "load_balancers": 3}
GROUP = {**NODE, "capacity": 9, "amphorae": [HOST]}
MEMBER = {**NODE, "address": "10.0.0.1", "protocol_port": 80, "weight": 1}


def overview(member: str = "ONLINE", listener: str = "ONLINE", balancer: str = "ONLINE", **more: Any) -> dict[str, Any]:
    pool = {**NODE, "healthmonitor": None, "members": [MEMBER, {**MEMBER, "operating_status": member}]}
    front = {**NODE, "operating_status": listener, "protocol": "HTTP", "protocol_port": 80, "l7policies": []}
    whole = {**NODE, "operating_status": balancer, "amphorae": [{"id": "a"}], "listeners": [front], "pools": [pool]}
    return {"load_balancers": [whole], "control_plane": {}, **more}


GONE = {"name": "one", "pid": 7, "machine": "m", "alive": False, "load_balancers": 0}


@pytest.mark.parametrize(
    ("found", "code", "says"),
    [
        (overview(), exit_codes.OK, ""),
        (overview(member="DRAINING"), exit_codes.OK, ""),
        (overview(member="NO_MONITOR"), exit_codes.OK, ""),
        (overview(member="ERROR", balancer="DEGRADED"), exit_codes.DEGRADED, "10.0.0.1:80 fails its health checks"),
        (overview(control_plane={"heartbeats": {"breaker_open": True, "silent": 7, "amphorae": 8}}), exit_codes.DEGRADED,
         "control plane: 7 of 8 amphorae are silent at once"),
        (overview(control_plane={"heartbeats": {"breaker_open": False, "silent": 1, "amphorae": 8}}), exit_codes.OK, ""),
        (overview(listener="OFFLINE"), exit_codes.DEGRADED, "haproxy does not serve it"),
        (overview(balancer="UNKNOWN"), exit_codes.DEGRADED, "nothing was heard"),
        (overview(balancer="ERROR"), exit_codes.ERROR, "operating status ERROR"),
        (overview(hosts=[{**NODE, "running": False}]), exit_codes.DEGRADED, "host n: its command does not run"),
        (overview(networks=[{**NODE, "provisioning_status": "ERROR", "provisioning_error": "no"}]), exit_codes.ERROR, "network n: no"),
        (overview(hosts=[{**NODE, "running": True, "provisioning_error": "no room"}]), exit_codes.DEGRADED, "host n: no room"),
        (overview(amphora_groups=[{**GROUP, "provisioning_status": "ERROR", "provisioning_error": "no host"}]), exit_codes.ERROR,
         "amphora group n: no host"),
        (overview(control_planes=[GONE, {**GONE, "alive": True}]), exit_codes.OK, "one (process 7 on m): says nothing any more; the others do its work"),
        (overview(control_planes=[GONE, GONE]), exit_codes.OK, "one (process 7 on m): says nothing any more\n"),
        (overview(tls_containers=[{**NODE, "provisioning_status": "PENDING_CREATE"}]), exit_codes.DEGRADED, "is being created"),
        (overview(amphora_groups=[{**GROUP, "provisioning_status": "PENDING_UPDATE"}]), exit_codes.DEGRADED, "is being changed"),
        (overview(amphora_groups=[GROUP | {"amphorae": [HOST]}]), exit_codes.OK, ""),
        (overview(amphora_groups=[GROUP | {"amphorae": [HOST | {"status": "BOOTING"}]}]), exit_codes.DEGRADED,
         "amphora h of the amphora group n: is not ready (BOOTING)"),
        (overview(amphora_groups=[GROUP | {"amphorae": [HOST | {"status": "PENDING_DELETE"}]}]), exit_codes.DEGRADED,
         "is being taken away; load balancers that are on it still: 3"),
        (overview(networks=[{**NODE, "provisioning_status": "PENDING_DELETE"}]), exit_codes.DEGRADED, "is being deleted"),
        (overview(tls_containers=[{**NODE, "certificate_warnings": [SOON]}]), exit_codes.OK, "ends in 11 days"),
        (overview(tls_containers=[{**NODE, "certificate_warnings": [OVER]}]), exit_codes.DEGRADED, "ended 3 days ago"),
    ],
)  # fmt: skip
def test_what_is_wrong(found: dict[str, Any], code: int, says: str) -> None:
    troubles = list(health.problems(found))
    assert health.exit_code(troubles) == code
    assert says in "\n".join(map(str, troubles))
    assert bool(troubles) == bool(says)


def test_what_serves_nothing_because_it_is_switched_off_is_no_trouble() -> None:
    found = overview(listener="OFFLINE", balancer="OFFLINE")
    [balancer] = found["load_balancers"]
    balancer["admin_state_up"] = False
    assert list(health.problems(found)) == []
    balancer["admin_state_up"] = True
    balancer["listeners"][0]["admin_state_up"] = False
    assert list(health.problems(found)) == []


def test_a_pool_that_two_listeners_share_is_shown_once() -> None:
    found = overview()
    [balancer] = found["load_balancers"]
    listener = {**balancer["listeners"][0], "default_pool_id": "i"}
    balancer |= {"vip_address": "10.0.0.9", "listeners": [listener, {**listener, "id": "j"}]}
    lines = ["".join(map(str, line)) for line in tree.balancers(found)]
    assert sum("member" in line for line in lines) == 2
    assert sum("shown above" in line for line in lines) == 1


def test_a_pair_is_shown_with_its_roles_and_who_has_the_vips() -> None:
    found = overview()
    [balancer] = found["load_balancers"]
    pair = [
        {"id": "m", "role": "MASTER", "status": "ALLOCATED", "vrrp_state": "BACKUP"},
        {"id": "b", "role": "BACKUP", "status": "ALLOCATED", "vrrp_state": "MASTER"},
    ]
    balancer |= {"vip_address": "10.0.0.9", "amphorae": pair}
    lines = ["".join(map(str, line)) for line in tree.balancers(found)]
    assert any(line.endswith("amphora m  MASTER  stands by") for line in lines), lines
    assert any(line.endswith("amphora b  BACKUP  has the VIPs") for line in lines)
    pair[0]["vrrp_state"] = "FAULT"
    lines = ["".join(map(str, line)) for line in tree.balancers(found)]
    assert any(line.endswith("amphora m  MASTER  cannot take the VIPs") for line in lines), lines
    balancer["amphorae"] = [{"id": "s", "role": "STANDALONE", "status": "ALLOCATED", "vrrp_state": None}]
    lines = ["".join(map(str, line)) for line in tree.balancers(found)]
    assert any(line.endswith("amphora s  STANDALONE  ALLOCATED") for line in lines), "operators need its id too"


def test_a_group_is_shown_with_its_amphorae_and_who_is_on_which() -> None:
    found = overview()
    [balancer] = found["load_balancers"]
    seat = {"id": "s", "role": "STANDALONE", "status": "ALLOCATED", "vrrp_state": None, "host_id": "h"}
    balancer |= {"vip_address": "10.0.0.9", "amphorae": [seat]}
    lines = ["".join(map(str, line)) for line in tree.balancers(found)]
    assert any(line.endswith("amphora s on h  STANDALONE  ALLOCATED") for line in lines)
    host = {"id": "h", "role": "GROUP", "status": "ALLOCATED", "vrrp_state": None, "load_balancers": 1}
    group = {"id": "g", "name": "shared", "capacity": 50, "amphorae": [host], "provisioning_status": "ACTIVE"}
    lines = ["".join(map(str, line)) for line in tree.groups({"amphora_groups": [group]}, ())]
    for names in (("shared",), ("other", "g")):
        assert len(list(tree.groups({"amphora_groups": [group]}, names))) == len(lines)
    assert not list(tree.groups({"amphora_groups": [group]}, ("other",)))
    assert all(word in lines[0] for word in ("amphora group", "shared", "ACTIVE"))
    assert lines[1].endswith("amphora h  1 of 50 load balancers  ALLOCATED")


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (5_000_000, "5.0 MB"), (10**15, "1000.0 TB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert tree.format_size(count) == shown


@pytest.mark.parametrize("command", ["status", "leftovers"])
def test_a_store_that_cannot_be_read_is_told_and_has_the_code_of_unknown(tmp_path: Path, command: str) -> None:
    (tmp_path / "octavia.db").write_bytes(b"")
    done = octaviactl(command, "--home", str(tmp_path))
    assert done.returncode == exit_codes.NO_CONTROL_PLANE
    assert "octaviactl adopt" in done.stdout + done.stderr
