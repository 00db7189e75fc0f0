# SPDX-License-Identifier: Apache-2.0
"""COOKIE rules → what an ACL compares: cookies as RFC 6265 has them, which end at a semicolon and nowhere else.

``req.cook`` of haproxy 2.6 ends a value at a comma too and takes quotes for brackets (``http_find_cookie_value_end``), so
the whole line is looked at instead. A literal is sought in any cookie of its name. A user's expression needs the value by
itself, or its ``^`` would be the line's: it is cut out of the line, whose end is marked with a semicolon. Where no cookie
has the name nothing is cut, the semicolon stays and forbids a match.
"""

from __future__ import annotations

from collections.abc import Mapping

from octavia_provider.model.l7_rule import L7Rule

from .lines import quote

_LINE = "req.fhdr(cookie)"
# No part can take what the next one would: a long line of blanks costs no more than its length.
_LITERALS: Mapping[str, str] = {
    "EQUAL_TO": r"(?:^|;){name}{value}\s*+(?:;|$)", "STARTS_WITH": r"(?:^|;){name}{value}",
    "ENDS_WITH": r"(?:^|;){name}[^;]*{value}\s*+(?:;|$)", "CONTAINS": r"(?:^|;){name}[^;]*{value}",
}  # fmt: skip
_CUT = r"^(?:.*?;)??{name}([^;\s]*+(?:\s++[^;\s]++)*+).*$"
_FOUND = r"^(?![^;]*;)[\s\S]*?(?:{value})"


def comparison(rule: L7Rule) -> tuple[str, str]:
    """The subject, and the expression that is found in it; both quoted."""
    name = rf"\s*+{_literal(rule.key or '')}\s*+=\s*+"
    if rule.compare_type == "REGEX":
        cut = _CUT.replace("{name}", name).replace("\\", r"\\")  # an argument in quotes is a word by itself (2.2)
        return quote(rf'{_LINE},concat(;),regsub("{cut}","\\1")'), quote(_FOUND.replace("{value}", rule.value))
    pattern = _LITERALS[rule.compare_type].replace("{name}", name).replace("{value}", _literal(rule.value))
    return quote(_LINE), quote(pattern)


def _literal(text: str) -> str:
    return "\\Q" + text.replace(r"\E", r"\E\\E\Q") + "\\E"
