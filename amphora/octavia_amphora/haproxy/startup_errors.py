# SPDX-License-Identifier: Apache-2.0
"""Why haproxy did not come up, from what it wrote: its alerts, less those that tell of something else. Pure."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

_ALERT = re.compile(r"\[ALERT\]\s+\((?P<pid>\d+)\)\s*:\s*(?P<text>.*)")
# With "no strict-limits" haproxy goes on after the first; the second is a health check's; the others are consequences.
_IRRELEVANT = re.compile(
    r"FD limit \(\d+\) too low"
    r"|has no server available"
    r"|exit-on-failure: killing every processes"
    r"|Current worker \(\d+\) exited with code (?:130|143) "
    r"|config : (?:Error\(s\) found in configuration file|Fatal errors found in configuration)"
)


def reasons(text: str, others: AbstractSet[int] = frozenset()) -> str:
    """The alerts that are causes, in one line; empty when there is none. ``others``: processes that only went on."""
    found = {
        alert[0]: None
        for alert in map(_ALERT.match, text.splitlines())
        if alert and int(alert["pid"]) not in others and not _IRRELEVANT.search(alert["text"])
    }
    return "; ".join(found)


def reload_error(answer: str) -> str | None:
    """The master's answer to ``reload`` (2.7 and newer say how it went) → why it failed; None when it does not say so."""
    if not answer.startswith("Success=0"):
        return None
    return reasons(answer) or answer.partition("--\n")[2].strip() or "haproxy gave no reason"
