# SPDX-License-Identifier: Apache-2.0
"""The L7 policy: what happens to a request whose rules all match (octavia-api v2, ``l7policies``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import common, formats, regex
from .attributes import Choice, Rule, attribute, computed
from .listener import RELOAD

ACTIONS = (
    Choice("REJECT", "answered with 403"),
    Choice("REDIRECT_TO_POOL", "sent to `redirect_pool_id`"),
    Choice("REDIRECT_TO_URL", "answered with a redirect to `redirect_url`"),
    Choice("REDIRECT_PREFIX", "answered with a redirect to `redirect_prefix` followed by the path and query"),
    Choice("CHANGE_HEADERS", "sent to the default pool with `header_changes`; beyond Octavia"),
)
TARGETS: Mapping[str, str] = {
    "REDIRECT_TO_POOL": "redirect_pool_id", "REDIRECT_TO_URL": "redirect_url", "REDIRECT_PREFIX": "redirect_prefix",
}  # fmt: skip
ANSWERS = ("REJECT", "REDIRECT_TO_URL", "REDIRECT_PREFIX")
"""Actions that no member sees the request of."""
CODES = (301, 302, 303, 307, 308)
DEFAULT_CODE = 302
MAX_RULES = 50
HEADER_ROOM = 4096
"""Bytes that the changes of one policy can put into a message: haproxy keeps so much of its buffer free for them."""
POSITION_MAX = 2_147_483_647

OPERATIONS = (
    Choice("ADD", "one more line of this name"),
    Choice("SET", "the only line of this name"),
    Choice("REMOVE", "all lines of this name go"),
    Choice("REWRITE", "each line of this name that `pattern` matches becomes `value`"),
)
MESSAGES = (
    Choice("REQUEST", "the request, as the members see it"),
    Choice("RESPONSE", "the response, as the client sees it"),
)


def _goes_with_rewrite(values: Mapping[str, Any]) -> str | None:
    if values["operation"] == "REWRITE" and not values["pattern"]:
        return "is required with REWRITE"
    if values["operation"] != "REWRITE" and values["pattern"]:
        return f"goes with REWRITE only, and the operation is {values['operation']}"
    return None


def _has_value(values: Mapping[str, Any]) -> str | None:
    if values["operation"] == "REMOVE":
        return "does not go with REMOVE" if values["value"] is not None else None
    return None if values["value"] else f"is required with {values['operation']}"


def _refers(values: Mapping[str, Any]) -> str | None:
    if values["operation"] != "REWRITE" or not values["pattern"]:
        return None
    return regex.bad_reference(values["value"] or "", values["pattern"])


def _one_host(values: Mapping[str, Any]) -> str | None:
    host = values["name"].lower() == "host" and values["message"] == "REQUEST"
    if host and values["operation"] in ("ADD", "REMOVE"):
        return f"would {values['operation'].lower()} Host, and a request has one of it: SET or REWRITE it"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderChange:
    """One change to the headers of a request or a response."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(on=("operation", "value"), at="value", check=_has_value, doc="value goes with ADD, SET and REWRITE."),
        Rule(on=("operation", "pattern"), at="pattern", check=_goes_with_rewrite, doc="pattern goes with REWRITE."),
        Rule(
            on=("operation", "value", "pattern"), at="value", check=_refers,
            doc="With REWRITE, a backslash in value stands before the number of a group that pattern has, or another backslash.",
        ),
        Rule(
            on=("operation", "name", "message"), at="operation", check=_one_host,
            doc="Host of a request is not added or removed: it has one.",
        ),
    )  # fmt: skip

    operation: str = attribute("What is done.", required=True, choices=OPERATIONS)
    name: str = attribute("The header's name.", required=True, max_length=128, format=formats.changeable_header)
    value: str | None = attribute(
        "The text that is put in, as it stands. With REWRITE alone, `\\1` to `\\9` are what the pattern's groups found, "
        "`\\0` is all that it found, and `\\\\` a backslash.",
        max_length=1024, format=formats.text,
    )  # fmt: skip
    pattern: str | None = attribute(
        "With REWRITE: a regular expression (PCRE); a line in which it is found becomes `value`.",
        max_length=255, format=regex.regular_expression,
    )  # fmt: skip
    message: str = attribute("Which message is changed.", default="REQUEST", choices=MESSAGES)


def _target(action: str, name: str) -> Rule:
    def check(values: Mapping[str, Any]) -> str | None:
        if values["action"] == action and not values[name]:
            return f"is required with {action}"
        if values["action"] != action and values[name]:
            return f"goes with {action} only, and the action is {values['action']}"
        return None

    return Rule(on=("action", name), at=name, check=check, doc=f"{name} goes with {action}, which needs it.")


def _code(values: Mapping[str, Any]) -> str | None:
    code = values["redirect_http_code"]
    if code is None:
        return None
    if code not in CODES:
        return f"{code} is not one of {', '.join(map(str, CODES))}"
    if values["action"] not in ("REDIRECT_TO_URL", "REDIRECT_PREFIX"):
        return f"goes with REDIRECT_TO_URL and REDIRECT_PREFIX only, and the action is {values['action']}"
    return None


