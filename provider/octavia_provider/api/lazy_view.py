# SPDX-License-Identifier: Apache-2.0
"""An object of a list: its id costs nothing, what its record says as it is costs reading that, anything else rendering it.

A list is filtered, sorted and cut into pages by a few plain attributes, mostly; so only the page is rendered, and only
the page is read where nothing is filtered or sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from octavia_provider.model.kinds import KINDS
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
_NAMES = {kind: frozenset(shown_names(kind)) for kind in KINDS}


class LazyView(Mapping[str, Any]):
    """What ``view.show`` answers of an object: of its record, or of its id alone (``load`` reads the record then)."""

    __slots__ = ("_id", "_load", "_record", "_shown", "_view")

    def __init__(self, view: View, id_: str, load: Callable[[str], Record]) -> None:
        self._view, self._id, self._load = view, id_, load
        self._record: Record | None = None
        self._shown: dict[str, Any] | None = None

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
