# SPDX-License-Identifier: Apache-2.0
"""Types of single values: texts in their canonical form (``formats``), and ports."""

from typing import Annotated

from pydantic import AfterValidator, Field

from . import formats, regex

Text = Annotated[str, AfterValidator(formats.text)]
Label = Annotated[str, Field(max_length=255), AfterValidator(formats.text)]
Id = Annotated[str, AfterValidator(formats.uuid_string)]
ContainerRef = Annotated[str, AfterValidator(formats.container_ref)]
ProjectId = Annotated[str, AfterValidator(formats.project_id)]
ZoneName = Annotated[str, AfterValidator(formats.zone_name)]
IpAddress = Annotated[str, AfterValidator(formats.ip_address)]
MemberAddress = Annotated[str, AfterValidator(formats.member_address)]
Cidr = Annotated[str, AfterValidator(formats.cidr)]
Netmask = Annotated[str, AfterValidator(formats.netmask)]
Port = Annotated[int, Field(ge=1, le=65535)]
HostName = Annotated[str, AfterValidator(formats.host_name)]
GrpcService = Annotated[str, AfterValidator(formats.grpc_service)]
CookieName = Annotated[str, AfterValidator(formats.cookie_name)]
UrlPath = Annotated[str, AfterValidator(formats.url_path)]
ExpectedCodes = Annotated[str, AfterValidator(formats.expected_codes)]
HttpUrl = Annotated[str, AfterValidator(formats.http_url)]
UrlPrefix = Annotated[str, AfterValidator(formats.url_prefix)]
ChangeableHeader = Annotated[str, AfterValidator(formats.changeable_header)]
RegularExpression = Annotated[str, AfterValidator(regex.regular_expression)]
UserName = Annotated[str, AfterValidator(formats.user_name)]
CommandArgument = Annotated[str, Field(max_length=131_072), AfterValidator(formats.command_argument)]
