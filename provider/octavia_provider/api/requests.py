# SPDX-License-Identifier: Apache-2.0
"""What stands in a request: its body, its owner, how long it wants to wait."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web

from octavia_provider.model import echo
from octavia_provider.model.errors import VIOLATIONS, Invalid, Violation
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.ports import Owner

BODY, MANY = 8 * 2**20, 32 * 2**20
"""Bytes of a body: of one object, and of a load balancer or pool with all its parts (100,000 members have some 20 MiB)."""
VALUE = 16
"""Bytes that a value has on the average, in a body that is no nonsense: its name, itself and what stands between."""
APART = 65_536
"""Bytes of a body beyond which it is worked on apart from the loop."""
ATTRIBUTES = 200
CONFIRMED = 100_000
"""Ids of one run that are confirmed in one call."""
DECODED = ("gzip", "deflate")
"""Encodings of bodies that aiohttp undoes everywhere."""
UNKNOWN_ENCODING = "a body is sent as it is, or by Content-Encoding gzip or deflate"
_ENCODINGS = ("", "identity", *DECODED)
_SIZE = web.RequestKey("size", int)
MAX_WAIT = 300.0
DIGITS = 400
"""Of a whole number; one that has more is beyond every double, and is read as infinite."""
OWNER_HEADER = "X-Octavia-Owner"
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d+(?:\.\d+)?)\"?", re.IGNORECASE)
T = TypeVar("T")
FLAGS = {
    **dict.fromkeys(("", "true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who makes an object, and which objects, of any URN, the engine has shown it."""

    owner: Owner
    known: tuple[str, ...] = ()


def word(kind: str) -> str:
    """The word of a kind in bodies: ``load_balancer`` → ``loadbalancer``."""
    named = KINDS[kind].COLLECTION
    return KINDS[kind].WORD or (f"{named[:-3]}y" if named.endswith("ies") else named[:-1])


def words(kind: str) -> str:
    """The word of a list of them."""
    return f"{KINDS[kind].WORD}s" if KINDS[kind].WORD else KINDS[kind].COLLECTION


async def read_body(request: web.Request, most: int = BODY) -> Mapping[str, Any]:
    """The JSON object of the body, which has ``most`` bytes and not too many values; 413 where it has more."""
    raw = await _content(request, most)
    if raw.count(b",") > most // VALUE:  # to make millions of objects of it would hold up others
        said = f"the body has more than {most // VALUE} values, which is all that this call takes"
        raise web.HTTPRequestEntityTooLarge(most, text=said)
    try:
        body = _decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid([Violation((), _no_json(request, error))]) from None
    request[_SIZE] = len(raw)
    if not isinstance(body, dict):
        raise Invalid([Violation((), "the body must be a JSON object")])
    return body


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:  # a number beyond a double, which JSON allows (RFC 8259, section 6)
        if len(raw) > BODY:  # Python's own takes its time
            raise
    body = json.loads(raw.decode(), parse_int=_whole, parse_constant=_no_number)
    json.dumps(body, ensure_ascii=False).encode()  # fails where msgspec would: at half a character
    return body


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= DIGITS else float(digits)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _no_json(request: web.Request, error: Exception) -> str:
    """aiohttp hands over what it got of a gzip body that ends too early."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in DECODED and "truncated" in str(error):
        return f"the body is not whole: the {encoding} data is damaged or ends too early ({error})"
    return f"the body is not JSON: {error}"


async def _content(request: web.Request, most: int) -> bytes:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise web.HTTPUnsupportedMediaType(text=UNKNOWN_ENCODING)
    too_large = web.HTTPRequestEntityTooLarge(
        most, text=f"the body has more than {most} bytes, which is all that this call takes"
    )
    if request.content_length is not None and request.content_length > most:
        raise too_large
    try:
        return await request.clone(client_max_size=most).read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None


async def apart(request: web.Request, work: Callable[..., T], *arguments: Any) -> T:
    """Work on what a request holds: on a thread where that is much, so that the loop answers others meanwhile."""
    if request.get(_SIZE, 0) <= APART:
        return work(*arguments)
    return await asyncio.to_thread(work, *arguments)


def read_object(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The object under its word."""
    found = body.get(word(kind))
    if not isinstance(found, dict):
        raise Invalid([Violation((), f'the body must be {{"{word(kind)}": {{…}}}}')])
    if len(found) > ATTRIBUTES:
        known = inputs(KINDS[kind])
        some = ", ".join(echo.name(name) for name in itertools.islice((n for n in found if n not in known), 3))
        message = f"has {len(found)} attributes, which no {KINDS[kind].LABEL} has; there is no {some}"
        raise Invalid([Violation((), message)])
    return found


def only(body: Mapping[str, Any], *names: str) -> None:
    """Nothing stands in a body that nobody would read: ``Invalid`` names what does."""
    if wrong := strangers(body, *names):
        raise Invalid(wrong)


def strangers(body: Mapping[str, Any], *names: str) -> list[Violation]:
    """What stands in a body that nobody would read."""
    some = itertools.islice((name for name in body if name not in names), VIOLATIONS)
    return [Violation((name,), f"cannot be given here, beside {names[0]}") for name in some]


def read_claim(body: Mapping[str, Any]) -> Claim | None:
    """The owner of a POST, None when the caller names none."""
    given = body.get("owner")
    if given is None:
        return None
    shape = isinstance(given, dict) and isinstance(given.get("provider"), str) and isinstance(given.get("urn"), str)
    known = given.get("known") or [] if isinstance(given, dict) else []
    if isinstance(known, list) and len(known) > CONFIRMED:
        raise Invalid([Violation(("owner", "known"), f"must not have more than {CONFIRMED} items")])
    if not shape or not isinstance(known, list) or not all(isinstance(k, str) for k in known):
        message = 'must be {"provider": "<uuid>", "urn": "<urn>", "known": ["<id>", …]}'
        raise Invalid([Violation(("owner",), message)])
    return Claim(owner=Owner(provider=given["provider"], urn=given["urn"]), known=tuple(known))


def read_owner(request: web.Request) -> Owner | None:
    """The owner in the header of a GET or PUT: ``<provider uuid> <urn>``, the URN percent-encoded where need be."""
    given = request.headers.get(OWNER_HEADER, "").strip()
    if not given:
        return None
    provider, _, quoted = given.partition(" ")
    urn = unquote(quoted).strip()
    if not urn:
        raise Invalid([Violation((OWNER_HEADER,), f"must be <provider uuid> <urn>, and is {echo.quoted(given)}")])
    return Owner(provider=provider, urn=urn)


def read_wait(request: web.Request) -> float | None:
    """Seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3), at most ``MAX_WAIT``; None when not asked for."""
    found = _WAIT.search(",".join(request.headers.getall("Prefer", ())))
    return min(float(found[1]), MAX_WAIT) if found else None


def flag(request: web.Request, name: str) -> bool:
    """A switch in the query: ``?cascade=true``, also without a value. A word that is neither yes nor no is refused."""
    given = request.query.getall(name, [])
    values = {FLAGS.get(value.lower()) for value in given}
    if None in values or len(values) > 1:
        message = f"must be true or false, and is {' and '.join(map(repr, given))}"
        raise Invalid([Violation((name,), message)])
    return True in values


def path_id(request: web.Request, name: str = "id") -> str:
    """An id of the URL in its canonical form; one that is no UUID is left as it is, and is not found."""
    given = request.match_info[name]
    try:
        return str(uuid.UUID(given))
    except ValueError:
        return given
