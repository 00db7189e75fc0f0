# SPDX-License-Identifier: Apache-2.0
"""The options of the provider. A module of its own: who only reads them needs no pydantic."""

from typing import Annotated

from pydantic import AfterValidator, Field

from octavia_provider.kit import urls
from octavia_provider.model.base import Model
from octavia_provider.model.echo import quoted


def _url(value: str) -> str:
    named = urls.endpoints(value)
    for one in named or [value]:
        if not urls.is_endpoint(one):
            raise ValueError(f"{quoted(one)} is not a URL that begins with http:// or https://")
    return value


class ProviderConfig(Model):
    """The options; each has an environment variable ``OCTAVIA_`` and its name in capitals."""

    endpoint: Annotated[str, AfterValidator(_url)] | None = Field(
        None,
        description="URL of the control plane, such as `http://octavia.example.org:9876`, or of several that share their state, "
        "separated by commas: where one does not answer, the next is asked. When not given, the embedded control plane of this "
        "machine, which is started when it is needed.",
    )
    home: str | None = Field(
        None, description="Directory of the embedded control plane: its database, certificates, socket and log."
    )
