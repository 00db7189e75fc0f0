# SPDX-License-Identifier: Apache-2.0
"""The plan of one load balancer: what should be against what is. Pure; steps are data, for logs and previews too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octavia_provider.ports import Amphora, CloudStep, Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What should be. ``roles``: one for each amphora; () when the load balancer is to go. ``vips``: what each of them carries.

    ``digest``: of the configuration of each amphora that has an instance. ``cloud_steps``: what the cloud has still to do
    so that clients get to the listeners (``ports.ListenerAccess.plan``).
    """

    load_balancer_id: str
    roles: tuple[str, ...]
    vips: tuple[str, ...] = ()
    digest: Mapping[str, str] = field(default_factory=dict)
    cloud_steps: tuple[CloudStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is. ``amphorae``: the store's; ``instances``: the cloud's, by amphora id; ``digests``: what agents say is in force.

    ``suspects``: amphorae whose agents are silent. ``due``: those whose certificates have to be renewed. ``failing``: those of which something has just failed; they are left
    aside until the next pass, so that they hold up no other one. ``allocated``: every VIP has its address. ``release``: what
    is to be kept of what the cloud may hold too much of; None: it holds no more than that.
    """

    amphorae: tuple[Amphora, ...] = ()
    instances: Mapping[str, Instance] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()
    due: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    allocated: bool = True
    release: tuple[str, ...] | None = None

    def up(self, amphora: Amphora) -> bool:
        """Whether it can be given a configuration."""
        instance = self.instances.get(amphora.id)
        return instance is not None and instance.alive and amphora.id not in self.suspects


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
    """Give an amphora that runs the VIPs that it lacks, or (``surplus``) take those away that it should not have."""

    amphora_id: str
    surplus: bool = False


@dataclass(frozen=True, slots=True)
class Push:
    """Put the configuration in force on an amphora."""

    amphora_id: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Take the amphora's instance away, then forget the amphora."""

    amphora_id: str


Step = (
    AllocateVips
    | ReleaseVips
    | AddAmphora
    | Boot
    | RecoverAgent
    | RenewCertificate
    | Readdress
    | Push
    | CloudStep
    | Discard
)
Repair = Boot | RecoverAgent


def plan(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """The steps that can be done now; () when what is equals what should be. Steps of one kind are done at once.

    Addresses come before what carries them, and go when nothing does. Instances first: a configuration can be rendered only for an instance that exists. But an amphora that serves waits
    for no other one: it has the newest configuration before another is repaired. A VIP comes before the configuration
    that binds it, and goes after the one that does not. What the cloud does for access comes last: clients get to a
    listener when it answers; but what it closes it closes first, before what is behind it goes. An amphora that the
    store does not know is left alone, unless its load balancer is to go: an amphora is written down before it is made,
    so that one was made by another store.
    """
    close = tuple(step for step in desired.cloud_steps if step.before)
    releases: tuple[Step, ...] = () if observed.release is None else (ReleaseVips(observed.release),)
    if not desired.roles:
        known = [amphora.id for amphora in observed.amphorae]
        gone: tuple[Step, ...] = (
            *close,
            *map(Discard, known),
            *(Discard(i) for i in observed.instances if i not in known),
        )
        return gone or releases
    if not observed.allocated:
        return (AllocateVips(),)
    kept, missing = cast(desired.roles, observed.amphorae)
    if missing:
        return tuple(map(AddAmphora, missing))
    able = [amphora for amphora in kept if amphora.id not in observed.failing]
    up = [amphora for amphora in able if observed.up(amphora)]
    repairs = tuple(_repair(amphora, observed) for amphora in able if amphora not in up)
    serving = _serve(desired, observed, up) if up else ()
    surplus = tuple(Discard(amphora.id) for amphora in observed.amphorae if amphora not in kept)
    renewals = tuple(RenewCertificate(amphora.id) for amphora in up if amphora.id in observed.due)
    return serving or repairs or renewals or surplus or releases


def cast(roles: Iterable[str], amphorae: Iterable[Amphora]) -> tuple[list[Amphora], list[str]]:
    """Which amphorae are kept, the earliest of each role, in the order of the roles; and the roles that nobody has."""
    free, kept, missing = list(amphorae), list[Amphora](), list[str]()
    for role in roles:
        found = next((amphora for amphora in free if amphora.role == role), None)
        if found is None:
            missing.append(role)
        else:
            free.remove(found)
            kept.append(found)
    return kept, missing


def served(desired: Desired, observed: Observed) -> bool:
    """Whether what is desired is in force wherever it can be, on one amphora at least; others may have to be repaired."""
    kept, missing = cast(desired.roles, observed.amphorae)
    able = [amphora for amphora in kept if amphora.id not in observed.failing and observed.up(amphora)]
    return bool(able) and observed.allocated and not missing and not _serve(desired, observed, able)


def _serve(desired: Desired, observed: Observed, up: Iterable[Amphora]) -> tuple[Step, ...]:
    """What brings the configuration into force on amphorae that are up."""
    wanted, carried = set(desired.vips), {a.id: set(observed.instances[a.id].vips) for a in up}
    if lacking := tuple(Readdress(a.id) for a in up if wanted - carried[a.id]):
        return lacking
    pushes = tuple(Push(a.id) for a in up if observed.digests.get(a.id) != desired.digest.get(a.id))
    pushed = {push.amphora_id for push in pushes}
    former = tuple(Readdress(a.id, surplus=True) for a in up if a.id not in pushed and carried[a.id] - wanted)
    close = tuple(step for step in desired.cloud_steps if step.before)
    let_in = tuple(step for step in desired.cloud_steps if not step.before)
    return (*close, *pushes, *former, *let_in)


def _repair(amphora: Amphora, observed: Observed) -> Repair:
    instance = observed.instances.get(amphora.id)
    return RecoverAgent(amphora.id) if instance is not None and instance.alive else Boot(amphora.id)


_WORDS: Mapping[type, str] = {
    Boot: "boot", RecoverAgent: "look after the agent of", RenewCertificate: "renew the certificate of", Readdress: "change the addresses of", Push: "push to", Discard: "discard",
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
        case AllocateVips():
            return "allocate the VIPs"
        case ReleaseVips(keep):
            return f"release all addresses but {', '.join(keep)}" if keep else "release the VIPs"
    return f"{_WORDS[type(step)]} amphora {step.amphora_id}"
