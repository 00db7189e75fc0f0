# SPDX-License-Identifier: Apache-2.0
"""The plan of one load balancer: what should be against what is. Pure; steps are data, for logs and previews too."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from octavia_provider.ports import Amphora, CloudStep

from .succession import ALONE, Succession, by_itself, carried, carrying, exists, succession
from .views import Desired, Observed

__all__ = ["Desired", "Observed", "plan", "sentence", "served"]


@dataclass(frozen=True, slots=True)
class AllocateVips:
    """Ask the cloud for the addresses that are wanted, or find them allocated."""


@dataclass(frozen=True, slots=True)
class ReleaseVips:
    """Give back what was allocated, but what is kept."""

    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddAmphora:
    """Write a new amphora down, before anything of it exists."""

    role: str


@dataclass(frozen=True, slots=True)
class Recast:
    """Write down that the amphora has another role."""

    amphora_id: str
    role: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Write down that the amphora is to be replaced."""

    amphora_id: str
    reason: str = "it is lost"


@dataclass(frozen=True, slots=True)
class Boot:
    """Make the amphora's instance (or find it made) and wait for its agent."""

    amphora_id: str


@dataclass(frozen=True, slots=True)
class RecoverAgent:
    """Ask an agent that is silent; start it anew with its files where it does not answer. haproxy goes on meanwhile."""

    amphora_id: str


@dataclass(frozen=True, slots=True)
class RenewCertificate:
    """Give the amphora's agent another certificate."""

    amphora_id: str


@dataclass(frozen=True, slots=True)
class Readdress:
    """Give an amphora that runs the addresses that it lacks, or (``surplus``) take those away that it should not have."""

    amphora_id: str
    surplus: bool = False


@dataclass(frozen=True, slots=True)
class Push:
    """Put the configuration in force on an amphora."""

    amphora_id: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Wait until an amphora has the VIPs by VRRP: this one, if it matters."""

    amphora_id: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Wait until an amphora that leaves has finished what it has, for a while."""

    amphora_id: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Take the amphora's instance away, then forget the amphora."""

    amphora_id: str


Step = (
    AllocateVips
    | ReleaseVips
    | AddAmphora
    | Recast
    | Retire
    | Boot
    | RecoverAgent
    | RenewCertificate
    | Readdress
    | Push
    | CloudStep
    | HandOver
    | Drain
    | Discard
)
Repair = Boot | RecoverAgent
OfAmphora = Boot | RecoverAgent | RenewCertificate | Readdress | HandOver | Drain
"""What is done to several amphorae at once."""


