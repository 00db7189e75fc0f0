# SPDX-License-Identifier: Apache-2.0
"""Each resource: a declaration, and what is different about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from octavia_provider.model import kinds, validity
from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import Invalid, NotFound, Violation
from octavia_provider.model.naming import camel
from octavia_provider.model.validation import validate

from . import values
from .handler import CallContext, DiffResult, Properties, ReadResult, ResourceHandler
from .inputs import Failure, Naming


class LoadBalancer(ResourceHandler):
    """``octavia:index:LoadBalancer``."""

    kind_name = "load_balancer"
    stable = ResourceHandler.stable | {"published_address"}

    def computed_inputs(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:
        """One of the VIP forms has to be given."""
        from octavia_provider.model.load_balancer import VIP_FORMS

        forms = {"vipPortId", "vipNetworkId", "vipSubnetId"}
        if forms.intersection(old_inputs):
            return ()
        return [next((form for form in ("vip_network_id", *VIP_FORMS) if obj.get(form)), "vip_network_id")]

    def unaffected_outputs(self, changed: set[str]) -> set[str]:
        """Additional VIPs keep what was chosen for them."""
        return set() if "additional_vips" in changed else {"additional_vips"}

    def exclusive_key(self, canonical: Properties) -> str | None:
        """A VIP address that is asked for by name."""
        address = canonical["vip_address"]
        network = canonical["vip_network_id"] or canonical["vip_subnet_id"]
        return f"{network}/{address}" if isinstance(address, str) and isinstance(network, str) else None


class Listener(ResourceHandler):
    """``octavia:index:Listener``."""

    kind_name = "listener"

    def unaffected_outputs(self, changed: set[str]) -> set[str]:
        """The URL is made of the protocol and the port."""
        return set() if changed & {"protocol", "protocol_port"} else {"url"}

    def without_derived_values(self, call: CallContext, obj: Properties, old_inputs: Properties) -> Properties:
        """A default pool that is there only because a pool names this listener is the pool's input, not ours."""
        pool_id = obj.get("default_pool_id")
        if not pool_id or "defaultPoolId" in old_inputs:
            return obj
        try:
            pool = call.client.get("pool", pool_id, deadline=call.deadline).object
        except NotFound:
            return obj
        return {**obj, "default_pool_id": None} if pool.get("listener_id") == obj["id"] else obj

    def computed_inputs(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:  # noqa: ARG002
        """Otherwise it is an input."""
        return ["default_pool_id"]


class Pool(ResourceHandler):
    """``octavia:index:Pool``."""

    kind_name = "pool"

    def computed_inputs(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:
        """The load balancer has to be given where no listener is."""
        has_listener = obj.get("listener_id") or "listenerId" in old_inputs
        return [] if has_listener else ["loadbalancer_id"]


class Nested(ResourceHandler):
    """A kind whose collection lies under its parent: its id alone does not find it, so it is imported by both."""

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
        # the path says the parent; a stock Octavia does not repeat it in the body
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
        """The position that the program asked for, not the one that follows from how many others there are."""
        return {**obj, "position": obj.get("asked_position") or obj.get("position")}


class L7Rule(Nested):
    """``octavia:index:L7Rule``."""

    kind_name = "l7_rule"


KEY = frozenset({"private_key", "passphrase"})
KEY_INPUTS = frozenset(camel(name) for name in KEY)
KEY_REQUIRED = "is required: the certificate is another one, and this container was imported without its key, which the API never shows"


class TlsContainer(ResourceHandler):
    """``octavia:index:TlsContainer``.

    The API never shows a private key, so a container that was imported has none among its inputs. It keeps the one it has
    until its certificate changes; and a key that is given later belongs to the same certificate, so it is the same key.
    """

    kind_name = "tls_container"

    def warnings(self, news: Properties, now: datetime) -> Sequence[str]:
        """What is over, or not valid yet."""
        canonical = validate(self.kind, self._to_model(news)).values
        return [warned.message for warned in validity.warnings(canonical, now) if not warned.valid]

    def check(self, news: Properties, olds: Properties, naming: Naming) -> tuple[dict[str, Any], list[Failure]]:
        """The key may be left out where it was never known, as long as the certificate stays."""
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
        self, old_inputs: Properties, olds: Properties, news: Properties, ignore: Sequence[str] = ()
    ) -> DiffResult:
        """A key that comes to the certificate that is there already changes nothing."""
        found = super().diff(old_inputs, olds, news, ignore)
        changed = {change.attribute.name for change in found.changes}
        if not self._has_no_key(old_inputs) or "certificate" in changed or not changed & KEY:
            return found
        return super().diff(old_inputs, olds, {n: v for n, v in news.items() if n not in KEY_INPUTS}, ignore)

    def _has_no_key(self, properties: Properties) -> bool:
        raw = self._to_model(properties)
        return raw.get("certificate") is not None and raw.get("private_key") is None


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
    """``octavia:index:Quota``; its project is its id. There always is one, so creating and updating are the same."""

    kind_name = "quota"

    def create(self, call: CallContext, news: Properties) -> tuple[str, dict[str, Any]]:
        """Set the limits of the project, which is the control plane's own where none is named."""
        limits = self._create_body(news)
        project = limits.pop("project_id", None) or call.client.control_plane(deadline=call.deadline)["project_id"]
        answer = call.client.update(
            self.kind_name, str(project), limits, deadline=call.deadline, subject=self._subject(call)
        )
        return answer.id, self._wait_until_settled(call, answer, news)

    def read(self, call: CallContext, id: str, olds: Properties, old_inputs: Properties) -> ReadResult | None:  # noqa: A002
        """Limits that nobody has set are no quota: they are shown without the time of their making."""
        found = super().read(call, id, olds, old_inputs)
        from_this_product = found is not None and found.properties.get("controlPlaneId")
        return None if found is None or (from_this_product and "createdAt" not in found.properties) else found


class LocalNetwork(ResourceHandler):
    """``octavia:local:Network``."""

    kind_name = "local_network"
    stable = ResourceHandler.stable | {"subnet_id", "ipv6_subnet_id"}


class LocalHost(ResourceHandler):
    """``octavia:local:Host``."""

    kind_name = "local_host"

    def exclusive_key(self, canonical: Properties) -> str | None:
        """An address that is asked for by name."""
        address, network = canonical["address"], canonical["network_id"]
        return f"{network}/{address}" if isinstance(address, str) and isinstance(network, str) else None


HANDLERS: tuple[ResourceHandler, ...] = (
    LoadBalancer(), Listener(), Pool(), Member(), HealthMonitor(), L7Policy(), L7Rule(), TlsContainer(), FlavorProfile(),
    Flavor(), AvailabilityZoneProfile(), AvailabilityZone(), Quota(), LocalNetwork(), LocalHost(),
)  # fmt: skip
HANDLERS_BY_TYPE: Mapping[str, ResourceHandler] = {handler.type_name: handler for handler in HANDLERS}
TOKENS: Mapping[str, str] = {handler.kind_name: handler.type_name for handler in HANDLERS}
