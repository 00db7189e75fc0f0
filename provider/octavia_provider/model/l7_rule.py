# SPDX-License-Identifier: Apache-2.0
"""The L7 rule: one condition of an L7 policy (octavia-api v2, ``l7policies/{id}/rules``)."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from . import common, formats, regex
from .listener import RELOAD
from .metadata import Choice, Cost, OneOf, Reference, Replaces, Rule
from .scalars import Id, Text

TYPES = (
    Choice("HOST_NAME", "the name in the Host header, in any case, with or without its port and the dot at its end"),
    Choice("PATH", "the path of the URL, as it was sent or percent-decoded"),
    Choice("FILE_TYPE", "what follows the last dot of the path's last segment, as jpg"),
    Choice("HEADER", "the header `key`: one of its values, or its whole line"),
    Choice("COOKIE", "a cookie `key`, up to the next semicolon; with REGEX the first of that name"),
    Choice("METHOD", "the method, as GET; beyond Octavia"),
    Choice(
        "SOURCE_IP",
        "the client's address, against an address or a network (10.0.0.0/8, or ::/0 for IPv6 alone); beyond Octavia",
    ),
    Choice("SSL_CONN_HAS_CERT", "whether the client showed a certificate: `true`"),
    Choice("SSL_VERIFY_RESULT", "the result code of the certificate's verification; 0 means valid"),
    Choice("SSL_DN_FIELD", "the field `key` of the certificate's subject, as CN"),
)
COMPARE_TYPES = (
    Choice(
        "REGEX",
        "a regular expression (PCRE) is found in it; one that needs more steps or memory than haproxy gives it, as a repeated "
        "group on a very long text does, is not found",
    ),
    Choice("STARTS_WITH", "it starts with the value"),
    Choice("ENDS_WITH", "it ends with the value"),
    Choice("CONTAINS", "the value is somewhere in it"),
    Choice("EQUAL_TO", "it is the value"),
)
SSL_TYPES = ("SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD")
KEYED: Mapping[str, Callable[[str], str]] = {
    "HEADER": formats.header_name, "COOKIE": formats.cookie_name, "SSL_DN_FIELD": formats.dn_field,
}  # fmt: skip
KEY_IGNORED = ("HOST_NAME", "PATH", "FILE_TYPE")
"""Types that have no key, with which Octavia takes one and does nothing with it."""
EQUAL = ("EQUAL_TO",)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
COMPARISONS: Mapping[str, tuple[str, ...]] = {
    "FILE_TYPE": ("EQUAL_TO", "REGEX"), "METHOD": ("EQUAL_TO", "REGEX"),
    "SOURCE_IP": EQUAL, "SSL_CONN_HAS_CERT": EQUAL, "SSL_VERIFY_RESULT": EQUAL,
}  # fmt: skip


def _host(value: str) -> None:
    if not value.isascii():
        raise ValueError("must be ASCII: a client sends the xn-- form of a name that is not")


def _extension(value: str) -> None:
    """What ``FILE_TYPE`` compares is what follows the last dot; one before it may be written along."""
    name = value.removeprefix(".")
    if not name or "." in name or "/" in name:
        raise ValueError("must be one extension, as jpg: only what follows the last dot is compared (gz of a.tar.gz)")


def _network(value: str) -> None:
    network = ipaddress.ip_network(formats.cidr(value))
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError("is a network of IPv4-mapped addresses, which no client has: write it as one of IPv4")


def _true(value: str) -> None:
    if value.lower() != "true":
        raise ValueError("must be 'true' with SSL_CONN_HAS_CERT; use invert for its absence")


def _result(value: str) -> None:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("must be a whole number with SSL_VERIFY_RESULT")


VALUES: Mapping[str, Callable[[str], object]] = {
    "HOST_NAME": _host, "FILE_TYPE": _extension, "METHOD": formats.header_name, "SOURCE_IP": _network, "SSL_CONN_HAS_CERT": _true,
    "SSL_VERIFY_RESULT": _result,
}  # fmt: skip


def _comparison(rule: "L7Rule") -> str | None:
    allowed = COMPARISONS.get(rule.type)
    if allowed is None or rule.compare_type in allowed:
        return None
    return f"must be {' or '.join(allowed)} with {rule.type}"


def _key(rule: "L7Rule") -> str | None:
    grammar = KEYED.get(rule.type)
    if grammar is None:
        return f"does not go with {rule.type}" if rule.key and rule.type not in KEY_IGNORED else None
    if not rule.key:
        return f"is required with {rule.type}"
    return _complaint(grammar, rule.key)


def _idle_key(rule: "L7Rule") -> str | None:
    return f"has no effect with {rule.type}" if rule.key and rule.type in KEY_IGNORED else None


def _value(rule: "L7Rule") -> str | None:
    value = rule.value
    if rule.compare_type == "REGEX":
        return _complaint(regex.regular_expression, value)
    grammar = VALUES.get(rule.type)
    return (_complaint(grammar, value) if grammar else None) or _never(rule.type, rule.compare_type, value)


def _never(sort: str, how: str, value: str) -> str | None:
    """Why nothing that a client can send would match: with ``invert``, everything would."""
    at_start, at_end = how in ("EQUAL_TO", "STARTS_WITH"), how in ("EQUAL_TO", "ENDS_WITH")
    if sort == "PATH" and at_start and not value.startswith("/"):
        return "does not begin with /, as every path does: it would never match"
    if sort == "COOKIE" and ";" in value:
        return "holds a semicolon, which ends a cookie: it would never match"
    blank = (at_start and value.startswith(" ")) or (at_end and value.endswith(" "))
    if blank and sort in ("HOST_NAME", "HEADER", "COOKIE"):
        return "begins or ends with a blank, and those around a value are none of it (RFC 9110): it would never match"
    return None


def _complaint(grammar: Callable[[str], object], value: str) -> str | None:
    try:
        grammar(value)
    except ValueError as error:
        return str(error)
    return None


class L7Rule(common.Resource):
    """An L7 rule: one condition of an L7 policy. All rules of a policy must match; it has 50 at most."""

    KIND: ClassVar[str] = "l7_rule"
    LABEL: ClassVar[str] = "L7 rule"
    COLLECTION: ClassVar[str] = "rules"
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            on=("type", "compare_type"), at="compare_type", check=_comparison,
            doc="FILE_TYPE and METHOD go with EQUAL_TO and REGEX; SOURCE_IP, SSL_CONN_HAS_CERT and SSL_VERIFY_RESULT with EQUAL_TO.",
        ),
        Rule(
            on=("type", "key"), at="key", check=_key, doc="key goes with HEADER, COOKIE and SSL_DN_FIELD, which need it.",
        ),
        Rule(
            on=("type", "compare_type", "value"), at="value", check=_value,
            doc="value is what its type and comparison ask for, and can match; a regular expression is one that haproxy takes.",
        ),
    )  # fmt: skip

    NOTES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            on=("type", "key"), at="key", check=_idle_key, doc="key has no effect with HOST_NAME, PATH and FILE_TYPE."
        ),
    )

    l7policy_id: Annotated[Id, Reference("l7_policy"), Replaces("it is one of the conditions of that policy")] = Field(
        description="The policy it belongs to."
    )
    type: Annotated[str, OneOf(TYPES), Cost(RELOAD)] = Field(description="Which part of the request is compared.")
    compare_type: Annotated[str, OneOf(COMPARE_TYPES), Cost(RELOAD)] = Field(description="How it is compared.")
    key: Annotated[Text | None, Cost(RELOAD)] = Field(
        None, max_length=255, description="The name of the header, the cookie or the field."
    )
    value: Annotated[Text, Cost(RELOAD)] = Field(max_length=255, description="What it is compared with.")
    invert: Annotated[bool, Cost(RELOAD)] = Field(False, description="Inverts the result of the comparison.")
    admin_state_up: common.AdminStateUp = True
    tags: common.Tags = ()
    operating_status: common.OperatingStatus = ""
