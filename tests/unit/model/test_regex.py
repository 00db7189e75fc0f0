# SPDX-License-Identifier: Apache-2.0
"""Regular expressions: what is accepted, haproxy compiles; what is refused says where and why."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavia_provider.model.regex import regular_expression
from octavia_provider.render.quoting import quote

GOOD = (
    r"^/v[12]/(?:users|groups)/\d{1,9}$", r"(?i)^www\.", r"\.(jpe?g|png)\z", r"a{2,}?b{3}+", r"(?<=ab)c(?!d)", r"(a)(b)[.]",
    r"[^\w.-]", r"[[:alpha:]_]", r"[\x41-\x5a]", r"(?<year>\d{4})", r"\$\{x\}", "a|", "()", r"[a-]", r"]}", r"\R\N\h",
    "(?:" * 49 + "a" + ")" * 49, "a" * 255, r"(?>a+)b", r"(?s-i:a.b)", r"[+--]", r"[\]\[]", '"\'# ', r"\t\e",
)  # fmt: skip
BAD = {
    "(": "is not closed", ")": "without its (", "[a": "is not closed", "[]": "is empty", "[z-a]": "upwards", "*a": "nothing to repeat",
    "a**": "cannot be repeated", "a{3,2}": "upwards", "a{65536}": "65535", "a{": "{n}", "a{,3}": "{n}", "\\": "ends with a backslash",
    r"\p{L}": "not supported", r"\Qa": "not supported", r"(a)\1": "keeps no groups", "[.a.]": "POSIX", "[=a=]": "POSIX", "[:alpha:]": "POSIX",
    "(?<=a+)b": "fixed length", "(?<n>a)(?<n>b)": "two groups", "(?R)": "not supported", "(*UTF)a": "not supported",
    "[[:foo:]]": r"must be written \[", r"[\d-z]": "between two", "[a-c-e]": "between two", "é": "ASCII", "^*": "nothing to repeat",
    "((a{1000}){1000}){1000}": "too large", "(" * 51 + ")" * 51: "nested", r"(?x)a": "not supported", r"[\b]": "not supported",
}  # fmt: skip


@pytest.mark.parametrize("pattern", GOOD)
def test_accepted(pattern: str) -> None:
    assert regular_expression(pattern) == pattern


@pytest.mark.parametrize("pattern", BAD)
def test_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(BAD[pattern])):
        regular_expression(pattern)


def accepted(pattern: str) -> bool:
    try:
        regular_expression(pattern)
    except ValueError:
        return False
    return True


def refused_by_haproxy(patterns: list[str], folder: Path) -> list[str]:
    """Those of the patterns that haproxy does not compile, in one file."""
    rules = "".join(f"    acl r{n} path -m reg -- {quote(pattern)}\n" for n, pattern in enumerate(patterns))
    config = folder / "regex.cfg"
    config.write_text(f"defaults\n    mode http\n    timeout client 1s\nfrontend f\n    bind 127.0.0.1:1\n{rules}")
    said = subprocess.run(["haproxy", "-c", "-f", config], capture_output=True, text=True, check=False).stderr
    return [patterns[int(line) - 6] for line in re.findall(rf"parsing \[[^\]]*{config.name}:(\d+)\]", said)]


def test_haproxy_is_asked_indeed(tmp_path: Path) -> None:
    assert refused_by_haproxy(["(", "a", "[z-a]"], tmp_path) == ["(", "[z-a]"]


PIECES = st.sampled_from([
    "a", "b", ".", "^", "$", "|", "(", ")", "(?:", "(?i)", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?<n>", "(?P<m>", "(?s:", "(?-i)",
    "[", "]", "[^", "-", "[a-z]", "[[:digit:]]", "[:alpha:]", "\\d", "\\W", "\\b", "\\z", "\\1", "\\2", "\\x4f", "\\.", "\\", "\\R", "\\N",
    "*", "+", "?", "{2}", "{2,}", "{1,300}", "{0}", "{9,3}", "{", "}", ",", "3", "=", ":", "[.a.]", "[=a=]", "&&", "#", " ", '"', "'", "\\e", "\\Z",
])  # fmt: skip
PATTERNS = st.lists(PIECES, min_size=1, max_size=12).map("".join)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(PATTERNS, min_size=1, max_size=400))
def test_haproxy_compiles_what_is_accepted(tmp_path: Path, patterns: list[str]) -> None:
    good = [pattern for pattern in {*patterns, *GOOD} if len(pattern) <= 255 and accepted(pattern)]
    assert refused_by_haproxy(good, tmp_path) == []
