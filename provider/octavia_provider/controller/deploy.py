# SPDX-License-Identifier: Apache-2.0
"""Putting a configuration in force, and finding the object to blame when an agent refuses.

All amphorae of a load balancer are pushed to at once, and what one of them refuses is refused: they all serve the same.
Blame goes to the line that haproxy named; where none is named, the changed objects are bisected. A blamed object goes
back to its last accepted form, the rest is applied: one bad object never holds the others up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from octavia_amphora.wire.messages import Refusal
from octavia_provider.model.errors import PermanentError
from octavia_provider.render.haproxy import Rendered

from .desired_state import DesiredState

log = structlog.get_logger(__name__)
ByAmphora = Mapping[str, Rendered]
RenderIt = Callable[[set[str], set[str]], ByAmphora]
PushIt = Callable[[ByAmphora], Awaitable[Mapping[str, Refusal]]]
"""Answers what amphorae refused, by their ids; nothing where all have it in force."""


@dataclass(slots=True)
class Outcome:
    """``refused``: in their accepted form; ``dropped``: in no form; ``errors``: id → reason, for both."""

    rendered: ByAmphora
    refused: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)


async def push_what_can_be(
    desired_state: DesiredState, render: RenderIt, push: PushIt, *, before: Outcome | None = None
) -> Outcome:
    """Push everything; take out what is refused until the rest is in force. Raises when even nothing is refused.

    ``before``: what was refused of the same generation already is not tried again.
    """
    outcome = Outcome({})
    if before is not None:
        outcome = Outcome({}, set(before.refused), set(before.dropped), dict(before.errors))
    while True:
        outcome.rendered = render(outcome.refused, outcome.dropped)
        refusals = await push(outcome.rendered)
        if not refusals:
            return outcome
        blamed: dict[str, str] = {}
        for amphora_id, refusal in refusals.items():
            rendered = outcome.rendered[amphora_id]  # lines count in the configuration of the one that refused
            _refuse_templates(rendered, refusal, desired_state)
            blamed = {**_blame(rendered, refusal, desired_state), **blamed}
        taken_out = [id_ for id_, why in blamed.items() if _take_out(desired_state, outcome, id_, why)]
        if not taken_out:
            await _bisect(desired_state, outcome, render, push, _words(refusals))
            return outcome


def _words(refusals: Mapping[str, Refusal]) -> str:
    return next(iter(refusals.values())).message


def _refuse_templates(rendered: Rendered, refusal: Refusal, desired_state: DesiredState) -> None:
    """An operator's template is at fault, and no object: what is in force stays. Taking objects out would take all of them out."""
    for complaint in refusal.complaints:
        template = rendered.laid_over(line=complaint.line, proxy=complaint.proxy)
        if template is None:
            continue
        owner = rendered.owner(line=complaint.line, proxy=complaint.proxy, server=complaint.server)
        record = desired_state.records.get(owner or desired_state.scope.id)
        what = f"{record.kind.replace('_', ' ')} {record.id}" if record else f"load balancer {desired_state.scope.id}"
        raise PermanentError(
            f"haproxy refuses what it makes for {what}: {complaint.message}", subject=f"template {template}",
            hint=f"correct it, and: octaviactl config {desired_state.scope.id} --diff",
        )  # fmt: skip


def _blame(rendered: Rendered, refusal: Refusal, desired_state: DesiredState) -> dict[str, str]:
    blamed: dict[str, str] = {}
    for complaint in refusal.complaints:
        owner = rendered.owner(line=complaint.line, proxy=complaint.proxy, server=complaint.server)
        if owner in desired_state.records and owner != desired_state.scope.id:
            template = rendered.template(complaint.line) if complaint.line else ""
            log.warning("haproxy refuses", object=owner, template=template, reason=complaint.message)
            blamed.setdefault(owner, complaint.message)
    return blamed


def _take_out(desired_state: DesiredState, outcome: Outcome, id_: str, why: str) -> bool:
    """Put the object back to its accepted form, or leave it out; False when it is out already."""
    record = desired_state.records[id_]
    if id_ not in outcome.refused and record.accepted is not None and record.accepted != record.spec:
        outcome.refused.add(id_)
    elif id_ not in outcome.dropped:
        outcome.dropped.add(id_)
    else:
        return False
    outcome.errors[id_] = why
    return True


async def _bisect(desired_state: DesiredState, outcome: Outcome, render: RenderIt, push: PushIt, why: str) -> None:
    """No line was named: find, among what changed, the objects without which the rest is accepted."""
    suspects = [i for i in desired_state.changed() if i not in outcome.errors and i != desired_state.scope.id]
    guilty = await _guilty(outcome, render, push, suspects, set(suspects))
    for id_ in guilty:
        outcome.refused.add(id_)
        outcome.errors[id_] = why
    outcome.rendered = render(outcome.refused, outcome.dropped)
    if refusals := await push(outcome.rendered):
        raise PermanentError(
            f"the amphora refuses even what was in force before: {_words(refusals)}", subject=f"load balancer {desired_state.scope.id}",
            hint="octaviactl logs, and octaviactl doctor on the machine that runs it",
        )  # fmt: skip


async def _guilty(
    outcome: Outcome, render: RenderIt, push: PushIt, suspects: list[str], left_out: set[str]
) -> list[str]:
    """Those of ``suspects`` that are refused, the others of ``left_out`` being left out; good ones are let in."""
    if not suspects:
        return []
    left_out.difference_update(suspects)
    if await _accepted(render, push, outcome.refused | left_out, outcome.dropped):
        return []
    left_out.update(suspects)
    if len(suspects) == 1:
        return suspects
    half = len(suspects) // 2
    first = await _guilty(outcome, render, push, suspects[:half], left_out)
    return first + await _guilty(outcome, render, push, suspects[half:], left_out)


async def _accepted(render: RenderIt, push: PushIt, refused: Iterable[str], dropped: Iterable[str]) -> bool:
    return not await push(render(set(refused), set(dropped)))
