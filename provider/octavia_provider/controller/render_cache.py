# SPDX-License-Identifier: Apache-2.0
"""What was rendered last for each amphora, with its digest: a cycle asks for the same several times, and a load balancer
of a thousand members should be rendered once for each write, not once for each question."""

from __future__ import annotations

from dataclasses import dataclass

from octavia_amphora.wire.config import digest
from octavia_provider.model.graph import Graph
from octavia_provider.ports import Instance
from octavia_provider.render.environment import Templates
from octavia_provider.render.haproxy import Placement, Rendered, render


@dataclass(frozen=True, slots=True)
class _Known:
    graph: Graph
    placement: Placement
    templates: Templates
    rendered: Rendered
    digest: str


class RenderCache:
    """Of one load balancer. A graph is known by its identity: ``DesiredState.graph`` answers the same until something changes."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def of(self, graph: Graph, instance: Instance, addresses: tuple[str, ...], templates: Templates) -> Rendered:
        """The configuration of this instance."""
        placement = Placement(vips=addresses, proxy_address=instance.proxy_address)
        known = self._known.get(instance.amphora_id)
        same = known is not None and known.graph is graph and known.templates is templates
        if known is None or not same or known.placement != placement:
            rendered = render(graph, placement, templates)
            known = _Known(graph, placement, templates, rendered, digest(rendered.configuration))
            self._known[instance.amphora_id] = known
        return known.rendered

    def digest(self, rendered: Rendered) -> str:
        """The digest of a configuration, made once for what was rendered last."""
        for known in self._known.values():
            if known.rendered is rendered:
                return known.digest
        return digest(rendered.configuration)

    def forget(self, amphora_id: str) -> None:
        """The amphora is gone."""
        self._known.pop(amphora_id, None)
