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
from .hooks import Call, Difference, Found, Hooks, Properties
from .inputs import Failure, Naming


class LoadBalancer(Hooks):
    """``octavia:index:LoadBalancer``."""

    word = "load_balancer"
    stable = Hooks.stable | {"published_address"}

    def wanted(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:
        """One of the VIP forms has to be given."""
        from octavia_provider.model.load_balancer import VIP_FORMS

        forms = {"vipPortId", "vipNetworkId", "vipSubnetId"}
        if forms.intersection(old_inputs):
            return ()
        return [next((form for form in ("vip_network_id", *VIP_FORMS) if obj.get(form)), "vip_network_id")]

    def follows(self, changed: set[str]) -> set[str]:
        """Additional VIPs keep what was chosen for them."""
        return set() if "additional_vips" in changed else {"additional_vips"}

    def exclusive(self, canonical: Properties) -> str | None:
        """A VIP address that is asked for by name."""
        address = canonical["vip_address"]
        place = canonical["vip_network_id"] or canonical["vip_subnet_id"]
        return f"{place}/{address}" if isinstance(address, str) and isinstance(place, str) else None


class Listener(Hooks):
    """``octavia:index:Listener``."""

    word = "listener"

    def follows(self, changed: set[str]) -> set[str]:
        """The URL is made of the protocol and the port."""
        return set() if changed & {"protocol", "protocol_port"} else {"url"}

    def as_given(self, call: Call, obj: Properties, old_inputs: Properties) -> Properties:
        """A default pool that is there only because a pool names this listener is the pool's input, not ours."""
        pool_id = obj.get("default_pool_id")
        if not pool_id or "defaultPoolId" in old_inputs:
            return obj
        try:
            pool = call.client.get("pool", pool_id, deadline=call.deadline).object
        except NotFound:
            return obj
        return {**obj, "default_pool_id": None} if pool.get("listener_id") == obj["id"] else obj

    def wanted(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:  # noqa: ARG002
        """Otherwise it is an input."""
        return ["default_pool_id"]


class Pool(Hooks):
    """``octavia:index:Pool``."""

    word = "pool"

    def wanted(self, obj: Properties, old_inputs: Properties) -> Sequence[str]:
        """The load balancer has to be given where no listener is."""
        named = obj.get("listener_id") or "listenerId" in old_inputs
        return [] if named else ["loadbalancer_id"]


class Nested(Hooks):
    """A kind whose collection lies under its parent: its id alone does not find it, so it is imported by both."""

    def identify(self, id: str, olds: Properties) -> tuple[str, str | None]:  # noqa: A002
        """From the outputs, or from ``<parent id>/<id>``."""
        parent, slash, own = id.rpartition("/")
        parent = parent if slash else self._parent(olds) or ""
        if not parent or not own:
            label = self.kind.LABEL
            form = f"<{kinds.KINDS[kinds.PARENTS[self.word][0]].LABEL} id>/<{label} id>"
            message = f"a {label} is imported by {form}, and {quoted(id)} is not of that form"
            raise Invalid([Violation((), message)], subject=label)
        return own, parent

    @property
    def _names_parent(self) -> str:
        return kinds.PARENTS[self.word][1]

    def _parent(self, properties: Properties) -> str | None:
        parent = values.plain(properties.get(camel(self._names_parent)))
        return parent if isinstance(parent, str) else None

    def _shown(self, answer: Any, given: Properties, parent: str | None) -> dict[str, Any]:
        # the path says the parent; a stock Octavia does not repeat it in the body
        answer.object.setdefault(self._names_parent, parent)
        return super()._shown(answer, given, parent)

    def _given(self, news: Properties) -> dict[str, Any]:
        return {name: value for name, value in super()._given(news).items() if name != self._names_parent}


class Member(Nested):
    """``octavia:index:Member``."""

    word = "member"


class HealthMonitor(Hooks):
    """``octavia:index:HealthMonitor``."""

    word = "health_monitor"


class L7Policy(Hooks):
    """``octavia:index:L7Policy``."""

    word = "l7_policy"

    def as_given(self, call: Call, obj: Properties, old_inputs: Properties) -> Properties:  # noqa: ARG002
        """The position that the program asked for, not the one that follows from how many others there are."""
        return {**obj, "position": obj.get("asked_position") or obj.get("position")}


class L7Rule(Nested):
    """``octavia:index:L7Rule``."""

    word = "l7_rule"


KEY = frozenset({"private_key", "passphrase"})
KEY_INPUTS = frozenset(camel(name) for name in KEY)
KEY_OF_ANOTHER = "is required: the certificate is another one, and this container was imported without its key, which the API never shows"


class TlsContainer(Hooks):
    """``octavia:index:TlsContainer``.

    The API never shows a private key, so a container that was imported has none among its inputs. It keeps the one it has
    until its certificate changes; and a key that is given later belongs to the same certificate, so it is the same key.
    """

    word = "tls_container"

    def warnings(self, news: Properties, now: datetime) -> Sequence[str]:
        """What is over, or not valid yet."""
        canonical = validate(self.kind, self._raw(news)).values
        return [warned.message for warned in validity.warnings(canonical, now) if not warned.valid]

    def check(self, news: Properties, olds: Properties, naming: Naming) -> tuple[dict[str, Any], list[Failure]]:
        """The key may be left out where it was never known, as long as the certificate stays."""
        checked, failures = super().check(news, olds, naming)
        if not self._keyless(news):
            return checked, failures
        others = [failure for failure in failures if failure.path != "privateKey"]
        if self._keyless(olds):
            if self._raw(olds)["certificate"] == self._raw(news)["certificate"]:
                return checked, others
            return checked, [*others, Failure("privateKey", KEY_OF_ANOTHER)]
        return checked, failures

    def diff(
        self, old_inputs: Properties, olds: Properties, news: Properties, ignore: Sequence[str] = ()
    ) -> Difference:
        """A key that comes to the certificate that is there already changes nothing."""
        found = super().diff(old_inputs, olds, news, ignore)
        changed = {change.attribute.name for change in found.changes}
        if not self._keyless(old_inputs) or "certificate" in changed or not changed & KEY:
            return found
        return super().diff(old_inputs, olds, {n: v for n, v in news.items() if n not in KEY_INPUTS}, ignore)

    def _keyless(self, properties: Properties) -> bool:
        raw = self._raw(properties)
        return raw.get("certificate") is not None and raw.get("private_key") is None


class FlavorProfile(Hooks):
    """``octavia:index:FlavorProfile``."""

    word = "flavor_profile"


class Flavor(Hooks):
    """``octavia:index:Flavor``."""

    word = "flavor"


class AvailabilityZoneProfile(Hooks):
    """``octavia:index:AvailabilityZoneProfile``."""

    word = "availability_zone_profile"


class AvailabilityZone(Hooks):
    """``octavia:index:AvailabilityZone``; its name is its id."""

    word = "availability_zone"


class Quota(Hooks):
    """``octavia:index:Quota``; its project is its id. There always is one, so creating and updating are the same."""

    word = "quota"

    def create(self, call: Call, news: Properties) -> tuple[str, dict[str, Any]]:
        """Set the limits of the project, which is the control plane's own where none is named."""
        given = self._given(news)
        project = given.pop("project_id", None) or call.client.control_plane(deadline=call.deadline)["project_id"]
        answer = call.client.update(self.word, str(project), given, deadline=call.deadline, subject=self._subject(call))
        return answer.id, self._settled(call, answer, news)

    def read(self, call: Call, id: str, olds: Properties, old_inputs: Properties) -> Found | None:  # noqa: A002
        """Limits that nobody has set are no quota: they are shown without the time of their making."""
        found = super().read(call, id, olds, old_inputs)
        ours = found is not None and found.properties.get("controlPlaneId")
        return None if found is None or (ours and "createdAt" not in found.properties) else found


class LocalNetwork(Hooks):
    """``octavia:local:Network``."""

    word = "local_network"
    stable = Hooks.stable | {"subnet_id", "ipv6_subnet_id"}


class LocalHost(Hooks):
    """``octavia:local:Host``."""

    word = "local_host"

    def exclusive(self, canonical: Properties) -> str | None:
        """An address that is asked for by name."""
        address, network = canonical["address"], canonical["network_id"]
        return f"{network}/{address}" if isinstance(address, str) and isinstance(network, str) else None


ALL: tuple[Hooks, ...] = (
    LoadBalancer(), Listener(), Pool(), Member(), HealthMonitor(), L7Policy(), L7Rule(), TlsContainer(), FlavorProfile(),
    Flavor(), AvailabilityZoneProfile(), AvailabilityZone(), Quota(), LocalNetwork(), LocalHost(),
)  # fmt: skip
HOOKS: Mapping[str, Hooks] = {hooks.type_name: hooks for hooks in ALL}
TOKENS: Mapping[str, str] = {hooks.word: hooks.type_name for hooks in ALL}
