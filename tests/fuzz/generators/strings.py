# SPDX-License-Identifier: Apache-2.0
"""Strings: hostile ones, and for each format of the model some that it takes (or mostly takes)."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from octavia_provider.model import formats, regex, tls

from .chance import Draw

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = 70_000
NASTY = (
    "", " ", "\n", "\r\n", "\t", "\0", "\x7f", "\x1b[31m", "#", "# comment", '"', "'", "\\", "\\\n", "\\x0a", "$HOME", "${HOME}",
    '"$HOME"', "%", "%[src]", "%%", "{", "}", ";", "|", "`id`", "$(id)", "a b", "a\nb", "a#b", 'a"b', "a'b", "a\\",
    "x\n    server evil 192.0.2.1:80", "x\nfrontend evil\n    bind :1", "/\nbackend evil", '" \n    bind :1', "' #", ".if true",
    "http-request deny", "lua.evil", "../../etc/passwd", "-1", "0", "null", "ünï©ødé", "日本語", "\u2028", "\u202e", "\ufeff", "🦄",
    "if", "unless", "or", "||", "!", "--", "-m", "-i", "-f", "-f /etc/passwd", "if TRUE", "{ always_true }", "%[env(HOME)]", "%{+Q}r",
    ")", "),lower", '")', "a,b", "\\1", "\\0\\9", "\\", "%b", "${OCTAVIA_FILES}/x", "ssl", "*", "::", "@", "<", ".", "..", ".jpg",
    "x" * 255, "x" * 256, "/" + "y" * 254, "é" * 255, '"' * 255, "$" * 128, "%" * 255, "\\" * 255, " " * 255, "🦄" * 255, "x" * 1024,
    "x" * LONG,
)  # fmt: skip
"""What has broken configurations before, here or elsewhere, or looks as if it could."""

WORDS = string.ascii_letters + string.digits
TOKEN = "!#$%&'*+-.^_`|~" + WORDS
URL = "._~!$&'()*+,;=:@/?-" + WORDS
_REGEX = "()[]{}*+?|\\^$.-,:=<>!#'\" %/_" + "aAbBdDwWsSxnNRQEzZGKkpP0123"


def hostile(draw: Draw) -> str:
    """A string that nobody should write."""
    return draw.choice(NASTY) if draw.happens(60) else draw.characters(40, control=True)


def of(draw: Draw, form: Callable[[str], str]) -> str:
    """A string of this format; in some cases with something in it that should not be there."""
    good = FORMATS[form](draw)
    return _spoilt(draw, good) if draw.happens(4) else good


def _spoilt(draw: Draw, good: str) -> str:
    """A parser that takes the good part and leaves the rest alone lets the rest through (so did an address's zone)."""
    alien = draw.choice(_SIGNS) + (hostile(draw) if draw.happens(70) else draw.text(WORDS, 0, 6))
    at = draw.choice((0, len(good), len(good), draw.randint(0, len(good))))
    return good[:at] + alien + good[at:]


_SIGNS = ("", "%", "%25", "/", "?", "#", ":", ";", "@", ",", "-", "[", "]", "\0", "\n", " ", "=", "0")


def token(draw: Draw, most: int = 60) -> str:
    """A token of RFC 9110, in some cases one that looks like haproxy's own words."""
    if draw.happens(15):
        return draw.choice(
            ("if", "unless", "-m", "-f", "--", "||", "!", "'", "#", "$HOME", "%", "or", "TRUE", "*", "~", "`")
        )
    return draw.text(TOKEN, 1, most)


def line(draw: Draw) -> str:
    """Text without control characters."""
    return hostile(draw) if draw.happens(25) else draw.characters(40, control=False)


def address(draw: Draw) -> str:
    """An address that a member can have."""
    if draw.choice(draw.families) == 4:
        return f"10.{draw.choice((0, 1))}.0.{draw.randint(1, 250)}"
    return "FD00:0:0::AB" if draw.happens(10) else f"fd00::{draw.randint(1, 0xFFFF):x}"


def cidr(draw: Draw) -> str:
    """A network."""
    if draw.choice(draw.families) == 4:
        return (
            draw.choice(("0.0.0.0/0", "10.0.0.1"))
            if draw.happens(10)
            else f"10.{draw.randint(0, 99)}.2.3/{draw.randint(8, 32)}"
        )
    return "::/0" if draw.happens(10) else f"fd00:{draw.randint(1, 99)}::1/{draw.randint(16, 128)}"


def host(draw: Draw) -> str:
    """A name of a host."""
    return draw.choice(("a", "www.example.com", "_x.example", "A-b.c", "1.2.3.4", "x" * 63 + ".example"))


def path(draw: Draw) -> str:
    """A path of a URL."""
    return "/%41?a=b&c=%20" if draw.happens(15) else draw.text(URL, 0, 254, "/")


def url(draw: Draw) -> str:
    """An absolute URL."""
    start = f"http{draw.choice(('', 's'))}://{draw.text(URL.replace('/', '').replace('?', ''), 1, 40)}"
    return start + (draw.choice("/?#") + draw.text(URL + "%#[]", 0, 180) if draw.happens(70) else "")


def prefix(draw: Draw) -> str:
    """An absolute URL without a query or a fragment."""
    return url(draw).replace("?", "/").replace("#", "%23")[:255]


def codes(draw: Draw) -> str:
    """Status codes: one, a list, a range."""
    found = sorted(draw.randint(100, 599) for _ in range(draw.randint(2, 9)))
    return draw.choice((str(found[0]), f"{found[0]}-{found[1]}", ", ".join(map(str, found)), "100-599"))


def netmask(draw: Draw) -> str:
    """A netmask of either version."""
    return draw.choice(
        ("255.255.255.0", "255.255.255.255", "128.0.0.0", "ffff:ffff::", "FFFF:ffff:ffff:ffff::", "8000::")
    )


def service(draw: Draw) -> str:
    """The full name of a gRPC service."""
    return ".".join(draw.text(string.ascii_letters + "_", 1, 30) for _ in range(draw.randint(1, 4)))


def field_of_name(draw: Draw) -> str:
    """A field of a distinguished name."""
    return draw.choice(("CN", "OU", "cn", "emailAddress", "x-y", draw.text(WORDS + "-", 0, 20, "A")))


def ciphers(draw: Draw) -> str:
    """A list of OpenSSL's words, of both kinds."""
    parts: list[str] = draw.sample(_CIPHERS, draw.randint(1, 4)) if draw.happens(80) else []
    parts += draw.sample(sorted(tls.SUITES), draw.randint(0 if parts else 1, 3))
    draw.shuffle(parts)
    return ":".join(parts)


_CIPHERS: Sequence[str] = (
    "ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA", "ALL", "!aNULL", "-MD5", "+SHA1", "@SECLEVEL=0", "@STRENGTH", "HIGH", "kRSA+AES",
    "DEFAULT", "COMPLEMENTOFDEFAULT", "eNULL", "PSK", "@SECLEVEL=5", "ECDHE+AESGCM", "!ALL", "NONESUCH", "", "DHE", "TLSv1.2", "_",
)  # fmt: skip


def expression(draw: Draw, depth: int = 2) -> str:
    """A regular expression: one that should compile, or a heap of its signs."""
    if depth == 2 and draw.happens(30):
        return draw.text(_REGEX, 1, 60)
    parts = [
        _atom(draw, depth) + (draw.choice(_REPEATS) if draw.happens(35) else "") for _ in range(draw.randint(1, 4))
    ]
    return "".join(parts)


_REPEATS = ("*", "+", "?", "*?", "++", "{2}", "{1,}", "{0,3}", "{3,5}?")
_ATOMS = ("a", "Z", "/", "\\.", ".", "\\d", "\\W", "[a-z]", "[^\\s#]", "[[:alpha:]_-]", "\\x41", "\\b", "^", "$", "#", '"', " ", "'", "%", "\\$", "(?i)")  # fmt: skip
_GROUPS = ("({})", "(?:{})", "(?>{})", "(?={})", "(?!{})", "(?i:{})", "(?<n>{})", "({}|{})")


def _atom(draw: Draw, depth: int) -> str:
    if not depth or draw.happens(70):
        return draw.choice(_ATOMS)
    group = draw.choice(_GROUPS)
    return group.format(*(expression(draw, depth - 1) for _ in range(group.count("{}"))))


FORMATS: Mapping[Callable[[str], str], Callable[[Draw], str]] = {
    formats.text: line,
    formats.uuid_string: lambda draw: f"{draw.getrandbits(128):032x}",
    formats.ip_address: address,
    formats.member_address: address,
    formats.cidr: cidr,
    formats.cookie_name: token,
    formats.changeable_header: token,
    formats.host_name: host,
    formats.url_path: path,
    formats.http_url: url,
    formats.url_prefix: prefix,
    formats.expected_codes: codes,
    formats.netmask: netmask,
    formats.grpc_service: service,
    tls.ciphers: ciphers,
    regex.regular_expression: expression,
}
"""A new format needs a place here. (Which containers there are is said in ``drawn.containers``.)"""