def plan(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """The steps that can be done now; () when what is equals what should be. Steps of one kind are done at once.

    Addresses come before what carries them, and go when nothing does. Instances first: a configuration can be rendered only for an instance that exists. But an amphora that serves waits
    for no other one: it has the newest configuration before another is repaired. A VIP comes before the configuration
    that binds it, and goes after the one that does not. What the cloud does for access comes last: clients get to a
    listener when it answers; but what it closes it closes first, before what is behind it goes. An amphora that is replaced
    serves, and is pushed to, until those that stay have its VIPs (``succession``). An amphora that the
    store does not know is left alone, unless its load balancer is to go: an amphora is written down before it is made,
    so that one was made by another store.
    """
    releases: tuple[Step, ...] = () if observed.release is None else (ReleaseVips(observed.release),)
    if not desired.roles:
        known = [amphora.id for amphora in observed.amphorae]
        gone: tuple[Step, ...] = (
            *(step for step in desired.cloud_steps if step.before),
            *map(Discard, known),
            *(Discard(i) for i in observed.instances if i not in known),
        )
        return gone or releases
    if not observed.allocated:
        return (AllocateVips(),)
    if retired := _retirements(desired, observed):
        return retired
    found = succession(desired, observed)
    if found.recast or found.missing:
        return (*(Recast(id_, role) for id_, role in found.recast), *map(AddAmphora, found.missing))
    aside = observed.failing | observed.drained
    able = [amphora for amphora in (*found.kept, *found.leaving) if amphora.id not in aside]
    up = [amphora for amphora in able if observed.up(amphora)]
    repairs = tuple(_repair(amphora, observed) for amphora in able if amphora not in up and amphora in found.kept)
    # Its agent came up later than it was waited for, or the control plane ended meanwhile: ``Boot`` finds it made.
    repairs += tuple(Boot(a.id) for a in up if a.status != "ALLOCATED" and a.host_id is None and a in found.kept)
    serving = _serve(desired, observed, up) if up else ()
    replaced = () if found.unplaced else _replace(observed, found, up)
    renewals = tuple(RenewCertificate(amphora.id) for amphora in up if amphora.id in observed.due)
    return serving or repairs or replaced or renewals or releases


def served(desired: Desired, observed: Observed) -> bool:
    """Whether what is desired is in force wherever it can be, on one amphora at least; others may have to be repaired.

    It is not while an amphora that runs has still to be replaced, which may be what was asked for.
    """
    if not observed.allocated or _retirements(desired, observed):
        return False
    found = succession(desired, observed)
    able = [a for a in found.kept if a.id not in observed.failing and observed.up(a)]
    if not able or found.missing or found.recast or any(exists(observed, amphora) for amphora in found.leaving):
        return False
    return not _serve(desired, observed, able)


def _retirements(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """Amphorae that were booted by another flavor, or cannot stay where they are; and of a pair, and of those without an instance of
    their own, those that are lost: another one is sooner there."""
    staying = [a for a in observed.amphorae if not a.retiring]
    working = {a.id for a in observed.amphorae if observed.up(a)}
    found: list[Step] = []
    for amphora in staying:
        id_, paired = amphora.id, amphora.role != ALONE
        there = exists(observed, amphora)
        if id_ in observed.misplaced and (observed.places != 0 or not there):
            found.append(Retire(id_, observed.misplaced[id_]))
        elif amphora.status != "ALLOCATED" or id_ in observed.misplaced:
            continue
        elif (paired or amphora.host_id) and not there:
            found.append(Retire(id_))
        elif id_ in observed.unrecoverable and (working - {id_} or not paired):
            found.append(Retire(id_, "its agent does not come back"))
        elif amphora.host_id is None and dict(amphora.flavor) != dict(desired.flavor):
            found.append(Retire(id_, "the flavor is another one"))
    return tuple(found)


def _serve(desired: Desired, observed: Observed, up: Iterable[Amphora]) -> tuple[Step, ...]:
    """What brings the configuration into force on amphorae that are up."""
    wanted = {a.id: carrying(desired, observed, a) for a in up}
    has = {a.id: carried(observed.instances[a.id]) for a in up}
    if lacking := tuple(Readdress(a.id) for a in up if wanted[a.id] - has[a.id]):
        return lacking
    outdated = {a.id for a in up if observed.digests.get(a.id) != desired.digest.get(a.id)}
    pushes = tuple(Push(a.id) for a in up if a.id in outdated)
    # Who serves hears of one that joins before that one begins: else both would think that they are alone, and have the VIPs.
    pushes = tuple(push for push in pushes if push.amphora_id in observed.digests) or pushes
    former = tuple(Readdress(a.id, surplus=True) for a in up if a.id not in outdated and has[a.id] - wanted[a.id])
    fixed = (a.id for a in up if a.role != ALONE and a.id not in outdated and by_itself(desired, observed, a))
    if observed.owner is None and not pushes and (one := next(fixed, None)):
        return (HandOver(one),)  # then it sends to members by its own address, before it has to give up the VIPs
    close = tuple(step for step in desired.cloud_steps if step.before)
    let_in = tuple(step for step in desired.cloud_steps if not step.before)
    return (*close, *pushes, *former, *let_in)


def _replace(observed: Observed, found: Succession, up: Collection[Amphora]) -> tuple[Step, ...]:
    """Amphorae that leave go: those that are lost; and the others when all that stay are up and one of them has the VIPs.

    Where one that stays has just failed to take the VIPs over, another one that is up does.
    """
    running = [amphora for amphora in found.leaving if exists(observed, amphora)]
    lost = tuple(Discard(amphora.id) for amphora in found.leaving if amphora not in running)
    down = [amphora.id for amphora in found.kept if amphora not in up]
    if lost or not observed.failing.issuperset(down):
        return lost
    if running and not found.established:
        taker = found.preferred or (None if down else found.kept[0].id)
        return (HandOver(taker),) if taker else ()
    if down:
        return ()
    if busy := tuple(Drain(a.id) for a in running if a.id not in observed.drained and observed.up(a)):
        return busy
    return tuple(Discard(amphora.id) for amphora in running)


def _repair(amphora: Amphora, observed: Observed) -> Repair:
    instance = observed.instances.get(amphora.id)
    return RecoverAgent(amphora.id) if instance is not None and instance.alive else Boot(amphora.id)


_WORDS: Mapping[type, str] = {
    Retire: "replace", HandOver: "hand over to", Drain: "drain", Boot: "boot", RecoverAgent: "look after the agent of", RenewCertificate: "renew the certificate of", Readdress: "change the addresses of", Push: "push to", Discard: "discard",
}  # fmt: skip


def sentence(steps: tuple[Step, ...]) -> str:
    """What a plan says, in one line for the log."""
    if not steps:
        return "nothing to do"
    return ", ".join(_phrase(step) for step in steps)


def _phrase(step: Step) -> str:
    if isinstance(step, CloudStep):
        return step.words
    match step:
        case AddAmphora(role):
            return f"add an amphora ({role})"
        case Recast(amphora_id, role):
            return f"make amphora {amphora_id} {role}"
        case AllocateVips():
            return "allocate the VIPs"
        case ReleaseVips(keep):
            return f"release all addresses but {', '.join(keep)}" if keep else "release the VIPs"
    return f"{_WORDS[type(step)]} amphora {step.amphora_id}"
