# SPDX-License-Identifier: Apache-2.0
"""An object of a list: its id costs nothing, what its record says as it is costs reading that, anything else rendering it.

A list is filtered, sorted and cut into pages by a few plain attributes, mostly; so only the page is rendered, and only
the page is read where nothing is filtered or sorted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.ports import Record

from .representation import SPELLED
from .rules import key
from .views import View, shown_names

_OF_RECORD: Mapping[str, Callable[[View, Record], Any]] = {
    "project_id": lambda _, record: record.project_id,
    "tenant_id": lambda _, record: record.project_id,
    "created_at": lambda _, record: record.created_at,
    "updated_at": lambda _, record: record.updated_at,
    "provisioning_status": View.provisioning,
    "operating_status": View.operating,
}
_AS_GIVEN = (
    "name", "description", "tags", "admin_state_up", "enabled", "address", "protocol", "protocol_port", "weight",
    "vip_address", "vip_network_id", "loadbalancer_id", "listener_id", "pool_id",
)  # fmt: skip
"""Attributes that every form shows as the spec has them, where nothing was spelled otherwise."""
_NOWHERE: Mapping[str, int] = MappingProxyType({})
_COLUMNS = ("project_id", "created_at", "updated_at")
_NAMES = {kind: frozenset(shown_names(kind)) for kind in KINDS}


@functools.cache
def plain(kind: str) -> Mapping[str, type]:
    """The attributes of a kind that a store can tell without reading the whole: texts, numbers and flags that are never null."""
    known = inputs(KINDS[kind])
    given = {name: known[name] for name in _AS_GIVEN if name in known and not known[name].nullable}
    found = {name: one.annotation for name, one in given.items() if one.annotation in (str, int, bool)}
    return {**dict.fromkeys(_COLUMNS, str), **found}


class LazyView(Mapping[str, Any]):
    """What ``view.show`` answers of an object: of its record, or of its id and a few ``plain`` attributes, where it was spelled as it
    is (``load`` reads the record for any other)."""

    __slots__ = ("_id", "_load", "_places", "_record", "_row", "_shown", "_view")

    def __init__(
        self, view: View, id_: str, load: Callable[[str], Record], places: Mapping[str, int] = _NOWHERE,
        row: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        self._view, self._id, self._load, self._places, self._row = view, id_, load, places, row
        self._record: Record | None = None
        self._shown: dict[str, Any] | None = None

    @classmethod
    def few(
        cls, view: View, names: Iterable[str], rows: Iterable[Sequence[Any]], load: Callable[[str], Record]
    ) -> list[Self]:
        """Of what ``Transaction.values`` has told of what ``asked`` says: the id, whether it was spelled otherwise, attributes."""
        places = {name: place for place, name in enumerate(names, start=2)}
        return [cls(view, row[0], load, _NOWHERE if row[1] else places, row) for row in rows]

    @classmethod
    def of(cls, view: View, record: Record) -> LazyView:
        """Of a record that has been read."""
        return cls(view, key(record), lambda _: record)

    @property
    def record(self) -> Record:
        """Its record, read once."""
        if self._record is None:
            self._record = self._load(self._id)
        return self._record

    def __getitem__(self, name: str) -> Any:
        if name == "id" and self._shown is None:
            return self._id
        if self._shown is None and (place := self._places.get(name)) is not None:
            value = self._row[place]
            if value is not None or name in _COLUMNS:  # else a spec of older code has it not: that is read
                return value
        if self._shown is None and name in _NAMES[self.record.kind]:
            if (read := _OF_RECORD.get(name)) is not None:
                return read(self._view, self.record)
            spec = self.record.spec
            if name in _AS_GIVEN and name in spec and name not in (spec.get(SPELLED) or ()):
                return spec[name]
        return self.whole()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())

    def whole(self) -> dict[str, Any]:
        """The object with all that it is shown with."""
        if self._shown is None:
            self._shown = self._view.show(self.record)
        return self._shown


def asked(kind: str, names: Iterable[str]) -> dict[str, type]:
    """What a store is to be asked for: whether anything was spelled otherwise, then these ``plain`` attributes."""
    return {SPELLED: str, **{name: plain(kind)[name] for name in names}}
