# SPDX-License-Identifier: Apache-2.0
"""Events: what the control plane decided, when and why, one sentence each.

``Reason`` is the registry: each reason is declared once, with its severity and what it means; docs/reference/events.md is
made from it. A reason is a word for programs; the message is for people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

INFO, WARNING, ERROR = "info", "warning", "error"
SEVERITIES = (INFO, WARNING, ERROR)
"""From what is as it should be to what needs somebody."""
MESSAGE_LENGTH = 2000
_HOUR = 3600
_EACH_COUNTS = 0


class Reason(Enum):
    """Why there is an event: (severity, what it means, for how many seconds equal ones are folded into one).

    Events are equal when load balancer, amphora, object, reason and message are. Those that change a state are not folded, and
    nothing is folded over them: so the order of what is folded and what changed is kept.
    """

    def __init__(self, severity: str, doc: str, fold_seconds: int = _HOUR) -> None:
        self.severity = severity
        self.doc = doc
        self.fold_seconds = fold_seconds

    # ── the control plane ────────────────────────────────────────────────────────────────────────────────────────────
    ControlPlaneStarted = INFO, "A control plane began to work. `data`: its version.", _EACH_COUNTS
    ControlPlaneStopped = (
        INFO,
        "A control plane was told to end, and gave its leases up. Traffic goes on.",
        _EACH_COUNTS,
    )
    LeaseTaken = (
        INFO,
        "Another control plane reconciles the load balancer from now on. `data`: the fence.",
        _EACH_COUNTS,
    )
    LeaseLost = WARNING, "This control plane does nothing more for the load balancer: another one has taken its lease."
    CloudLost = ERROR, "The cloud does not answer; it is tried again, with growing pauses where it is OpenStack."
    BreakerOpened = (
        ERROR,
        "Too many amphorae are silent at once: the control plane suspects itself and replaces none. `data`: how many.",
        _EACH_COUNTS,
    )
    BreakerClosed = INFO, "Most amphorae are heard again; silent ones are replaced again.", _EACH_COUNTS
    ResourceLost = WARNING, "A network or a host is not in the cloud any more, or has ended. It is made again."
    OrphanFound = ERROR, "Something runs in the cloud that the store does not know; it was left alone."

    AuthorityRotated = (
        INFO,
        "A phase of the rotation of the agents' certificate authority began. `data`: which.",
        _EACH_COUNTS,
    )
    OrphanRemoved = WARNING, "An amphora that a late call to the cloud had made was taken away.", _EACH_COUNTS

    # ── a load balancer ──────────────────────────────────────────────────────────────────────────────────────────────
    LoadBalancerCreated = (
        INFO,
        "A load balancer was asked for. `data`: its addresses, and the Pulumi resource that it is.",
        _EACH_COUNTS,
    )
    VipAllocated = INFO, "The cloud gave the load balancer its addresses. `data`: them.", _EACH_COUNTS
    ConfigurationApplied = INFO, "All that was written up to this generation is in force on all amphorae that work.", 60
    ConfigurationRefused = (
        ERROR,
        "An object is not in force: haproxy or the agent refused it. It is in its last accepted form.",
    )
    ListenerNotReachable = ERROR, "The cloud lets no clients in to the listener."
    ReconcileFailed = (
        WARNING,
        "Something is in the way of bringing the object about. It is tried again, with growing pauses.",
    )
    ReconcileRecovered = INFO, "What was in the way is gone. `data`: after how many tries and seconds."
    LoadBalancerDeleted = INFO, "The load balancer, its amphorae and its addresses are gone.", _EACH_COUNTS

    # ── an amphora ───────────────────────────────────────────────────────────────────────────────────────────────────
    AmphoraBooted = INFO, "The amphora runs and its agent answers. `data`: after how many seconds.", _EACH_COUNTS
    AmphoraLost = WARNING, "The cloud does not have the amphora any more, or it has ended. It is made again."
    RoleChanged = INFO, "Another amphora of a pair has the VIPs. `data`: who had them before.", _EACH_COUNTS
    TopologyChanged = (
        INFO,
        "An amphora that was alone is one of a pair from now on, or the other way round.",
        _EACH_COUNTS,
    )
    AmphoraRetired = INFO, "The amphora is to be replaced; it serves until another one does.", _EACH_COUNTS
    AmphoraDeleted = INFO, "The amphora was taken away and is forgotten.", _EACH_COUNTS
    AmphoraFailed = WARNING, "Something failed at one amphora; it is left aside, and the others go on."
    AgentSilent = (
        WARNING,
        "No heartbeat for a while, and the agent does not answer. The cloud is asked before anything is done.",
    )
    HeartbeatsLost = WARNING, "The agent answers and serves, and its heartbeats do not arrive. It is asked instead."
    AgentRecovered = INFO, "The agent answers again: heartbeats were lost, or it was busy."
    AgentRestarted = WARNING, "The agent did not answer and was started again; haproxy went on meanwhile."
    HaproxyRestarted = WARNING, "haproxy had ended, and the agent has started it again. `data`: how many times.", 60
    HaproxyHung = (
        WARNING,
        "haproxy did not answer, and the agent has ended it, to start it again. `data`: how many times.",
        60,
    )
    KeepalivedRestarted = (
        WARNING,
        "keepalived had ended or was stopped, and the agent has started it again. `data`: how many times.",
        60,
    )
    FailoverStarted = INFO, "An operator asked for other amphorae in place of these. `data`: which.", _EACH_COUNTS
    AmphoraDrained = (
        INFO,
        "An operator asked for it to give its VIPs up, and to be the backup until that is undone.",
        _EACH_COUNTS,
    )
    DrainUndone = INFO, "An operator asked for it to have the VIPs again.", _EACH_COUNTS
    FailoverFinished = INFO, "No amphora is left that was to be replaced.", _EACH_COUNTS
    ConfigurationLost = WARNING, "The amphora does not have the configuration that was in force; it is pushed again."
    CertificateRenewed = INFO, "The agent has another certificate. `data`: when it expires.", _EACH_COUNTS
    CertificateNotRenewed = (
        WARNING,
        "The agent took no new certificate; the present one is still good, and it is tried again.",
    )
    CertificateChanged = (
        INFO,
        "What listeners or pools refer to in a certificate manager has another content, which is put in force.",
        _EACH_COUNTS,
    )
    CertificateNotRead = (
        WARNING,
        "What listeners or pools refer to in a certificate manager could not be read again. They go on with what was read before.",
    )
    CertificateExpires = (
        WARNING,
        "What listeners or pools refer to in a certificate manager is over, or will be within 30 days. Told once a day.",
        24 * _HOUR,
    )

    def event(self, message: str, **about: Any) -> Event:
        """An event for this reason; ``about``: other fields of ``Event``."""
        plain = message[:MESSAGE_LENGTH].replace("\0", " ").encode(errors="replace").decode()  # any database takes it
        return Event(reason=self.name, severity=self.severity, message=plain, **about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One decision. Whoever records it says ``reason`` and ``message``, and what it is about; the store fills in the rest.

    ``id`` stays; ``sequence`` orders all events by their last occurrence: an event that is folded gets a new one.
    ``load_balancer_name`` and ``project_id`` are those of then; ``generation``: the load balancer's. ``control_plane``:
    who decided. Times are seconds since the epoch.
    """

    reason: str
    severity: str
    message: str
    load_balancer_id: str | None = None
    load_balancer_name: str | None = None
    project_id: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    amphora_id: str | None = None
    generation: int | None = None
    control_plane: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
    sequence: int = 0
    count: int = 1
    first_at: float = 0.0
    last_at: float = 0.0

    @property
    def fold_seconds(self) -> int:
        """For how long equal ones are folded into this one."""
        return Reason[self.reason].fold_seconds if self.reason in Reason.__members__ else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; what is given must all hold. ``severity``: this one or a worse one; ``since``: seconds since the epoch;
    ``after``: those of a later sequence."""

    load_balancer_ids: tuple[str, ...] = ()
    object_ids: tuple[str, ...] = ()
    amphora_id: str | None = None
    reasons: tuple[str, ...] = ()
    severity: str = INFO
    since: float | None = None
    after: int = 0
    project_id: str | None = None

    @property
    def severities(self) -> tuple[str, ...]:
        """Those that are bad enough."""
        return SEVERITIES[SEVERITIES.index(self.severity) :]

    def matches(self, event: Event) -> bool:
        """Whether it is one of them."""
        return (
            (not self.load_balancer_ids or event.load_balancer_id in self.load_balancer_ids)
            and (not self.object_ids or event.object_id in self.object_ids)
            and self.amphora_id in (None, event.amphora_id)
            and self.project_id in (None, event.project_id)
            and (not self.reasons or event.reason in self.reasons)
            and event.severity in self.severities
            and (self.since is None or event.last_at >= self.since)
            and event.sequence > self.after
        )


_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def since(text: str, now: float) -> float:
    """The time that a person means: ``90s``, ``30m``, ``2h``, ``1d`` or ``1w`` before now, or a date and time (UTC where it
    names no zone). ``ValueError`` where it is none."""
    if span := _SPAN.fullmatch(text.strip()):
        return now - float(span[1]) * _SECONDS[span[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("is neither a span like 90s, 30m, 2h or 1d nor a time like 2026-01-31T12:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def utc(moment: float) -> str:
    """A time as the API writes it, with milliseconds."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
