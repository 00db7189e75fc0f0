# SPDX-License-Identifier: Apache-2.0
"""The options of the provider. A module of its own: who only reads them needs no pydantic."""

from typing import Annotated

from pydantic import AfterValidator, Field

from octavia_provider.kit import urls
from octavia_provider.model.base import Model
from octavia_provider.model.echo import quoted
from octavia_provider.model.metadata import Choice, OneOf, Secret

from .config import OCTAVIA

DRIVERS = (
    Choice("control_plane", "a control plane of this product"),
    Choice(OCTAVIA, "an Octavia that somebody else runs"),
)


def _url(value: str) -> str:
    named = urls.endpoints(value)
    for one in named or [value]:
        if not urls.is_endpoint(one):
            raise ValueError(f"{quoted(one)} is not a URL that begins with http:// or https://")
    return value


class ProviderConfig(Model):
    """The options. ``endpoint``, ``home`` and ``driver`` have environment variables too, ``OCTAVIA_`` and the name in capitals;
    what is of Keystone is in clouds.yaml and ``OS_*`` where it is not given (``client.keystone``)."""

    driver: Annotated[str | None, OneOf(DRIVERS)] = Field(
        None,
        description="What makes the resources: `control_plane`, a control plane of this product (the default), or `octavia`, an Octavia "
        "that somebody else runs.",
    )

    endpoint: Annotated[str, AfterValidator(_url)] | None = Field(
        None,
        description="URL of the control plane, such as `http://octavia.example.org:9876`, or of several that share their state, "
        "separated by commas: where one does not answer, the next is asked. When not given, the embedded control plane of this "
        "machine, which is started when it is needed.",
    )
    home: str | None = Field(
        None, description="Directory of the embedded control plane: its database, certificates, socket and log."
    )
    cloud: str | None = Field(
        None,
        description="The cloud in `clouds.yaml` to sign in to. Without `endpoint`, the control plane is the one in its catalogue.",
    )
    region: str | None = Field(None, description="The region of the cloud.")
    auth_url: str | None = Field(None, description="The URL of Keystone, to sign in without `clouds.yaml`.")
    user_name: str | None = Field(None, description="The user's name.")
    user_id: str | None = Field(None, description="The user's id.")
    password: Annotated[str | None, Secret()] = Field(None, description="The user's password.")
    token: Annotated[str | None, Secret()] = Field(None, description="A token, in place of a user and a password.")
    tenant_name: str | None = Field(None, description="The project's name.")
    tenant_id: str | None = Field(None, description="The project's id.")
    user_domain_name: str | None = Field(None, description="The name of the user's domain.")
    user_domain_id: str | None = Field(None, description="The id of the user's domain.")
    project_domain_name: str | None = Field(None, description="The name of the project's domain.")
    project_domain_id: str | None = Field(None, description="The id of the project's domain.")
    application_credential_id: str | None = Field(None, description="The id of an application credential.")
    application_credential_name: str | None = Field(
        None, description="The name of an application credential, with the user."
    )
    application_credential_secret: Annotated[str | None, Secret()] = Field(
        None, description="The secret of the application credential."
    )
    endpoint_type: str | None = Field(None, description="The interface in the catalogue: public, internal or admin.")
    cacert_file: str | None = Field(None, description="A file with the authorities that certificates are verified by.")
    cert: str | None = Field(None, description="A file with the client's certificate.")
    key: str | None = Field(None, description="A file with the key of the client's certificate.")
    insecure: bool | None = Field(None, description="Whether certificates are not verified.")
