# SPDX-License-Identifier: Apache-2.0
"""Grammars of strings: each answers the canonical form, or raises ``ValueError`` with the reason.

No user string may open a new directive of haproxy: what is rendered unquoted is held to a narrow grammar here.
"""

from __future__ import annotations

import ipaddress
import re
import uuid

from . import echo
from .echo import quoted

_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}")
"""IPv4 as nearly all addresses are given, in the only spelling that they have."""
_SPECIAL = frozenset({0, 127, 169, *range(224, 256)})
"""The first bytes of IPv4 addresses among which are those that no member can have."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COOKIE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
)
_URL_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_SERVICE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_PROJECT = re.compile(r"[A-Za-z0-9_.-]+")
_HTTP_URL = re.compile(r"https?://[A-Za-z0-9._~!$&'()*+,;=:@%\[\]-]+([/?#][A-Za-z0-9._~!$&'()*+,;=:@%/?#\[\]-]*)?")
_FRAMING = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_HALF = re.compile("[\ud800-\udfff]")
_CODES = re.compile(r"[0-9]{3}(-[0-9]{3}|(\s*,\s*[0-9]{3})*)")


def text(value: str) -> str:
    """Free text on one line: nothing that nobody sees and that changes how the text around it is shown, in a terminal or
    anywhere (Unicode TR 36: spoofing by the direction of text)."""
    if value.isascii() and value.isprintable():
        return value
    place = next((place for place, character in enumerate(value) if echo.unseen(character)), None)
    if place is not None:
        raise ValueError(
            "must not contain control characters, line breaks or marks of direction: "
            f"U+{ord(value[place]):04X} is character {place + 1}"
        )
    return value


def uuid_string(value: str) -> str:
    """A UUID, in its lower-case form with dashes."""
    if _UUID.fullmatch(value):
        return value
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a UUID") from None


def project_id(value: str) -> str:
    """A project's id as Keystone has them: it stands in URLs."""
    if not _PROJECT.fullmatch(value):
        raise ValueError("must be an id: letters, digits, '-', '_' and '.'")
    return value


def zone_name(value: str) -> str:
    """The name of an availability zone: one line of text without a slash, since it stands in URLs."""
    if "/" in text(value) or value in {".", ".."}:
        raise ValueError("must not contain '/', nor be '.' or '..': it stands in URLs")
    return value


def container_ref(value: str) -> str:
    """A TLS container: its id, or a URL that ends with it."""
    return uuid_string(value.rstrip("/").rpartition("/")[2])


def _no_zone(value: str) -> None:
    """Python takes any text for the zone of an IPv6 address, line breaks included; it means nothing on another machine."""
    if "%" in value:
        raise ValueError(f"{quoted(value)} has a zone ('%'); an address must be the same on every machine")


def ip_address(value: str) -> str:
    """An IPv4 or IPv6 address in its shortest form."""
    return str(_address(value))


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    _no_zone(value)
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{quoted(value)} is not an IP address") from None


def member_address(value: str) -> str:
    """An address a member can have: not one that only this machine, everybody or nobody has. Mapped IPv4 (::ffff:10.0.0.1) is
    IPv4: to a kernel it is the same server."""
    if (plain := _IPV4.fullmatch(value)) and int(plain[1]) not in _SPECIAL:
        return value
    given = _address(value)
    address = getattr(given, "ipv4_mapped", None) or given
    if address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local:
        raise ValueError(f"{value} is a loopback, multicast, link-local or unspecified address; no member can have it")
    if address == _BROADCAST:
        raise ValueError(f"{value} is the broadcast address; no member can have it")
    return str(address)


def cidr(value: str) -> str:
    """A network in CIDR notation; host bits are dropped, as Octavia does."""
    _no_zone(value)
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a network in CIDR notation") from None


