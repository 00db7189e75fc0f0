# SPDX-License-Identifier: Apache-2.0
"""What every resource does: check, diff, create, read, update, delete, in the shape of Pulumi's dynamic providers.

All of it follows from the model; a resource (see ``resources``) says only what is different about it. Properties are
decoded (``values``) and in Pulumi's names. Check and Diff are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from octavia_provider.client.client import Answer, Client, Owner
from octavia_provider.client.deadline import Deadline
from octavia_provider.model import effects, pem, statuses
from octavia_provider.model.effects import Effect
from octavia_provider.model.errors import NotFound, TransientError
from octavia_provider.model.kinds import KINDS, token
from octavia_provider.model.metadata import Attribute, inputs
from octavia_provider.model.unknown import contains_unknown
from octavia_provider.model.validation import validate

from . import diffs, language, outputs, spelling, values
from .diffs import Change
from .failures import InitFailed
from .inputs import NAME, Failure, Naming, check, notes

if TYPE_CHECKING:
    from octavia_provider.model.common import Resource

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a call to the control plane needs: the client, how long, for whom, and where progress is told."""

    urn: str
    name: str
    client: Client
    deadline: Deadline
    owner: Owner | None = None
    report: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What Diff found. Names are Pulumi's: ``replaces``, ``stables``; ``effects`` on the traffic, the
    worst first, each with what it comes from."""

    changes: Sequence[Change] = ()
    replaces: Sequence[str] = ()
    stables: Sequence[str] = ()
    delete_before_replace: bool = False
    effects: Sequence[tuple[str, Effect]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What Read found; ``reasons`` say why it is not well, where it is not."""

    id: str
    properties: Properties
    inputs: Properties
    reasons: Sequence[str] = ()


