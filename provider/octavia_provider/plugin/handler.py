# SPDX-License-Identifier: Apache-2.0
"""What every resource does: check, diff, create, read, update, delete, in the shape of Pulumi's dynamic providers.

The behaviour is derived from the model; a resource (see ``resources``) overrides only its exceptions. Properties are
decoded (``values``) and have Pulumi's names. Check and Diff are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from octavia_provider.client.client import ApiObject, Client, Ownership
from octavia_provider.client.deadline import Deadline
from octavia_provider.model import effects, pem, statuses
from octavia_provider.model.effects import Effect
from octavia_provider.model.errors import NotFound, TransientError
from octavia_provider.model.kinds import KINDS, token
from octavia_provider.model.metadata import Attribute, inputs
from octavia_provider.model.unknown import contains_unknown
from octavia_provider.model.validation import validate

from . import diffs, language, outputs, property_names, values
from .diffs import Change
from .failures import InitFailed
from .inputs import NAME, Failure, Naming, check, ineffective_inputs

if TYPE_CHECKING:
    from octavia_provider.model.common import Resource

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What a call to the control plane needs: the client, the deadline, the owner, and where to report progress."""

    urn: str
    name: str
    client: Client
    deadline: Deadline
    owner: Ownership | None = None
    report: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffResult:
    """The result of Diff. ``replaces`` and ``stables`` are Pulumi's terms; ``effects`` are the effects on traffic, worst
    first, each with its cause. ``given``: the new inputs that are set, in canonical form and the model's names."""

    changes: Sequence[Change] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    replaces: Sequence[str] = ()
    stables: Sequence[str] = ()
    delete_before_replace: bool = False
    effects: Sequence[tuple[str, Effect]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """The result of Read; ``reasons`` say why the object is in ERROR, if it is."""

    id: str
    properties: Properties
    inputs: Properties
    reasons: Sequence[str] = ()


class ResourceHandler:
    """What the provider does for one resource type."""

    kind_name: ClassVar[str]
    """The model's name of its kind, ``listener``."""
    stable: ClassVar[frozenset[str]] = frozenset({"project_id", "created_at", "control_plane_id"})
    """Outputs that no update changes."""

    @property
    def kind(self) -> type[Resource]:
        """The class of its kind, imported when it is first needed."""
        return KINDS[self.kind_name]

    @property
    def type_name(self) -> str:
        """Its type token, ``octavia:index:Listener``."""
        return token(self.kind_name)

    # ── pure ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def check(self, news: Properties, olds: Properties, naming: Naming) -> tuple[dict[str, Any], list[Failure]]:
        """The checked inputs, and all failures."""
        return check(self.kind, news, olds, naming)

    def ineffective_inputs(self, inputs: Properties) -> list[Failure]:
        """Checked inputs that have no effect."""
        return ineffective_inputs(self.kind, inputs) if self.kind.NOTES else []

    def diff(
        self, old_inputs: Properties, olds: Properties, news: Properties, ignore: Sequence[str] = (),
        fixed: Collection[str] = (),
    ) -> DiffResult:  # fmt: skip
        """What changes between old inputs (and outputs) and new inputs, and what each change costs; ``fixed``: attributes that
        the service cannot change, though the model can."""
        old, old_outputs, new = (self._to_model(side) for side in (old_inputs, olds, news))
        sides = diffs.Sides.of(self.kind, old, old_outputs, new)
        changes = diffs.diff(sides, ignore, fixed)
        attrs = {change.attribute.name: change.attribute for change in changes}
        replaces = list(dict.fromkeys(change.attribute.camel for change in changes if change.replaces))
        delete_first = any(change.replaces and change.attribute.delete_before_replace for change in changes)
        return DiffResult(
            changes=changes,
            given=sides.given,
            replaces=replaces,
            stables=["id", *([] if replaces else self._stables(olds, set(attrs)))],
            delete_before_replace=bool(changes) and (delete_first or self._must_delete_first(sides, fixed)),
            effects=self._effects(changes, old, new, {n for n, a in attrs.items() if _is_secret(a, old_inputs, news)}),
        )

    def effect_of_create(self, news: Properties) -> Effect:
        """The effect of creating it on traffic."""
        return effects.of_create(self.kind_name, self._to_model(news))

    def warnings(self, news: Properties, now: datetime) -> Sequence[str]:  # noqa: ARG002
        """Warnings about checked inputs, such as an expired certificate."""
        return ()

    def preview_create(self, news: Properties) -> dict[str, Any]:
        """The outputs of a create; unknown where the control plane decides."""
        return outputs.preview_create(self.kind, news)

    def preview_update(self, old_inputs: Properties, olds: Properties, news: Properties) -> dict[str, Any]:
        """The outputs of an update; unknown where the update may change them."""
        changed = {c.attribute.name for c in self.diff(old_inputs, olds, news).changes}
        return outputs.preview_update(self.kind, olds, news, self._stable_outputs(changed))

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def create(self, call: CallContext, news: Properties) -> tuple[str, dict[str, Any]]:
        """Create it and wait until it is ACTIVE. ``InitFailed`` when it exists but is not ACTIVE."""
        answer = call.client.create(
            self.kind_name, self._create_body(news), deadline=call.deadline, parent=self._parent(news), owner=call.owner,
            subject=self._subject(call),
        )  # fmt: skip
        return answer.id, self._wait_until_settled(call, answer, news)

    def update(
        self, call: CallContext, id: str, old_inputs: Properties, olds: Properties, news: Properties,  # noqa: A002
        *, ignore: Sequence[str] = (),
    ) -> dict[str, Any]:  # fmt: skip
        """Update it and wait until it is ACTIVE. Without a change: retry what failed before."""
        parent = self._parent(olds)
        body = self._update_body(old_inputs, olds, news, ignore)
        try:
            answer = call.client.update(
                self.kind_name, id, body, deadline=call.deadline, parent=parent, owner=call.owner,
                made_by=_control_plane_of(olds), subject=self._subject(call),
            )  # fmt: skip
        except NotFound:
            raise NotFound(
                f"does not exist any more (id {id}).", subject=self._subject(call), hint="pulumi refresh, then up"
            ) from None
        return self._wait_until_settled(call, answer, news, parent=parent)

    def read(self, call: CallContext, id: str, olds: Properties, old_inputs: Properties) -> ReadResult | None:  # noqa: A002
        """Its current state; None when it is gone, confirmed by the control plane that created it."""
        id, parent = self.parse_id(id, olds)  # noqa: A001
        try:
            answer = call.client.get(
                self.kind_name,
                id,
                deadline=call.deadline,
                parent=parent,
                owner=call.owner,
                made_by=_control_plane_of(olds),
            )
        except NotFound:
            return None
        obj = self.without_derived_values(call, answer.object, old_inputs)
        given = {name for name, value in self._to_model(old_inputs).items() if value is not None}
        obj = call.client.as_given(self.kind_name, obj, given, self._to_model(olds))
        properties = self._outputs(answer, old_inputs, parent)
        # a managed resource has a name among its inputs; one that is only read (``LoadBalancer.get``) has no inputs
        only_read = bool(olds) and not old_inputs and NAME in inputs(self.kind)
        return ReadResult(
            id=answer.id,
            properties=outputs.keep_unless_changed(self.kind, properties, olds) if only_read else properties,
            inputs={}
            if only_read
            else outputs.to_inputs(self.kind, obj, old_inputs, self.computed_inputs(obj, old_inputs)),
            reasons=[_error_reason(answer)] if answer.status == statuses.ERROR else [],
        )

    def delete(self, call: CallContext, id: str, olds: Properties) -> None:  # noqa: A002
        """Delete it and wait until it is gone; no error when it does not exist."""
        call.client.delete(
            self.kind_name, id, deadline=call.deadline, parent=self._parent(olds), made_by=_control_plane_of(olds),
            subject=self._subject(call), progress=self._progress(call, "waiting until it is out of force"),
        )  # fmt: skip

    # ── what a resource may override ─────────────────────────────────────────────────────────────────────────────────
    def parse_id(self, id: str, olds: Properties) -> tuple[str, str | None]:  # noqa: A002, ARG002
        """The object's id and its parent's, from the id in Pulumi's state or one given to import."""
        return id, None

    def without_derived_values(self, call: CallContext, obj: Properties, old_inputs: Properties) -> Properties:  # noqa: ARG002
        """The object without values derived from other objects, so that they are not reported as inputs."""
        return obj

    def computed_inputs(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:  # noqa: ARG002
        """Attributes that the control plane chose but that Read reports as inputs (the model's names)."""
        return ()

    def unaffected_outputs(self, changed: set[str]) -> set[str]:  # noqa: ARG002
        """The outputs, besides ``stable``, that keep their values when these inputs change."""
        return set()

    def exclusive_key(self, canonical: Properties) -> str | None:
        """The unique value of the object. While the old object holds it, a replacement cannot be created."""
        if self.kind.UNIQUE is None or any(contains_unknown(v) for v in canonical.values()):
            return None
        return self.kind.UNIQUE.key(canonical)

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _to_model(self, properties: Properties) -> dict[str, Any]:
        return property_names.to_model(self.kind, values.plain(properties))[0]

    def _create_body(self, news: Properties) -> dict[str, Any]:
        """The body of a POST: the inputs that are set, in canonical form (but references to containers: a stock Octavia wants the
        whole href); the control plane adds the defaults."""
        raw = self._to_model(news)
        canonical = validate(self.kind, raw).values
        return {
            name: raw[name] if attr.reference == "tls_container" else canonical[name]
            for name, attr in inputs(self.kind).items()
            if diffs.is_set(raw, name)
        }

    def _update_body(
        self, old_inputs: Properties, olds: Properties, news: Properties, ignore: Sequence[str]
    ) -> dict[str, Any]:
        """The body of a PUT: the changed inputs, null for removed ones. Without a change: all inputs, so that the control
        plane retries what failed. Values that others changed meanwhile are left alone."""
        found = self.diff(old_inputs, olds, news, ignore)
        changed = {change.attribute.name for change in found.changes}
        known = inputs(self.kind)
        if not changed:
            body = self._create_body(news)
            return {n: v for n, v in body.items() if not known[n].replaces and known[n].camel not in ignore}
        defaults = {
            name: known[name].default for name in changed if known[name].null is not None
        }  # null says something else
        hrefs = {n: v for n, v in self._to_model(news).items() if n in known and known[n].reference == "tls_container"}
        given = {**found.given, **hrefs}
        return {name: given.get(name, defaults.get(name)) for name in changed}

    def _wait_until_settled(
        self, call: CallContext, answer: ApiObject, news: Properties, parent: str | None = None
    ) -> dict[str, Any]:
        """Wait until the object settles. Return the outputs when it is ACTIVE, else raise ``InitFailed``."""
        parent = parent or self._parent(news)
        reasons: list[str] = []
        try:
            answer = call.client.wait_until_settled(
                self.kind_name, answer, deadline=call.deadline, parent=parent,
                progress=self._progress(call, "waiting until it is in force"),
            )  # fmt: skip
        except TransientError as error:
            reasons.append(str(error))
        properties = self._outputs(answer, news, parent)
        if not reasons and not answer.settled:
            why = call.deadline.interrupted(self._subject(call), f"waiting until it is in force ({answer.status})")
            reasons.append(f"{why} The control plane goes on with it; the next update waits again.")
        elif not reasons and answer.status == statuses.ERROR:
            reasons.append(_error_reason(answer))
        if reasons:
            raise InitFailed(answer.id, properties, news, reasons)
        return properties

    def _outputs(self, answer: ApiObject, inputs: Properties, parent: str | None) -> dict[str, Any]:  # noqa: ARG002
        obj = dict(answer.object)
        obj["control_plane_id"] = obj.get("control_plane_id") or answer.control_plane_id
        return outputs.from_object(self.kind, obj, inputs)

    def _progress(self, call: CallContext, phase: str) -> Callable[[ApiObject], None]:
        def report(answer: ApiObject) -> None:
            call.report(f"{phase}: {answer.status}, {call.deadline.elapsed():.0f} s")

        return report

    def _parent(self, properties: Properties) -> str | None:  # noqa: ARG002
        return None

    def _subject(self, call: CallContext) -> str:
        return f"{self.kind.LABEL} {call.name!r}"

    def _stable_outputs(self, changed: set[str]) -> set[str]:
        return set(self.stable) | self.unaffected_outputs(changed)

    def _stables(self, olds: Properties, changed: set[str]) -> list[str]:
        fixed = {n for n, attr in inputs(self.kind).items() if attr.replaces and n not in changed}
        names = property_names.to_pulumi(self.kind, dict.fromkeys(sorted(self._stable_outputs(changed) | fixed)))
        return [name for name in names if name in olds]

    def _effects(
        self, changes: Sequence[Change], old: Properties, new: Properties, hidden: set[str]
    ) -> list[tuple[str, Effect]]:
        """The effects of the changes on traffic; ``hidden`` are inputs that must not be shown."""
        kind_name = self.kind_name
        attrs = {change.attribute.name: change.attribute for change in changes}
        causes = {change.attribute.name: change.attribute for change in changes if change.replaces}
        if causes:
            names = ", ".join(map(language.attribute_name, causes.values()))
            return [(f"replaced, because of {names}", effects.of_replace(kind_name))]
        found = []
        for name, attr in attrs.items():
            effect = effects.of_change(kind_name, attr, old.get(name), new.get(name))
            contents = None if name in hidden else pem.change(old.get(name), new.get(name))
            cause = f"{language.attribute_name(attr)} ({contents})" if contents else language.attribute_name(attr)
            found.append((cause, effect))
        return effects.worst_first(found)

    def _must_delete_first(self, sides: diffs.Sides, fixed: Collection[str]) -> bool:  # noqa: ARG002
        required = {name for name, attr in inputs(self.kind).items() if attr.required}
        before, after = sides.was, sides.after
        if required - after.keys() or required - before.keys():
            return False
        key = self.exclusive_key(after)
        return key is not None and key == self.exclusive_key(before)


def _is_secret(attr: Attribute, *sides: Properties) -> bool:
    return attr.secret or any(values.is_secret(side.get(attr.camel)) for side in sides)


def _control_plane_of(olds: Properties) -> str:
    return str(values.plain(olds.get("controlPlaneId")) or "")


def _error_reason(answer: ApiObject) -> str:
    return str(answer.object.get("provisioning_error") or "ended in ERROR; the control plane does not say why")
