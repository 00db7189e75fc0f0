# SPDX-License-Identifier: Apache-2.0
"""The bad inputs of L7 policies and rules: rows of the table in ``bad_inputs``."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from octavia_provider.model.errors import Path
from octavia_provider.model.l7_rule import COMPARE_TYPES

ID = str(uuid.UUID(int=7))
Row = tuple[str, Mapping[str, Any], Path, str]
# value, pattern, words of the message
REPLACEMENTS = (
    ("x\\x0d\\x0aEvil: 1", "x", "has \\x at character 2"), ("a\\n", "x", "has \\n at character 2"), ("é\\é", "x", "has \\é"),
    ("x\\", "x", "ends with a backslash"), ("\\\\\\", "x", "ends with a backslash"),
    ("\\1", "(?:x)", "but 0"), ("\\0 \\1 \\2 \\3", "(x)(?<n>y)(?=z)", "has \\3 at character 10"), ("\\9", "[(](x)\\(", "but 1"),
)  # fmt: skip


def policies() -> Iterator[Row]:
    """What goes with which action, and what a header change needs."""
    url = "http://a.example"
    targets = {"REDIRECT_TO_POOL": ("redirect_pool_id", ID), "REDIRECT_TO_URL": ("redirect_url", url),
               "REDIRECT_PREFIX": ("redirect_prefix", url)}  # fmt: skip
    for action, (name, value) in targets.items():
        yield "l7_policy", {"action": action}, (name,), f"is required with {action}"
        yield "l7_policy", {name: value}, (name,), f"goes with {action} only"
    yield "l7_policy", {"redirect_http_code": 302}, ("redirect_http_code",), "and the action is REJECT"
    moved = {"action": "REDIRECT_TO_URL", "redirect_url": url, "redirect_http_code": 304}
    yield "l7_policy", moved, ("redirect_http_code",), "304 is not one of 301, 302, 303, 307, 308"
    yield "l7_policy", {"action": "CHANGE_HEADERS"}, ("header_changes",), "is required with CHANGE_HEADERS"
    removal = {"operation": "REMOVE", "name": "X-A"}
    much = [{"operation": "SET", "name": f"X-{n}", "value": "v" * 1019} for n in range(4)]
    for more, bytes_ in ((much, 4104), ([*much[:3], {**much[3], "value": "é" * 510}], 4105)):
        given = {"action": "CHANGE_HEADERS", "header_changes": more}
        yield "l7_policy", given, ("header_changes",), f"put {bytes_} bytes into a message; there is room for 4096"
    yield "l7_policy", {"header_changes": [removal]}, ("header_changes",), "must have message RESPONSE"
    changes: tuple[tuple[dict[str, Any], str, str], ...] = (
        ({**removal, "value": "x"}, "value", "does not go with REMOVE"),
        ({**removal, "pattern": "x"}, "pattern", "goes with REWRITE only"),
        ({**removal, "name": "a b"}, "name", "must be a token"),
        ({**removal, "name": "Content-Length"}, "name", "how a message is carried"),
        ({"operation": "SET", "name": "X-A"}, "value", "is required with SET"),
        ({"operation": "SET", "name": "X-A", "value": "a\nb"}, "value", "control characters"),
        ({"operation": "REWRITE", "name": "X-A", "value": "x"}, "pattern", "is required with REWRITE"),
        ({"operation": "REWRITE", "name": "X-A", "value": "x", "pattern": "("}, "pattern", "is not closed"),
        *(
            ({"operation": "REWRITE", "name": "X-A", "value": value, "pattern": pattern}, "value", says)
            for value, pattern, says in REPLACEMENTS
        ),
        ({"operation": "BURN", "name": "X-A"}, "operation", "is not one of"),
        ({"operation": "ADD", "name": "host", "value": "a"}, "operation", "would add Host"),
        ({"operation": "REMOVE", "name": "Host"}, "operation", "would remove Host"),
    )
    for change, at, says in changes:
        given = {"action": "CHANGE_HEADERS", "header_changes": [{"operation": "REMOVE", "name": "X-B"}, change]}
        yield "l7_policy", given, ("header_changes", 1, at), says


def rules() -> Iterator[Row]:
    """What goes with which type."""
    rows: tuple[tuple[dict[str, Any], str, str], ...] = (
        ({"type": "FILE_TYPE", "compare_type": "STARTS_WITH"}, "compare_type", "must be EQUAL_TO or REGEX"),
        ({"type": "METHOD", "compare_type": "CONTAINS"}, "compare_type", "must be EQUAL_TO or REGEX"),
        *(
            ({"type": sort, "compare_type": "REGEX"}, "compare_type", f"must be EQUAL_TO with {sort}")
            for sort in ("SOURCE_IP", "SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT")
        ),
        *(({"type": sort}, "key", f"is required with {sort}") for sort in ("HEADER", "COOKIE", "SSL_DN_FIELD")),
        ({"type": "METHOD", "compare_type": "EQUAL_TO", "value": "GET", "key": "x"}, "key", "does not go with METHOD"),
        ({"type": "HEADER", "key": "a b"}, "key", "must be a token"),
        ({"type": "COOKIE", "key": 'a"b'}, "key", "must be a token"),
        ({"type": "SSL_DN_FIELD", "key": "2CN"}, "key", "is not a field"),
        ({"value": ""}, "value", "is required"),
        ({"type": "HOST_NAME", "value": "grün.example"}, "value", "must be ASCII"),
        ({"type": "METHOD", "compare_type": "EQUAL_TO", "value": "GET POST"}, "value", "must be a token"),
        ({"type": "SOURCE_IP", "compare_type": "EQUAL_TO", "value": "10.0.0.0/33"}, "value", "CIDR"),
        ({"type": "SOURCE_IP", "compare_type": "EQUAL_TO", "value": "::ffff:10.0.0.0/104"}, "value", "as one of IPv4"),
        ({"type": "SSL_CONN_HAS_CERT", "compare_type": "EQUAL_TO", "value": "no"}, "value", "must be 'true'"),
        ({"type": "SSL_VERIFY_RESULT", "compare_type": "EQUAL_TO", "value": "-1"}, "value", "whole number"),
        *(
            ({"type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": value}, "value", "must be one extension")
            for value in ("tar.gz", ".tar.gz", ".", "..", "a/b", "jpg.")
        ),
        *(
            ({"type": sort, "key": key, "compare_type": how, "value": value}, "value", "begins or ends with a blank")
            for sort, key in (("HEADER", "a"), ("COOKIE", "a"), ("HOST_NAME", None))
            for how, value in (("EQUAL_TO", " a"), ("EQUAL_TO", "a "), ("STARTS_WITH", " a"), ("ENDS_WITH", "a "))
        ),
        *(
            ({"type": "COOKIE", "key": "a", "compare_type": how.value, "value": "a; b"}, "value", "holds a semicolon")
            for how in COMPARE_TYPES
            if how.value != "REGEX"
        ),
        *(
            ({"compare_type": how, "value": "admin"}, "value", "does not begin with /")
            for how in ("EQUAL_TO", "STARTS_WITH")
        ),
        ({"compare_type": "REGEX", "value": "a(b"}, "value", "at character 4: a ( is not closed"),
        ({"compare_type": "REGEX", "value": "ä+"}, "value", "must be ASCII"),
    )
    for change, at, says in rows:
        yield "l7_rule", change, (at,), says
