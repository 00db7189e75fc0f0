# SPDX-License-Identifier: Apache-2.0
"""The control plane in Keystone's catalogue, where clients find it, and the roles that Octavia's users have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from octavia_provider.model.errors import Refused, Unreachable

from .library import needed
from .rules import ROLES
from .tokens import SERVICE_TYPE

INTERFACES = ("public", "internal", "admin")
SERVICE_NAME = "octavia"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the catalogue is to say. ``urls``: of each interface; ``roles``: those to be made where they are missing."""

    urls: dict[str, str]
    region: str | None
    roles: tuple[str, ...] = ROLES


def connect(cloud: str | None) -> Any:
    """Keystone, as somebody who may change the catalogue. ``Refused`` where that is not known."""
    with needed():
        import openstack
    try:
        return openstack.connect(cloud=cloud)
    except Exception as error:  # noqa: BLE001 - openstacksdk's words say what is missing
        subject = f"cloud {cloud}" if cloud else "OS_CLOUD"
        raise Refused(str(error), subject=subject, hint="clouds.yaml, OS_CLIENT_CONFIG_FILE, or OS_AUTH_URL") from None


def register(connection: Any, wanted: Registration) -> list[str]:
    """Make what is missing and change what differs; answers what was done, nothing where all is as it should be."""
    with _words():
        return list(_register(connection.identity, wanted))


def unregister(connection: Any, region: str | None) -> list[str]:
    """Take the endpoints of a region away, and the service where no other region has any. Roles stay: users may have them."""
    with _words():
        return list(_unregister(connection.identity, region))


def _register(identity: Any, wanted: Registration) -> Iterator[str]:
    service = _service(identity)
    if service is None:
        service = identity.create_service(
            type=SERVICE_TYPE, name=SERVICE_NAME, description="Load balancing: Octavia as code"
        )
        yield f"made service {SERVICE_NAME} ({SERVICE_TYPE})"
    there = {one.interface: one for one in identity.endpoints(service_id=service.id) if one.region_id == wanted.region}
    for interface, url in wanted.urls.items():
        endpoint = there.get(interface)
        if endpoint is None:
            identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=wanted.region)
            yield f"made the {interface} endpoint {url}"
        elif endpoint.url != url:
            former = endpoint.url
            identity.update_endpoint(endpoint.id, url=url)
            yield f"changed the {interface} endpoint from {former} to {url}"
    known = {role.name for role in identity.roles()}
    for name in wanted.roles:
        if name not in known:
            identity.create_role(name=name)
            yield f"made role {name}"


def _unregister(identity: Any, region: str | None) -> Iterator[str]:
    service = _service(identity)
    if service is None:
        return
    every = list(identity.endpoints(service_id=service.id))
    for endpoint in every:
        if region in (None, endpoint.region_id):
            identity.delete_endpoint(endpoint.id)
            yield f"took away the {endpoint.interface} endpoint {endpoint.url}"
    if all(region in (None, endpoint.region_id) for endpoint in every):
        identity.delete_service(service.id)
        yield f"took away service {SERVICE_NAME}"


def _service(identity: Any) -> Any:
    """The one of this type: a client takes any, so there must be one."""
    found = list(identity.services(type=SERVICE_TYPE))
    if len(found) > 1:
        names = ", ".join(f"{one.name} ({one.id})" for one in found)
        raise Refused(
            f"has several services of type {SERVICE_TYPE}: {names}", subject="Keystone's catalogue",
            hint="openstack service delete ID, of those that are not meant",
        )  # fmt: skip
    return found[0] if found else None


@contextmanager
def _words() -> Iterator[None]:
    """Keystone's errors in the project's tree, in its own words."""
    with needed():
        from keystoneauth1.exceptions import ClientException, ConnectFailure
        from openstack.exceptions import SDKException
    try:
        yield
    except ConnectFailure as error:
        raise Unreachable(str(error), subject="Keystone") from None
    except (ClientException, SDKException) as error:
        hint = "log on as somebody who may change the catalogue (role admin)"
        raise Refused(str(error), subject="Keystone", hint=hint) from None