class Hooks:
    """The hooks of one resource."""

    word: ClassVar[str]
    """The word for its kind."""
    stable: ClassVar[frozenset[str]] = frozenset({"project_id", "created_at", "control_plane_id"})
    """Outputs that no update changes."""

    @property
    def kind(self) -> type[Resource]:
        """The class of its kind, imported when it is first needed."""
        return KINDS[self.word]

    @property
    def type_name(self) -> str:
        """Its type token, ``octavia:index:Listener``."""
        return token(self.word)

    # ── pure ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def check(self, news: Properties, olds: Properties, naming: Naming) -> tuple[dict[str, Any], list[Failure]]:
        """The checked inputs, and everything that is wrong with them."""
        return check(self.kind, news, olds, naming)

    def notes(self, inputs: Properties) -> list[Failure]:
        """What of checked inputs has no effect."""
        return notes(self.kind, inputs)

    def diff(
        self, old_inputs: Properties, olds: Properties, news: Properties, ignore: Sequence[str] = ()
    ) -> Difference:
        """What changes between old inputs (and outputs) and new inputs, and what each change costs."""
        old, shown, new = (self._raw(side) for side in (old_inputs, olds, news))
        changes = diffs.diff(self.kind, old, shown, new, ignore)
        attrs = {change.attribute.name: change.attribute for change in changes}
        replaces = list(dict.fromkeys(change.attribute.camel for change in changes if change.replaces))
        first = any(change.replaces and change.attribute.delete_before_replace for change in changes)
        return Difference(
            changes=changes,
            replaces=replaces,
            stables=["id", *([] if replaces else self._stables(olds, set(attrs)))],
            delete_before_replace=bool(changes) and (first or self._collides(old, shown, new)),
            effects=self._effects(changes, old, new, {n for n, a in attrs.items() if _hidden(a, old_inputs, news)}),
        )

    def effect_of_create(self, news: Properties) -> Effect:
        """What making it does to the traffic."""
        return effects.of_create(self.word, self._raw(news))

    def warnings(self, news: Properties, now: datetime) -> Sequence[str]:  # noqa: ARG002
        """What people should know of checked inputs, at this time."""
        return ()

    def preview_create(self, news: Properties) -> dict[str, Any]:
        """The outputs of a create, unknown where only the control plane can say."""
        return outputs.expected(self.kind, news)

    def preview_update(self, old_inputs: Properties, olds: Properties, news: Properties) -> dict[str, Any]:
        """The outputs of an update, unknown where it may change them."""
        changed = {c.attribute.name for c in self.diff(old_inputs, olds, news).changes}
        return outputs.after_update(self.kind, olds, news, self._stays(changed))

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def create(self, call: Call, news: Properties) -> tuple[str, dict[str, Any]]:
        """Make it, and wait until it is in force. ``InitFailed`` where it exists and is not well."""
        answer = call.client.create(
            self.word, self._given(news), deadline=call.deadline, parent=self._parent(news), owner=call.owner,
            subject=self._subject(call),
        )  # fmt: skip
        return answer.id, self._settled(call, answer, news)

    def update(
        self, call: Call, id: str, old_inputs: Properties, olds: Properties, news: Properties,  # noqa: A002
        *, ignore: Sequence[str] = (),
    ) -> dict[str, Any]:  # fmt: skip
        """Bring it to the new inputs, and wait until they are in force. Without a change: try again what failed."""
        parent = self._parent(olds)
        body = self._body(old_inputs, olds, news, ignore)
        try:
            answer = call.client.update(
                self.word, id, body, deadline=call.deadline, parent=parent, owner=call.owner,
                made_by=_made_by(olds), subject=self._subject(call),
            )  # fmt: skip
        except NotFound:
            raise NotFound(
                f"does not exist any more (id {id}).", subject=self._subject(call), hint="pulumi refresh, then up"
            ) from None
        return self._settled(call, answer, news, parent=parent)

    def read(self, call: Call, id: str, olds: Properties, old_inputs: Properties) -> Found | None:  # noqa: A002
        """It as it is now; None where it is gone (proven by the control plane that made it)."""
        id, parent = self.identify(id, olds)  # noqa: A001
        try:
            answer = call.client.get(
                self.word, id, deadline=call.deadline, parent=parent, owner=call.owner, made_by=_made_by(olds)
            )
        except NotFound:
            return None
        seen = self.as_given(call, answer.object, old_inputs)
        properties = self._shown(answer, old_inputs, parent)
        # what a program made has a name among its inputs, what it only reads (``LoadBalancer.get``) has no inputs
        others = bool(olds) and not old_inputs and NAME in inputs(self.kind)
        return Found(
            id=answer.id,
            properties=outputs.unmoved(self.kind, properties, olds) if others else properties,
            inputs={} if others else outputs.as_inputs(self.kind, seen, old_inputs, self.wanted(seen, old_inputs)),
            reasons=[_reason(answer)] if answer.status == statuses.ERROR else [],
        )

    def delete(self, call: Call, id: str, olds: Properties) -> None:  # noqa: A002
        """Delete it and wait until it is out of force; fine where it is gone already."""
        call.client.delete(
            self.word, id, deadline=call.deadline, parent=self._parent(olds), made_by=_made_by(olds),
            subject=self._subject(call), progress=self._progress(call, "waiting until it is out of force"),
        )  # fmt: skip

    # ── what a resource may say otherwise ────────────────────────────────────────────────────────────────────────────
    def identify(self, id: str, olds: Properties) -> tuple[str, str | None]:  # noqa: A002, ARG002
        """The object's id and its parent's, from the id that Pulumi knows (or a user gave to import)."""
        return id, None

    def as_given(self, call: Call, obj: Properties, old_inputs: Properties) -> Properties:  # noqa: ARG002
        """The object without what only follows from other objects, so that it is not taken for an input."""
        return obj

    def wanted(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:  # noqa: ARG002
        """The chosen attributes that are inputs all the same when read (the model's names)."""
        return ()

    def follows(self, changed: set[str]) -> set[str]:  # noqa: ARG002
        """The outputs that stay when these inputs change, beside ``stable``."""
        return set()

    def exclusive(self, canonical: Properties) -> str | None:
        """What no second object may have at the same time: while the old one has it, a new one cannot be made."""
        if self.kind.UNIQUE is None or any(contains_unknown(v) for v in canonical.values()):
            return None
        return self.kind.UNIQUE.key(canonical)

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _raw(self, properties: Properties) -> dict[str, Any]:
        return spelling.to_model(self.kind, values.plain(properties))[0]

    def _given(self, news: Properties) -> dict[str, Any]:
        """The body of a POST: what was given, in canonical form; defaults are the control plane's."""
        raw = self._raw(news)
        canonical = validate(self.kind, raw).values
        return {name: canonical[name] for name in inputs(self.kind) if diffs.given(raw, name)}

    def _body(
        self, old_inputs: Properties, olds: Properties, news: Properties, ignore: Sequence[str]
    ) -> dict[str, Any]:
        """The body of a PUT: what changed, null where an input was taken away; all that is given where nothing did,
        so that the control plane tries again what failed. What somebody else set meanwhile is left alone."""
        given = self._given(news)
        changed = {change.attribute.name for change in self.diff(old_inputs, olds, news, ignore).changes}
        known = inputs(self.kind)
        if not changed:
            return {n: v for n, v in given.items() if not known[n].replaces and known[n].camel not in ignore}
        absent = {
            name: known[name].default for name in changed if known[name].null is not None
        }  # null says something else
        return {name: given.get(name, absent.get(name)) for name in changed}

    def _settled(self, call: Call, answer: Answer, news: Properties, parent: str | None = None) -> dict[str, Any]:
        """Wait; the outputs where it is in force, ``InitFailed`` where it is not."""
        parent = parent or self._parent(news)
        reasons: list[str] = []
        try:
            answer = call.client.settle(
                self.word, answer, deadline=call.deadline, parent=parent,
                progress=self._progress(call, "waiting until it is in force"),
            )  # fmt: skip
        except TransientError as error:
            reasons.append(str(error))
        properties = self._shown(answer, news, parent)
        if not reasons and not answer.settled:
            why = call.deadline.interruption(self._subject(call), f"waiting until it is in force ({answer.status})")
            reasons.append(f"{why} The control plane goes on with it; the next update waits again.")
        elif not reasons and answer.status == statuses.ERROR:
            reasons.append(_reason(answer))
        if reasons:
            raise InitFailed(answer.id, properties, news, reasons)
        return properties

    def _shown(self, answer: Answer, given: Properties, parent: str | None) -> dict[str, Any]:  # noqa: ARG002
        obj = dict(answer.object)
        obj["control_plane_id"] = obj.get("control_plane_id") or answer.control_plane_id
        return outputs.shown(self.kind, obj, given)

    def _progress(self, call: Call, doing: str) -> Callable[[Answer], None]:
        def tell(answer: Answer) -> None:
            call.report(f"{doing}: {answer.status}, {call.deadline.elapsed():.0f} s")

        return tell

    def _parent(self, properties: Properties) -> str | None:  # noqa: ARG002
        return None

    def _subject(self, call: Call) -> str:
        return f"{self.kind.LABEL} {call.name!r}"

    def _stays(self, changed: set[str]) -> set[str]:
        return set(self.stable) | self.follows(changed)

    def _stables(self, olds: Properties, changed: set[str]) -> list[str]:
        fixed = {n for n, attr in inputs(self.kind).items() if attr.replaces and n not in changed}
        names = spelling.to_pulumi(self.kind, dict.fromkeys(sorted(self._stays(changed) | fixed)))
        return [name for name in names if name in olds]

    def _effects(
        self, changes: Sequence[Change], old: Properties, new: Properties, hidden: set[str]
    ) -> list[tuple[str, Effect]]:
        """What the changes do; ``hidden`` are the inputs that may not be shown."""
        word = self.word
        attrs = {change.attribute.name: change.attribute for change in changes}
        causes = {change.attribute.name: change.attribute for change in changes if change.replaces}
        if causes:
            because = ", ".join(map(language.name, causes.values()))
            return [(f"replaced, because of {because}", effects.of_replace(word))]
        found = []
        for name, attr in attrs.items():
            effect = effects.of_change(word, attr, old.get(name), new.get(name))
            contents = None if name in hidden else pem.change(old.get(name), new.get(name))
            said = f"{language.name(attr)} ({contents})" if contents else language.name(attr)
            found.append((said, effect))
        return effects.worst_first(found)

    def _collides(self, old: Properties, shown: Properties, new: Properties) -> bool:
        known = inputs(self.kind)
        before = validate(self.kind, {n: v for n, v in {**shown, **old}.items() if n in known}).values
        after = validate(self.kind, new).values
        missing = {name for name, attr in known.items() if attr.required} - after.keys()
        if missing or {name for name, attr in known.items() if attr.required} - before.keys():
            return False
        key = self.exclusive(after)
        return key is not None and key == self.exclusive(before)


def _hidden(attr: Attribute, *sides: Properties) -> bool:
    return attr.secret or any(values.is_secret(side.get(attr.camel)) for side in sides)


def _made_by(olds: Properties) -> str:
    return str(values.plain(olds.get("controlPlaneId")) or "")


def _reason(answer: Answer) -> str:
    return str(answer.object.get("provisioning_error") or "ended in ERROR; the control plane does not say why")