def _changes(values: Mapping[str, Any]) -> str | None:
    changes = values["header_changes"]
    if values["action"] == "CHANGE_HEADERS" and not changes:
        return "is required with CHANGE_HEADERS"
    if values["action"] in ANSWERS and any(change["message"] == "REQUEST" for change in changes):
        return f"must have message RESPONSE: with {values['action']} the request goes to no member"
    return None


def _room(values: Mapping[str, Any]) -> str | None:
    put_in: Counter[str] = Counter()
    for change in values["header_changes"]:
        if change["value"] is not None:  # as a line: the name, ": " and the line's end
            put_in[change["message"]] += len(f"{change['name']}: {change['value']}\r\n".encode())
    largest = max(put_in.values(), default=0)
    return f"put {largest} bytes into a message; there is room for {HEADER_ROOM}" if largest > HEADER_ROOM else None


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Policy(common.Resource):
    """An L7 policy: what happens to the requests of a listener that match all of the policy's rules.

    Policies are asked in the order of `position`, and the first that matches decides, whatever its action; the others
    are not asked. A policy without rules (in service) matches nothing.
    """

    KIND: ClassVar[str] = "l7_policy"
    LABEL: ClassVar[str] = "L7 policy"
    COLLECTION: ClassVar[str] = "l7policies"
    RULES: ClassVar[tuple[Rule, ...]] = (
        *(_target(action, name) for action, name in TARGETS.items()),
        Rule(
            on=("action", "redirect_http_code"), at="redirect_http_code", check=_code,
            doc="redirect_http_code is 301, 302, 303, 307 or 308, and goes with REDIRECT_TO_URL and REDIRECT_PREFIX.",
        ),
        Rule(
            on=("action", "header_changes"), at="header_changes", check=_changes,
            doc="Requests can be changed where a member sees them: with REDIRECT_TO_POOL and CHANGE_HEADERS.",
        ),
        Rule(
            on=("header_changes",), at="header_changes", check=_room,
            doc=f"header_changes put {HEADER_ROOM} bytes into a message at most.",
        ),
    )  # fmt: skip

    listener_id: str = attribute(
        "The listener whose requests it decides on.",
        required=True, format=formats.uuid_string, replaces=True, reference="listener",
        why="its position is in the order of that listener's policies, and it handles only that listener's requests",
    )  # fmt: skip
    action: str = attribute("What is done with a request that matches.", required=True, choices=ACTIONS, cost=RELOAD)
    position: int | None = attribute(
        "Its place in the listener's order; at the end when not given. Policies of one program end up in the order "
        "of their positions, whichever is created first.",
        minimum=1, maximum=POSITION_MAX, filled=True, always=True, cost=RELOAD,
    )  # fmt: skip
    redirect_pool_id: str | None = attribute(
        "The pool that gets the request.", format=formats.uuid_string, reference="pool", cost=RELOAD
    )
    redirect_url: str | None = attribute(
        "Where the client is sent.", max_length=255, format=formats.http_url, cost=RELOAD
    )
    redirect_prefix: str | None = attribute(
        "What is put before the path and query of the request, as https://www.example.com or https://www.example.com/old; "
        "a slash at its end is left away, since paths begin with one.",
        max_length=255, format=formats.url_prefix, cost=RELOAD,
    )  # fmt: skip
    redirect_http_code: int | None = attribute(
        "The status of the redirect: 301, 302, 303, 307 or 308; 302 when not given.",
        minimum=300, maximum=399, filled=True, cost=RELOAD,
    )  # fmt: skip
    header_changes: tuple[HeaderChange, ...] = attribute(
        "Changes to the headers of the requests that it decides on, or of their responses, one after the other. Beyond Octavia. "
        "If REWRITE makes a message larger than haproxy's buffer, the answer is 500.",
        default=(), max_items=50, cost=RELOAD,
    )  # fmt: skip
    description: str = common.description()
    admin_state_up: bool = common.admin_state_up()
    tags: tuple[str, ...] = common.tags()
    asked_position: int | None = computed("The position that the program asked for; `position` counts without gaps.")
    operating_status: str = common.operating_status()


_LETS_GO: Mapping[str, tuple[str, ...]] = {
    "REJECT": ("redirect_url", "redirect_pool_id"), "REDIRECT_TO_URL": ("redirect_pool_id", "redirect_prefix"),
    "REDIRECT_TO_POOL": ("redirect_url",),
}  # fmt: skip
"""What an action drops, though it is given beside it (octavia/common/validate.py: sanitize_l7policy_api_args)."""


def follow_action(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, as Octavia reads it: a target brings its action along, an action lets go of the other targets."""
    changed = dict(given)
    changed.update({name: None for name in _LETS_GO.get(str(changed.get("action")), ()) if name in changed})
    named = [action for action, name in TARGETS.items() if changed.get(name) not in (None, "")]
    if len(named) == 1 and changed.get("action") in (None, "REJECT"):
        changed["action"] = named[0]
    if changed.get("action") is None:
        return changed
    for action, name in TARGETS.items():
        if action != changed["action"]:
            changed.setdefault(name, None)
    if changed["action"] not in ("REDIRECT_TO_URL", "REDIRECT_PREFIX"):
        changed["redirect_http_code"] = None
    return changed
