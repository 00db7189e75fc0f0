# SPDX-License-Identifier: Apache-2.0
"""What was rendered last for each amphora, with its digest: a cycle asks for the same several times, and a load balancer
of a thousand members should be rendered once for each write, not once for each question. Where a write changes members
alone, they alone are rendered, and what they change is the delta to push."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msgspec import structs

from octavia_amphora.wire.config import Delta, digest
from octavia_amphora.wire.encoding import Encoding
from octavia_amphora.wire.interfaces import Interface
from octavia_amphora.wire.vrrp import Vrrp
from octavia_provider.model.graph import Graph
from octavia_provider.render.environment import Templates
from octavia_provider.render.haproxy import Placement, Rendered, followed, render


@dataclass(frozen=True, slots=True)
class Beside:
    """What a configuration has that is not haproxy's."""

    vrrp: Vrrp | None = None
    interfaces: tuple[Interface, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """``delta``: what leads to it from the one before; ``encoding``: kept from the first such step on."""

    graph: Graph
    placement: Placement
    beside: Beside
    templates: Templates
    rendered: Rendered
    digest: str
    delta: Delta | None = None
    encoding: Encoding | None = None

    def follow(self, graph: Graph) -> _Known | None:
        """The same for a graph made of this one's, where members alone are otherwise."""
        if graph.lineage is None or graph.lineage.identity is not self.graph.identity:
            return None
        found = followed(self.rendered, graph, self.placement, since=self.digest)
        if found is None:
            return None
        rendered, delta = found
        encoding = self.encoding or Encoding(self.rendered.configuration)
        encoding = encoding.after(delta, rendered.configuration)
        return _Known(graph, self.placement, self.beside, self.templates, rendered, encoding.digest, delta, encoding)


class RenderCache:
    """Of one load balancer. A graph is known by its identity: ``DesiredState.graph`` answers the same until something changes."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def of(self, graph: Graph, amphora_id: str, placement: Placement, beside: Beside, templates: Templates) -> Rendered:
        """The configuration of this amphora."""
        known = self._known.get(amphora_id)
        if known is None or known.templates is not templates or (known.placement, known.beside) != (placement, beside):
            known = None
        elif known.graph is not graph:
            known = known.follow(graph)
        if known is None:
            rendered = render(graph, placement, templates)
            if beside != Beside():
                whole = structs.replace(rendered.configuration, vrrp=beside.vrrp, interfaces=beside.interfaces)
                rendered = replace(rendered, configuration=whole)
            known = _Known(graph, placement, beside, templates, rendered, digest(rendered.configuration))
        self._known[amphora_id] = known
        return known.rendered

    def digest(self, rendered: Rendered) -> str:
        """The digest of a configuration, made once for what was rendered last."""
        known = self._of(rendered)
        return known.digest if known else digest(rendered.configuration)

    def delta(self, rendered: Rendered) -> Delta | None:
        """What leads to a configuration from the one that was rendered before it, where that is known."""
        known = self._of(rendered)
        return known.delta if known else None

    def _of(self, rendered: Rendered) -> _Known | None:
        return next((known for known in self._known.values() if known.rendered is rendered), None)

    def forget(self, amphora_id: str) -> None:
        """The amphora is gone."""
        self._known.pop(amphora_id, None)
