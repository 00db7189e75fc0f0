# SPDX-License-Identifier: Apache-2.0
"""What an amphora reads from its config drive, and what it makes of it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from octavia_amphora.config_drive import __main__ as program
from octavia_amphora.config_drive import documents, drive, network
from octavia_amphora.config_drive.documents import File, Interface, NotUnderstood
from octavia_provider.clouds.openstack import user_data

FILES = {
    "/etc/octavia-amphora/agent.json": (0o600, json.dumps({"listen_address": "192.0.2.15"}).encode()),
    "/run/octavia-amphora/agent.pem": (0o600, b"key and certificate\n"),
}
MAC = "fa:16:3e:00:00:01"


def written(interfaces: object, listen_address: str = "192.0.2.15") -> dict[str, bytes]:
    return {
        documents.SETTINGS: json.dumps({"listen_address": listen_address}).encode(),
        documents.INTERFACES: json.dumps(interfaces).encode(),
    }


def described(*addresses: dict[str, Any], mtu: int | None = 1450) -> dict[str, Any]:
    return {"mac": MAC.upper(), "mtu": mtu, "addresses": list(addresses)}


# ── user_data ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_files_are_those_that_the_control_plane_sent() -> None:
    text = base64.b64decode(user_data.encode(FILES, "an amphora")).decode()
    assert documents.files(text) == [File(path, mode, content) for path, (mode, content) in FILES.items()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\nreboot", "begins with '#!/bin/sh'"),
        ("#cloud-config\nwrite_files: []", "it is not JSON"),
        ("#cloud-config\n[]", "it is not an object"),
        ('#cloud-config\n{"write_files": 1}', "it is not a list"),
        ('#cloud-config\n{"write_files": [{"path": "etc/x"}]}', r"write_files\[0\]: the path 'etc/x'"),
        ('#cloud-config\n{"write_files": [{"path": "/run/../etc/x"}]}', "not an absolute one"),
        ('#cloud-config\n{"write_files": [{"path": "/x", "content": "x"}]}', r"\(/x\): only contents in base64"),
        ('#cloud-config\n{"write_files": [{"path": "/x", "encoding": "b64", "content": "?"}]}', r"\(/x\)"),
        ('#cloud-config\n{"write_files": [{"path": "/x", "encoding": "b64", "permissions": "9"}]}', r"\(/x\)"),
    ],
)
def test_what_is_not_understood_is_named(text: str, words: str) -> None:
    with pytest.raises(NotUnderstood, match=words):
        documents.files(text)


# ── meta_data.json ───────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("given", "name"),
    [("octavia-amphora-1.novalocal", "octavia-amphora-1"), ("a", "a"), ("", None), ("-x", None), ("a b", None)],
)
def test_the_host_name_is_the_first_label_of_the_servers(given: str, name: str | None) -> None:
    assert documents.host_name(json.dumps({"hostname": given})) == name


def test_keys_for_ssh_are_those_of_the_key_pair() -> None:
    assert documents.public_keys('{"public_keys": {"mine": "ssh-ed25519 AAAA me\\n"}}') == ["ssh-ed25519 AAAA me"]
    assert documents.public_keys("{}") == []


# ── the management interface ─────────────────────────────────────────────────────────────────────────────────────────
def test_the_interface_is_that_of_the_address_that_the_agent_listens_on() -> None:
    own = {"address": "192.0.2.15/24", "gateway": "192.0.2.1", "shared": False}
    other = {"address": "2001:db8::f/64", "gateway": "2001:db8::1"}
    elsewhere = {"mac": "fa:16:3e:00:00:02", "mtu": 1500, "addresses": [{"address": "198.51.100.7/24"}]}
    found = documents.management(written([elsewhere, described(own, other)]))
    assert found == Interface(MAC, 1450, ("192.0.2.15/24", "2001:db8::f/64"), ("192.0.2.1", "2001:db8::1"))


def test_an_address_that_vrrp_moves_is_no_management_address() -> None:
    shared = {"address": "192.0.2.15/24", "gateway": "192.0.2.1", "shared": True}
    assert documents.management(written([described(shared)])) is None
    assert documents.management({}) is None


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (described({"address": "192.0.2.15/33"}), r"\[0\]: .*192.0.2.15/33"),
        (described({"address": "192.0.2.15/24"}, mtu=9), "the MTU 9"),
        (described({"address": "192.0.2.15/24", "gateway": "me"}), "'me'"),
    ],
)
def test_an_interface_that_is_not_understood_is_named(one: object, words: str) -> None:
    with pytest.raises(NotUnderstood, match=words):
        documents.management(written([one]))


NOVA = {
    "links": [
        {"id": "tap1", "ethernet_mac_address": MAC, "mtu": 1450, "type": "ovs"},
        {"id": "tap2", "ethernet_mac_address": "fa:16:3e:00:00:02", "mtu": 1500, "type": "ovs"},
    ],
    "networks": [
        {
            "id": "network0", "link": "tap1", "type": "ipv4", "ip_address": "192.0.2.15", "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}],
        },
        {
            "id": "network1", "link": "tap1", "type": "ipv6", "ip_address": "2001:db8::f/64",
            "routes": [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}],
        },
        {"id": "network2", "link": "tap2", "type": "ipv4_dhcp"},
    ],
}  # fmt: skip


def test_without_the_control_planes_words_nova_tells_of_the_first_interface() -> None:
    found = documents.first_interface(json.dumps(NOVA))
    assert found == Interface(MAC, 1450, ("192.0.2.15/24", "2001:db8::f/64"), ("192.0.2.1", "2001:db8::1"))


def test_an_address_that_nova_does_not_tell_is_asked_for_by_dhcp() -> None:
    networks = [{"id": "network0", "link": "tap1", "type": "ipv4_dhcp"}]
    assert documents.first_interface(json.dumps({**NOVA, "networks": networks})) == Interface(MAC, 1450, dhcp=True)
    assert documents.first_interface('{"links": []}') is None


def test_ipv6_may_have_its_prefix_in_a_netmask() -> None:
    one = {"link": "tap1", "type": "ipv6", "ip_address": "2001:db8::f", "netmask": "ffff:ffff:ffff:ffff::"}
    found = documents.first_interface(json.dumps({**NOVA, "networks": [one]}))
    assert found
    assert found.addresses == ("2001:db8::f/64",)


def test_the_commands_can_be_repeated() -> None:
    interface = Interface(MAC, 1450, ("192.0.2.15/24", "2001:db8::f/64"), ("192.0.2.1", "2001:db8::1"))
    assert network.commands("eth0", interface) == [
        "link set lo up",
        "link set eth0 mtu 1450 up",
        "address replace 192.0.2.15/24 dev eth0",
        "address replace 2001:db8::f/64 dev eth0 nodad",
        "route replace default via 192.0.2.1 dev eth0 onlink metric 4096",
        "route replace default via 2001:db8::1 dev eth0 onlink metric 4096",
    ]


def test_an_interface_is_found_by_its_mac(tmp_path: Path) -> None:
    for name, mac in (("lo", "00:00:00:00:00:00"), ("eth1", MAC)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "address").write_text(f"{mac}\n")
    assert network.wait_for(MAC, 0, links=tmp_path) == "eth1"
    with pytest.raises(network.NoInterface, match=f"fa:16:3e:00:00:09 after 0 s; there are {MAC}"):
        network.wait_for("fa:16:3e:00:00:09", 0, links=tmp_path)


# ── the drive ────────────────────────────────────────────────────────────────────────────────────────────────────────
def iso9660(label: bytes) -> bytes:
    return bytes(32768) + b"\x01CD001\x01\x00" + b" " * 32 + label.ljust(32)


def fat(label: bytes, offset: int) -> bytes:
    return bytes(offset) + label.ljust(11) + bytes(512)


@pytest.mark.parametrize(
    "head", [iso9660(b"config-2"), fat(b"CONFIG-2", 43), fat(b"config-2", 71)], ids=["ISO 9660", "FAT16", "FAT32"]
)
def test_a_config_drive_is_known_by_its_label(head: bytes, tmp_path: Path) -> None:
    (devices := tmp_path / "class").mkdir()
    for name, content in (("loop0", head), ("sr0", head), ("vda", iso9660(b"cidata"))):
        (devices / name).mkdir()
        (tmp_path / name).write_bytes(content)
    assert drive.wait_for(0, devices=devices, nodes=tmp_path) == tmp_path / "sr0"


def test_where_there_is_none_the_devices_are_named(tmp_path: Path) -> None:
    (devices := tmp_path / "class").mkdir()
    (devices / "vda").mkdir()
    with pytest.raises(drive.NoDrive, match="none of vda is labelled config-2 after 0 s"):
        drive.wait_for(0, devices=devices, nodes=tmp_path)


def test_what_fails_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([drive.NoDrive("none"), drive.NoDrive("none"), OSError("eth0: no"), "/dev/sr0: 4 files"])

    def apply() -> str:
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    monkeypatch.setattr(program, "apply", apply)
    monkeypatch.setattr(program, "RETRY_SECONDS", 0)
    program.main()
    told = capsys.readouterr()
    assert told.err.splitlines() == ["octavia-amphora: config drive: none", "octavia-amphora: config drive: eth0: no"]
    assert told.out.startswith("octavia-amphora: config drive: /dev/sr0: 4 files, ")
