# SPDX-License-Identifier: Apache-2.0
"""Each resource: a declaration, and its exceptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from octavia_provider.model import kinds, validity
from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import Invalid, NotFound, Violation
from octavia_provider.model.naming import camel
from octavia_provider.model.validation import validate

from . import values
from .diffs import Sides
from .handler import CallContext, DiffResult, Properties, ReadResult, ResourceHandler
from .inputs import Failure, Naming


class LoadBalancer(ResourceHandler):
    """``octavia:index:LoadBalancer``."""

    kind_name = "load_balancer"
    stable = ResourceHandler.stable | {"published_address"}

    def computed_inputs(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:
        """One of the VIP inputs is required."""
        from octavia_provider.model.load_balancer import VIP_FORMS

        forms = {"vipPortId", "vipNetworkId", "vipSubnetId"}
        if forms.intersection(old_inputs):
            return ()
        return [next((form for form in ("vip_network_id", *VIP_FORMS) if obj.get(form)), "vip_network_id")]

    def unaffected_outputs(self, changed: set[str]) -> set[str]:
        """Additional VIPs keep the values the control plane chose."""
        return set() if "additional_vips" in changed else {"additional_vips"}

    def exclusive_key(self, canonical: Properties) -> str | None:
        """A VIP address that the program sets."""
        address = canonical["vip_address"]
        network = canonical["vip_network_id"] or canonical["vip_subnet_id"]
        return f"{network}/{address}" if isinstance(address, str) and isinstance(network, str) else None


class Listener(ResourceHandler):
    """``octavia:index:Listener``."""

    kind_name = "listener"

    def unaffected_outputs(self, changed: set[str]) -> set[str]:
        """The URL depends on the protocol and the port."""
        return set() if changed & {"protocol", "protocol_port"} else {"url"}

    def without_derived_values(self, call: CallContext, obj: Properties, old_inputs: Properties) -> Properties:
        """A default pool that was set by the pool's ``listener_id`` is an input of the pool, not of the listener."""
        pool_id = obj.get("default_pool_id")
        if not pool_id or "defaultPoolId" in old_inputs:
            return obj
        try:
            pool = call.client.get("pool", pool_id, deadline=call.deadline).object
        except NotFound:
            return obj
        return {**obj, "default_pool_id": None} if pool.get("listener_id") == obj["id"] else obj

    def computed_inputs(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:  # noqa: ARG002
        """Any other default pool is an input."""
        return ["default_pool_id"]


class Pool(ResourceHandler):
    """``octavia:index:Pool``."""

    kind_name = "pool"

    def _must_delete_first(self, sides: Sides, fixed: Collection[str]) -> bool:
        """A stock Octavia gives a listener no second pool of its own."""
        same_listener = sides.before.get("listener_id") and sides.before["listener_id"] == sides.after.get(
            "listener_id"
        )
        return bool(fixed and same_listener) or super()._must_delete_first(sides, fixed)

    def computed_inputs(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:
        """The load balancer is required when no listener is set."""
        has_listener = obj.get("listener_id") or "listenerId" in old_inputs
        return [] if has_listener else ["loadbalancer_id"]


class Nested(ResourceHandler):
    """A kind whose URL is nested under its parent's, so importing it takes both ids."""

    def parse_id(self, id: str, olds: Properties) -> tuple[str, str | None]:  # noqa: A002
        """From the outputs, or from ``<parent id>/<id>``."""
        parent, slash, own = id.rpartition("/")
        parent = parent if slash else self._parent(olds) or ""
        if not parent or not own:
            label = self.kind.LABEL
            form = f"<{kinds.KINDS[kinds.PARENTS[self.kind_name][0]].LABEL} id>/<{label} id>"
            message = f"a {label} is imported by {form}, and {quoted(id)} is not of that form"
            raise Invalid([Violation((), message)], subject=label)
        return own, parent

    @property
    def _parent_attribute(self) -> str:
        return kinds.PARENTS[self.kind_name][1]

    def _parent(self, properties: Properties) -> str | None:
        parent = values.plain(properties.get(camel(self._parent_attribute)))
        return parent if isinstance(parent, str) else None

    def _outputs(self, answer: Any, given: Properties, parent: str | None) -> dict[str, Any]:
        # the parent is in the URL; upstream Octavia does not repeat it in the body
        answer.object.setdefault(self._parent_attribute, parent)
        return super()._outputs(answer, given, parent)

    def _create_body(self, news: Properties) -> dict[str, Any]:
        return {name: value for name, value in super()._create_body(news).items() if name != self._parent_attribute}


class Member(Nested):
    """``octavia:index:Member``."""

    kind_name = "member"


class HealthMonitor(ResourceHandler):
    """``octavia:index:HealthMonitor``."""

    kind_name = "health_monitor"


class L7Policy(ResourceHandler):
    """``octavia:index:L7Policy``."""

    kind_name = "l7_policy"

    def without_derived_values(self, call: CallContext, obj: Properties, old_inputs: Properties) -> Properties:  # noqa: ARG002
        """The requested position, not the effective one, which depends on the number of other policies."""
        return {**obj, "position": call.client.position_as_asked(obj, deadline=call.deadline)}


class L7Rule(Nested):
    """``octavia:index:L7Rule``."""

    kind_name = "l7_rule"


KEY = frozenset({"private_key", "passphrase"})
KEY_INPUTS = frozenset(camel(name) for name in KEY)
KEY_REQUIRED = "is required: the certificate is another one, and this container was imported without its key, which the API never shows"


class TlsContainer(ResourceHandler):
    """``octavia:index:TlsContainer``.

    The API never returns a private key, so an imported container has none among its inputs. It keeps its stored key until
    the certificate changes; a key that is added later for the same certificate is the same key.
    """

    kind_name = "tls_container"

    def warnings(self, news: Properties, now: datetime) -> Sequence[str]:
        """Certificates that have expired or are not valid yet."""
        canonical = validate(self.kind, self._to_model(news)).values
        return [warned.message for warned in validity.warnings(canonical, now) if not warned.valid]

    def check(self, news: Properties, olds: Properties, naming: Naming) -> tuple[dict[str, Any], list[Failure]]:
        """An imported container may leave out the key while its certificate does not change."""
        checked, failures = super().check(news, olds, naming)
        if not self._has_no_key(news):
            return checked, failures
        others = [failure for failure in failures if failure.path != "privateKey"]
        if self._has_no_key(olds):
            if self._to_model(olds)["certificate"] == self._to_model(news)["certificate"]:
                return checked, others
            return checked, [*others, Failure("privateKey", KEY_REQUIRED)]
        return checked, failures

    def diff(
        self, old_inputs: Properties, olds: Properties, news: Properties, ignore: Sequence[str] = (),
        fixed: Collection[str] = (),
    ) -> DiffResult:  # fmt: skip
        """Adding the key for an unchanged certificate is no change."""
        found = super().diff(old_inputs, olds, news, ignore, fixed)
        changed = {change.attribute.name for change in found.changes}
        if not self._has_no_key(old_inputs) or "certificate" in changed or not changed & KEY:
            return found
        return super().diff(old_inputs, olds, {n: v for n, v in news.items() if n not in KEY_INPUTS}, ignore, fixed)

    def _has_no_key(self, properties: Properties) -> bool:
        raw = self._to_model(properties)
        return raw.get("certificate") is not None and raw.get("private_key") is None


class AmphoraGroup(ResourceHandler):
    """``octavia:index:AmphoraGroup``."""

    kind_name = "amphora_group"


class FlavorProfile(ResourceHandler):
    """``octavia:index:FlavorProfile``."""

    kind_name = "flavor_profile"


class Flavor(ResourceHandler):
    """``octavia:index:Flavor``."""

    kind_name = "flavor"


class AvailabilityZoneProfile(ResourceHandler):
    """``octavia:index:AvailabilityZoneProfile``."""

    kind_name = "availability_zone_profile"


class AvailabilityZone(ResourceHandler):
    """``octavia:index:AvailabilityZone``; its name is its id."""

    kind_name = "availability_zone"


class Quota(ResourceHandler):
    """``octavia:index:Quota``; its id is the project. Every project has one, so create is an update."""

    kind_name = "quota"

    def create(self, call: CallContext, news: Properties) -> tuple[str, dict[str, Any]]:
        """Set the limits of the project; the default is the control plane's own project."""
        limits = self._create_body(news)
        project = limits.pop("project_id", None) or call.client.control_plane(deadline=call.deadline)["project_id"]
        answer = call.client.update(
            self.kind_name, str(project), limits, deadline=call.deadline, subject=self._subject(call)
        )
        return answer.id, self._wait_until_settled(call, answer, news)

    def read(self, call: CallContext, id: str, olds: Properties, old_inputs: Properties) -> ReadResult | None:  # noqa: A002
        """Default limits do not count as a quota: the API returns them without a creation time."""
        found = super().read(call, id, olds, old_inputs)
        if found is None or not call.client.dates_quotas:
            return found
        return found if "createdAt" in found.properties else None


class LocalNetwork(ResourceHandler):
    """``octavia:local:Network``."""

    kind_name = "local_network"
    stable = ResourceHandler.stable | {"subnet_id", "ipv6_subnet_id"}


class LocalHost(ResourceHandler):
    """``octavia:local:Host``."""

    kind_name = "local_host"

    def exclusive_key(self, canonical: Properties) -> str | None:
        """An address that the program sets."""
        address, network = canonical["address"], canonical["network_id"]
        return f"{network}/{address}" if isinstance(address, str) and isinstance(network, str) else None


HANDLERS: tuple[ResourceHandler, ...] = (
    LoadBalancer(), Listener(), Pool(), Member(), HealthMonitor(), L7Policy(), L7Rule(), TlsContainer(), AmphoraGroup(),
    FlavorProfile(), Flavor(), AvailabilityZoneProfile(), AvailabilityZone(), Quota(), LocalNetwork(), LocalHost(),
)  # fmt: skip
HANDLERS_BY_TYPE: Mapping[str, ResourceHandler] = {handler.type_name: handler for handler in HANDLERS}
TOKENS: Mapping[str, str] = {handler.kind_name: handler.type_name for handler in HANDLERS}
