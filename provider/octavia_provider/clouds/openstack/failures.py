# SPDX-License-Identifier: Apache-2.0
"""What a service of OpenStack answers, as our errors: in its own words, with what to do; and whether the same may succeed later."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from octavia_provider.model.errors import (
    Conflict,
    Forbidden,
    NotFound,
    OctaviaError,
    Refused,
    TransientError,
    Unreachable,
)

AGAIN = "it is tried again by itself"


@dataclass(frozen=True, slots=True)
class Known:
    """Words of a service that mean more than its status code. ``what``: the error; ``hint``: what to do."""

    words: re.Pattern[str]
    what: type[OctaviaError]
    hint: str


def _known(words: str, what: type[OctaviaError], hint: str) -> Known:
    return Known(re.compile(words, re.IGNORECASE), what, hint)


KNOWN = (
    _known(
        r"quota exceeded|quota has been met|OverQuota|overlimit", Refused,
        f"delete what the project does not need, or ask an operator for more (openstack quota set); {AGAIN}",
    ),
    _known(
        r"no valid host", Refused,
        "no compute host takes this flavor in this zone now: free one, or choose another compute_flavor or zone; "
        f"with the policy anti-affinity there have to be as many hosts as amphorae; {AGAIN}",
    ),
    _known(
        r"binding failed for port|PortBindingFailed|vif_type.*binding_failed|virtual interface creation failed", Refused,
        f"Neutron's agent on that host did not bind the port: openstack network agent list, and its log; {AGAIN}",
    ),
    _known(
        r"no more ip addresses|IpAddressGenerationFailure", Conflict,
        f"the subnet is full: delete ports of it, enlarge its allocation pool, or choose another subnet; {AGAIN}",
    ),
    _known(
        r"IpAddressInUse|IpAddressAlreadyAllocated|already allocated in subnet", Conflict,
        "openstack port list --fixed-ip ip-address=ADDRESS shows who has it; choose another address",
    ),
    _known(
        r"disk_format.*mismatch|image content.*not match|unsupported media type", Refused,
        "upload it in the format that it has; Glance takes no raw image with a boot record: openstack image create --disk-format qcow2",
    ),
    _known(r"flavor \S+ could not be found", Refused, f"it was deleted a moment ago: openstack flavor list; {AGAIN}"),
    _known(r"volumev3 service not found", Refused, "this cloud has no Cinder: OCTAVIA_OPENSTACK_VOLUME_GB=0 boots from the image"),
    _known(r"availability zone .*not available", Refused, "openstack availability zone list"),
    _known(r"multiple security_group|security group .* does not exist", Refused, "openstack security group list"),
)  # fmt: skip
BY_STATUS: dict[int, tuple[type[OctaviaError], str]] = {
    401: (Refused, "the credentials are refused: see the cloud's entry in clouds.yaml, or OS_* in the environment"),
    403: (Forbidden, "the user of the control plane needs the role for it in its project (member, or admin)"),
    404: (NotFound, ""),
    409: (Conflict, ""),
    415: (Refused, KNOWN[5].hint),
    429: (TransientError, ""),
}


def refusal(service: str, status: int, body: str, subject: str) -> OctaviaError:
    """The error that an answer means."""
    words = spoken(body) or f"status {status}"
    message = f"{service.capitalize()} says ({status}): {words}"
    if (found := meant(f"{words} {_kind(body)}")) is not None:
        return found.what(message, subject=subject, hint=found.hint)
    if status >= 500:
        return TransientError(message, subject=subject, hint=AGAIN)
    kind, hint = BY_STATUS.get(status, (Refused, ""))
    return kind(message, subject=subject, hint=hint)


def meant(words: str) -> Known | None:
    """What words of a service mean, if that is known."""
    return next((one for one in KNOWN if one.words.search(words)), None)


def fault(words: str, subject: str) -> OctaviaError:
    """The error that Nova's fault of a server means: it is in ERROR, and stays so."""
    found = meant(words)
    hint = found.hint if found else f"openstack server event list, and the log of nova-compute; {AGAIN}"
    return Refused(f"Nova could not boot it: {words}", subject=subject, hint=hint)


def unreachable(service: str, error: Exception, subject: str) -> OctaviaError:
    """The error that no answer means."""
    return Unreachable(f"{service.capitalize()} does not answer: {briefly(error)}", subject=subject, hint=AGAIN)


def not_signed_in(error: Exception, source: str) -> OctaviaError:
    """The error that a login without a token means. ``source``: whose login it is, for people. It may pass: who runs for long tries again."""
    status = getattr(error, "http_status", None)
    if status in (401, 403):
        return TransientError(f"refuses to sign in ({error}).", subject="Keystone", hint=f"look at {source}")
    if status:
        return TransientError(
            f"cannot sign in ({error}).", subject="Keystone", hint=f"look at Keystone, and at {source}"
        )
    return Unreachable(
        f"does not answer ({briefly(error)}).", subject="Keystone", hint=f"look at Keystone, and at {source}"
    )


def briefly(error: Exception) -> str:
    """An error of a connection without the names of the libraries' classes: its own words, and the system's."""
    words = str(error)
    system = re.search(r"\[Errno -?\d+\] ([^'\")]+)", words)
    return f"{words.partition(': HTTP')[0]}{f': {system.group(1)}' if system else ''}" if ": HTTP" in words else words


def spoken(body: str) -> str:
    """The words for people in an answer; each service wraps them in its own way."""
    try:
        found = json.loads(body)
    except ValueError:
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)).strip()[:500]
    return _deepest(found)


def _deepest(found: Any) -> str:
    if isinstance(found, dict):
        for name in ("message", "faultstring", "description", "title", "detail"):
            if isinstance(found.get(name), str) and found[name]:
                return str(found[name])
        return next((words for value in found.values() if (words := _deepest(value))), "")
    if isinstance(found, list):
        return next((words for value in found if (words := _deepest(value))), "")
    return ""


def _kind(body: str) -> str:
    """Neutron's name of the error."""
    found = re.search(r'"type":\s*"(\w+)"', body)
    return found.group(1) if found else ""
