# SPDX-License-Identifier: Apache-2.0
"""The plan of one load balancer: what should be against what is. Pure; steps are data, for logs and previews too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octavia_provider.ports import Amphora, CloudStep, Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What should be. ``amphorae``: how many; 0 when the load balancer is to go. ``vips``: what each of them carries.

    ``cloud_steps``: what the cloud has still to do so that clients get to the listeners (``ports.ListenerAccess.plan``).
    """

    load_balancer_id: str
    amphorae: int
    vips: tuple[str, ...] = ()
    digest: Mapping[str, str] = field(default_factory=dict)
    cloud_steps: tuple[CloudStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is. ``amphorae``: the store's; ``hosts``: the cloud's, by amphora id; ``digests``: what agents say is in force."""

    amphorae: tuple[Amphora, ...] = ()
    hosts: Mapping[str, Instance] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AddAmphora:
    """Write a new amphora down, before anything of it exists."""


@dataclass(frozen=True, slots=True)
class Boot:
    """Make the amphora's host (or find it made) and wait for its agent."""

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
    """Take the amphora's host away, then forget the amphora."""

    amphora_id: str


Step = AddAmphora | Boot | Readdress | Push | CloudStep | Discard


def plan(desired: Desired, observed: Observed) -> tuple[Step, ...]:
    """The steps that can be done now; () when what is equals what should be.

    Hosts first: a configuration can be rendered only for a host that exists. A VIP comes before the configuration that
    binds it, and goes after the one that does not. What the cloud does for access comes last: clients get to a
    listener when it answers; but what it closes it closes first, before what is behind it goes. An amphora that the store does not
    know is left alone, unless its load balancer is to go: an amphora is written down before it is made, so that one was
    made by another store.
    """
    close = tuple(step for step in desired.cloud_steps if step.before)
    surplus = tuple(Discard(a.id) for a in observed.amphorae[desired.amphorae :])
    strays = tuple(Discard(i) for i in observed.hosts if i not in {a.id for a in observed.amphorae})
    if desired.amphorae == 0:
        return (*close, *surplus, *strays)
    missing = desired.amphorae - len(observed.amphorae)
    if missing > 0:
        return tuple(AddAmphora() for _ in range(missing))
    kept = observed.amphorae[: desired.amphorae]
    boots = tuple(Boot(a.id) for a in kept if a.id not in observed.hosts or not observed.hosts[a.id].alive)
    if boots:
        return boots
    lacking = tuple(Readdress(a.id) for a in kept if set(desired.vips) - set(observed.hosts[a.id].vips))
    if lacking:
        return lacking
    pushes = tuple(Push(a.id) for a in kept if observed.digests.get(a.id) != desired.digest.get(a.id))
    pushed = {push.amphora_id for push in pushes}
    former = tuple(
        Readdress(a.id, surplus=True)
        for a in kept
        if a.id not in pushed and set(observed.hosts[a.id].vips) - set(desired.vips)
    )
    let_in = tuple(step for step in desired.cloud_steps if not step.before)
    return (*close, *pushes, *former, *let_in, *surplus)


_WORDS: Mapping[type, str] = {
    AddAmphora: "add an amphora", Boot: "boot", Readdress: "change the addresses of", Push: "push to", Discard: "discard",
}  # fmt: skip


def sentence(steps: tuple[Step, ...]) -> str:
    """What a plan says, in one line for the log."""
    if not steps:
        return "nothing to do"
    return ", ".join(_phrase(step) for step in steps)


def _phrase(step: Step) -> str:
    if isinstance(step, CloudStep):
        return step.words
    word = _WORDS[type(step)]
    return word if isinstance(step, AddAmphora) else f"{word} amphora {step.amphora_id}"