def netmask(value: str) -> str:
    """A netmask, of IPv4 or IPv6: ones, then zeros; in its shortest form."""
    mask = ipaddress.ip_address(ip_address(value))
    digits = f"{int(mask):0{mask.max_prefixlen}b}"
    if digits[0] == "0" or "01" in digits:
        raise ValueError(f"{value} is not a netmask, as 255.255.255.0 or ffff:ffff:: is")
    return str(mask)


def prefix_length(mask: str) -> int:
    """``255.255.255.0`` → 24."""
    return int(ipaddress.ip_address(mask)).bit_count()


def grpc_service(value: str) -> str:
    """The full name of a gRPC service: ``package.Service``."""
    if not _SERVICE.fullmatch(value):
        raise ValueError("must be the full name of a gRPC service, as package.Service")
    return value


def cookie_name(value: str) -> str:
    """A token of RFC 6265 (section 4.1.1) and RFC 9110."""
    if not _COOKIE.fullmatch(value):
        raise ValueError("must be a token as RFC 6265 asks: letters, digits and !#$%&'*+-.^_`|~")
    return value


def host_name(value: str) -> str:
    """A DNS name (RFC 1123, underscores and a dot at the end allowed), for the Host header of a check."""
    if not _HOST.fullmatch(value.removesuffix(".")):
        raise ValueError(f"{quoted(value)} is not a host name")
    return value


def url_path(value: str) -> str:
    """An absolute path with an optional query (RFC 3986), without spaces or fragments."""
    if not _URL_PATH.fullmatch(value):
        raise ValueError("must be an absolute URL path such as /healthz, without spaces, quotes or #")
    return value


def expected_codes(value: str) -> str:
    """``200``, ``200,202`` or ``200-204``: HTTP status codes between 100 and 599."""
    if not _CODES.fullmatch(value):
        raise ValueError("must be a code (200), a list (200,202) or one range (200-204)")
    codes = [int(code) for code in re.findall(r"\d{3}", value)]
    if not all(100 <= code <= 599 for code in codes):
        raise ValueError("codes must lie between 100 and 599")
    if "-" in value and codes[0] > codes[1]:
        raise ValueError("the range must go upwards")
    return re.sub(r"\s", "", value)


def http_url(value: str) -> str:
    """An absolute http or https URL (RFC 3986): what is not in its alphabet is percent-encoded."""
    if not _HTTP_URL.fullmatch(value):
        raise ValueError("must be an http:// or https:// URL; spaces, quotes and letters beyond ASCII percent-encoded")
    return value


def url_prefix(value: str) -> str:
    """An http or https URL that a path can follow: a query or a fragment would swallow it."""
    if "?" in value or "#" in value:
        raise ValueError("must not have a query (?) or a fragment (#): the path and query of the request follow it")
    return http_url(value)


def header_name(value: str) -> str:
    """A token of RFC 9110 (section 5.6.2), as the names of headers and methods are."""
    if not _COOKIE.fullmatch(value):
        raise ValueError("must be a token as RFC 9110 asks: letters, digits and !#$%&'*+-.^_`|~")
    return value


def changeable_header(value: str) -> str:
    """The name of a header that does not say where a message ends or how it is carried."""
    if header_name(value).lower() in _FRAMING:
        raise ValueError(f"{value} says how a message is carried; it cannot be changed")
    return value


def dn_field(value: str) -> str:
    """A field of a distinguished name, as CN or OU."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value):
        raise ValueError(f"{quoted(value)} is not a field of a distinguished name, as CN is")
    return value


def command_argument(value: str) -> str:
    """An argument of a command: anything but NUL, and what no text in UTF-8 can hold."""
    if "\0" in value:
        raise ValueError("must not contain NUL")
    if half := _HALF.search(value):
        raise ValueError(f"must be text: U+{ord(half[0]):04X}, character {half.start() + 1}, is half of a pair")
    return value


def user_name(value: str) -> str:
    """The name of a user of this machine."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value):
        raise ValueError(f"{quoted(value)} is not the name of a user")
    return value
