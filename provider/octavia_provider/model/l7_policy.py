# SPDX-License-Identifier: Apache-2.0
"""The L7 policy: what happens to a request whose rules all match (octavia-api v2, ``l7policies``)."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from . import common, regex
from .base import Model
from .listener import RELOAD
from .metadata import Always, Choice, Cost, Filled, OneOf, Output, Reference, Replaces, Rule
from .scalars import ChangeableHeader, HttpUrl, Id, RegularExpression, Text, UrlPrefix

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


def _goes_with_rewrite(change: "HeaderChange") -> str | None:
    if change.operation == "REWRITE" and not change.pattern:
        return "is required with REWRITE"
    if change.operation != "REWRITE" and change.pattern:
        return f"goes with REWRITE only, and the operation is {change.operation}"
    return None


def _has_value(change: "HeaderChange") -> str | None:
    if change.operation == "REMOVE":
        return "does not go with REMOVE" if change.value is not None else None
    return None if change.value else f"is required with {change.operation}"


def _refers(change: "HeaderChange") -> str | None:
    if change.operation != "REWRITE" or not change.pattern:
        return None
    return regex.bad_reference(change.value or "", change.pattern)


def _one_host(change: "HeaderChange") -> str | None:
    host = change.name.lower() == "host" and change.message == "REQUEST"
    if host and change.operation in ("ADD", "REMOVE"):
        return f"would {change.operation.lower()} Host, and a request has one of it: SET or REWRITE it"
    return None


class HeaderChange(Model):
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

    operation: Annotated[str, OneOf(OPERATIONS)] = Field(description="What is done.")
    name: ChangeableHeader = Field(max_length=128, description="The header's name.")
    value: Text | None = Field(
        None,
        max_length=1024,
        description="The text that is put in, as it stands. With REWRITE alone, `\\1` to `\\9` are what the pattern's groups found, "
        "`\\0` is all that it found, and `\\\\` a backslash.",
    )
    pattern: RegularExpression | None = Field(
        None,
        max_length=255,
        description="With REWRITE: a regular expression (PCRE); a line in which it is found becomes `value`.",
    )
    message: Annotated[str, OneOf(MESSAGES)] = Field("REQUEST", description="Which message is changed.")


def _target(action: str, name: str) -> Rule:
    def check(policy: "L7Policy") -> str | None:
        if policy.action == action and not getattr(policy, name):
            return f"is required with {action}"
        if policy.action != action and getattr(policy, name):
            return f"goes with {action} only, and the action is {policy.action}"
        return None

    return Rule(on=("action", name), at=name, check=check, doc=f"{name} goes with {action}, which needs it.")


def _code(policy: "L7Policy") -> str | None:
    code = policy.redirect_http_code
    if code is None:
        return None
    if code not in CODES:
        return f"{code} is not one of {', '.join(map(str, CODES))}"
    if policy.action not in ("REDIRECT_TO_URL", "REDIRECT_PREFIX"):
        return f"goes with REDIRECT_TO_URL and REDIRECT_PREFIX only, and the action is {policy.action}"
    return None


def _changes(policy: "L7Policy") -> str | None:
    changes = policy.header_changes
    if policy.action == "CHANGE_HEADERS" and not changes:
        return "is required with CHANGE_HEADERS"
    if policy.action in ANSWERS and any(change.message == "REQUEST" for change in changes):
        return f"must have message RESPONSE: with {policy.action} the request goes to no member"
    return None


def _room(policy: "L7Policy") -> str | None:
    put_in: Counter[str] = Counter()
    for change in policy.header_changes:
        if change.value is not None:  # as a line: the name, ": " and the line's end
            put_in[change.message] += len(f"{change.name}: {change.value}\r\n".encode())
    largest = max(put_in.values(), default=0)
    return f"put {largest} bytes into a message; there is room for {HEADER_ROOM}" if largest > HEADER_ROOM else None


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

    listener_id: Annotated[
        Id,
        Reference("listener"),
        Replaces(
            "its position is in the order of that listener's policies, and it handles only that listener's requests"
        ),
    ] = Field(description="The listener whose requests it decides on.")
    action: Annotated[str, OneOf(ACTIONS), Cost(RELOAD)] = Field(
        description="What is done with a request that matches."
    )
    position: Annotated[int | None, Filled(), Always(), Cost(RELOAD)] = Field(
        None,
        ge=1,
        le=POSITION_MAX,
        description="Its place in the listener's order; at the end when not given. Policies of one program end up in the order "
        "of their positions, whichever is created first.",
    )
    redirect_pool_id: Annotated[Id | None, Reference("pool"), Cost(RELOAD)] = Field(
        None, description="The pool that gets the request."
    )
    redirect_url: Annotated[HttpUrl | None, Cost(RELOAD)] = Field(
        None, max_length=255, description="Where the client is sent."
    )
    redirect_prefix: Annotated[UrlPrefix | None, Cost(RELOAD)] = Field(
        None,
        max_length=255,
        description="What is put before the path and query of the request, as https://www.example.com or https://www.example.com/old; "
        "a slash at its end is left away, since paths begin with one.",
    )
    redirect_http_code: Annotated[int | None, Filled(), Cost(RELOAD)] = Field(
        None, ge=300, le=399, description="The status of the redirect: 301, 302, 303, 307 or 308; 302 when not given."
    )
    header_changes: Annotated[tuple[HeaderChange, ...], Cost(RELOAD)] = Field(
        (),
        max_length=50,
        description="Changes to the headers of the requests that it decides on, or of their responses, one after the other. Beyond Octavia. "
        "If REWRITE makes a message larger than haproxy's buffer, the answer is 500.",
    )
    description: common.Description = ""
    admin_state_up: common.AdminStateUp = True
    tags: common.Tags = ()
    asked_position: Annotated[int | None, Output()] = Field(
        None, description="The position that the program asked for; `position` counts without gaps."
    )
    operating_status: common.OperatingStatus = ""


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
