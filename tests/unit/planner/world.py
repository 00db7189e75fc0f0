# SPDX-License-Identifier: Apache-2.0
"""A world in which every step of a plan has its effect at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from octavia_provider.planner.plan import (
    AddAmphora,
    Boot,
    Desired,
    Discard,
    Drain,
    HandOver,
    Observed,
    Push,
    Readdress,
    Recast,
    RecoverAgent,
    RenewCertificate,
    Retire,
    Step,
    plan,
)
from octavia_provider.planner.succession import Carried, carried, carrying
from octavia_provider.ports import Amphora, CloudStep, Instance

SINGLE, PAIR = ("STANDALONE",), ("MASTER", "BACKUP")
VIP = "10.0.0.9"


def amphora(id_: str, role: str = "STANDALONE", **facts: object) -> Amphora:
    return Amphora(id=id_, load_balancer_id="lb", role=role, **facts)  # type: ignore[arg-type]


def host(id_: str, *, alive: bool = True, **carries: tuple[str, ...]) -> Instance:
    return Instance(amphora_id=id_, load_balancer_id="lb", agent=("10.0.0.1", 9443), alive=alive, **carries)


def desired(digest: Mapping[str, str] | None = None, *steps: CloudStep, roles: tuple[str, ...] = SINGLE) -> Desired:
    return Desired(load_balancer_id="lb", roles=roles, digest=digest or {}, cloud_steps=steps)


def observed(*ids: str, instances: Mapping[str, Instance] | None = None, **seen: object) -> Observed:
    amphorae = tuple(amphora(i) for i in ids)
    return written_down(Observed(amphorae=amphorae, instances=instances or {}, **seen))  # type: ignore[arg-type]


def written_down(seen: Observed) -> Observed:
    """Those that run are known as made."""
    made = {id_ for id_, instance in seen.instances.items() if instance.alive}
    return dataclasses.replace(
        seen,
        amphorae=tuple(dataclasses.replace(a, status="ALLOCATED") if a.id in made else a for a in seen.amphorae),
    )


def carry_out(wanted: Desired, seen: Observed, step: Step) -> Observed:
    """What is seen after it."""
    instances, digests = dict(seen.instances), dict(seen.digests)
    match step:
        case Boot(id_):
            assert not (id_ in instances and instances[id_].alive and known(seen, id_).status == "ALLOCATED")
            booted = _with(seen, dataclasses.replace(known(seen, id_), status="ALLOCATED", flavor=wanted.flavor))
            digests.pop(id_, None)
            seen = dataclasses.replace(_bears(booted, host(id_), _should(wanted, seen, id_)), digests=digests)
        case Readdress(id_, surplus):
            kept = frozenset() if surplus else carried(instances[id_])
            seen = _bears(seen, instances[id_], kept | _should(wanted, seen, id_))
        case Push(id_):
            has = {address for address, _ in carried(instances[id_])}
            assert set(wanted.vips) <= has, "a VIP comes before the configuration that binds it"
            seen = dataclasses.replace(seen, digests={**digests, id_: wanted.digest.get(id_, "d")})
        case Discard(id_):
            for known_ in (instances, digests):
                known_.pop(id_, None)
            left = tuple(a for a in seen.amphorae if a.id != id_)
            seen = dataclasses.replace(seen, amphorae=left, instances=instances, digests=digests)
        case _:
            seen = _noted(seen, step)
    return seen


def _noted(seen: Observed, step: Step) -> Observed:
    match step:
        case AddAmphora(role):
            seen = _with(seen, amphora(_unused(seen), role))
        case Retire(id_):
            seen = _with(seen, dataclasses.replace(known(seen, id_), retiring=True))
        case Recast(id_, role):
            seen = _with(seen, dataclasses.replace(known(seen, id_), role=role))
        case RecoverAgent(id_):
            seen = dataclasses.replace(seen, suspects=seen.suspects - {id_})
        case RenewCertificate(id_):
            seen = dataclasses.replace(seen, due=seen.due - {id_})
        case HandOver(id_):
            assert seen.instances[id_].alive
            seen = dataclasses.replace(seen, owner=id_)
        case Drain(id_):
            seen = dataclasses.replace(seen, drained=seen.drained | {id_})
    return seen


def steps_to_the_end(wanted: Desired, seen: Observed) -> Iterator[tuple[Step, Observed]]:
    """Each step, and what is seen after it; the digest of every configuration is ``d``."""
    for _ in range(60):
        goal = dataclasses.replace(wanted, digest=dict.fromkeys([a.id for a in seen.amphorae], "d"))
        steps = plan(goal, seen)
        if not steps:
            return
        for step in steps:
            seen = carry_out(goal, seen, step)
            yield step, seen
    raise AssertionError("no end")


def known(seen: Observed, id_: str) -> Amphora:
    return next(a for a in seen.amphorae if a.id == id_)


def _unused(seen: Observed) -> str:
    taken = {a.id for a in seen.amphorae} | seen.drained
    return next(name for number in range(99) if (name := f"new-{number}") not in taken)


def _with(seen: Observed, one: Amphora) -> Observed:
    others = [one if a.id == one.id else a for a in seen.amphorae]
    return dataclasses.replace(seen, amphorae=tuple(others if one in others else [*others, one]))


def _should(wanted: Desired, seen: Observed, id_: str) -> Carried:
    return carrying(wanted, seen, known(seen, id_))


def _bears(seen: Observed, instance: Instance, them: Carried) -> Observed:
    def chosen(shared: bool) -> tuple[str, ...]:
        return tuple(sorted(address for address, how in them if how is shared))

    instance = dataclasses.replace(instance, vips=chosen(False), shared=chosen(True))
    return dataclasses.replace(seen, instances={**seen.instances, instance.amphora_id: instance})
