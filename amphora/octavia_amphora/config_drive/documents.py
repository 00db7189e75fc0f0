# SPDX-License-Identifier: Apache-2.0
"""The documents on a config drive, read without any I/O: ``user_data``, ``meta_data.json`` and ``network_data.json`` of OpenStack."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

HEADER = "#cloud-config"
SETTINGS = "/etc/octavia-amphora/agent.json"
INTERFACES = "/etc/octavia-amphora/interfaces.json"
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


class NotUnderstood(Exception):
    """A document is not what it should be. The message names it, and the place in it."""


@dataclass(frozen=True, slots=True)
class File:
    """To be written, with these permissions, owned by root."""

    path: str
    mode: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Interface:
    """How the interface with this MAC is configured. ``addresses``: with their prefixes. ``gateways``: at most one a family.
    ``dhcp``: the addresses are asked for. ``mtu``: in bytes, None: it stays."""

    mac: str
    mtu: int | None = None
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    dhcp: bool = False


def files(user_data: str) -> list[File]:
    """The ``write_files`` of a ``#cloud-config`` that is JSON, as the control plane writes it."""
    header, _, body = user_data.partition("\n")
    if header.strip() != HEADER:
        raise NotUnderstood(f"user_data: it begins with {header[:40]!r}, not with {HEADER}")
    listed = _object(_json("user_data", body), "user_data").get("write_files", [])
    return [_file(one, f"user_data: write_files[{number}]") for number, one in enumerate(_list(listed, "user_data"))]


def _file(one: object, where: str) -> File:
    given = _object(one, where)
    path, content = given.get("path"), given.get("content", "")
    if not isinstance(path, str) or not path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise NotUnderstood(f"{where}: the path {path!r} is not an absolute one")
    if given.get("encoding") != "b64" or not isinstance(content, str):
        raise NotUnderstood(f"{where} ({path}): only contents in base64 (encoding b64) are written")
    try:
        return File(path, int(given.get("permissions", "0644"), 8), base64.b64decode(content, validate=True))
    except (ValueError, TypeError, binascii.Error) as error:
        raise NotUnderstood(f"{where} ({path}): {error}") from None


def host_name(meta_data: str) -> str | None:
    """The first label of the server's name; None where that is none for a host."""
    name = str(_object(_json("meta_data.json", meta_data), "meta_data.json").get("hostname", "")).partition(".")[0]
    return name if _HOST.fullmatch(name) else None


def public_keys(meta_data: str) -> list[str]:
    """The public keys of the server's key pair, for SSH."""
    keys = _object(_json("meta_data.json", meta_data), "meta_data.json").get("public_keys") or {}
    return [str(key).strip() for key in _object(keys, "meta_data.json: public_keys").values()]


def management(written: Mapping[str, bytes]) -> Interface | None:
    """The interface of the address that the agent listens on, of the files that were written; None where none tells of it."""
    if SETTINGS not in written or INTERFACES not in written:
        return None
    address = _object(_json(SETTINGS, written[SETTINGS]), SETTINGS).get("listen_address")
    for number, one in enumerate(_list(_json(INTERFACES, written[INTERFACES]), INTERFACES)):
        where = f"{INTERFACES}: [{number}]"
        given = _object(one, where)
        own = [each for each in _list(given.get("addresses", []), where) if not _object(each, where).get("shared")]
        if any(str(each.get("address", "")).partition("/")[0] == address for each in own):
            return Interface(
                mac=str(given.get("mac", "")).lower(), mtu=_mtu(given.get("mtu"), where),
                addresses=tuple(_address(each["address"], where) for each in own),
                gateways=_first_gateways([each.get("gateway") for each in own], where),
            )  # fmt: skip
    return None


def first_interface(network_data: str) -> Interface | None:
    """The first one that Nova tells of: the management port is the first of a server's ports. None where there is none."""
    document = _object(_json("network_data.json", network_data), "network_data.json")
    links = _list(document.get("links", []), "network_data.json: links")
    if not links:
        return None
    where = "network_data.json: links[0]"
    link = _object(links[0], where)
    networks = [_object(one, where) for one in _list(document.get("networks", []), "network_data.json: networks")]
    own = [one for one in networks if one.get("link") == link.get("id")]
    static = [one for one in own if one.get("ip_address") and "dhcp" not in str(one.get("type"))]
    routes = [_object(route, where) for one in static for route in one.get("routes") or []]
    default = [route.get("gateway") for route in routes if str(route.get("netmask")) in ("0.0.0.0", "::")]  # noqa: S104
    return Interface(
        mac=str(link.get("ethernet_mac_address", "")).lower(), mtu=_mtu(link.get("mtu"), where),
        addresses=tuple(_address(_with_prefix(one), where) for one in static),
        gateways=_first_gateways(default, where), dhcp=not static,
    )  # fmt: skip


def _with_prefix(network: Mapping[str, Any]) -> str:
    """Nova gives IPv4's netmask beside the address, IPv6's prefix in it or as a netmask."""
    address, mask = str(network["ip_address"]), network.get("netmask")
    if "/" in address or mask is None:
        return address
    if ":" in address:
        return f"{address}/{int(ipaddress.IPv6Address(mask)).bit_count() if ':' in str(mask) else mask}"
    return f"{address}/{mask}"


def _address(text: object, where: str) -> str:
    try:
        return str(ipaddress.ip_interface(str(text)))
    except ValueError as error:
        raise NotUnderstood(f"{where}: {error}") from None


def _first_gateways(given: Sequence[object], where: str) -> tuple[str, ...]:
    found: dict[int, str] = {}
    try:
        for one in filter(None, given):
            gateway = ipaddress.ip_address(str(one))
            found.setdefault(gateway.version, str(gateway))
    except ValueError as error:
        raise NotUnderstood(f"{where}: {error}") from None
    return tuple(found.values())


def _mtu(value: object, where: str) -> int | None:
    if value is None or (isinstance(value, int) and 68 <= value <= 65535):
        return value
    raise NotUnderstood(f"{where}: the MTU {value!r} is not 68 to 65535")


def _json(name: str, text: str | bytes) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotUnderstood(f"{name}: it is not JSON: {error}") from None


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotUnderstood(f"{where}: it is not an object")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise NotUnderstood(f"{where}: it is not a list")
    return value
