# SPDX-License-Identifier: Apache-2.0
"""How to log on to Keystone: from ``clouds.yaml`` and the environment, as all of OpenStack's programs read them."""

from __future__ import annotations

from typing import Any

from octavia_provider.model.errors import Refused

from .library import needed


def credentials(cloud: str | None) -> dict[str, Any]:
    """The options of keystonemiddleware that log on as the user of a cloud; None: the one that ``OS_CLOUD`` or ``OS_*`` say."""
    with needed():
        from openstack import config
    try:
        region = config.OpenStackConfig().get_one(cloud=cloud)
    except Exception as error:  # noqa: BLE001 - openstacksdk's words say what is missing
        subject = f"cloud {cloud}" if cloud else "OS_CLOUD"
        raise Refused(str(error), subject=subject, hint="clouds.yaml, OS_CLIENT_CONFIG_FILE, or OS_AUTH_URL") from None
    found = region.config
    verify, cert, key = (found.get(name) for name in ("verify", "cert", "key"))
    return {
        "auth_type": found.get("auth_type") or "password",
        **found["auth"],
        "www_authenticate_uri": found["auth"].get("auth_url"),
        "region_name": found.get("region_name") or None,
        "interface": found.get("interface") or None,
        "cafile": found.get("cacert"),
        "insecure": verify is False,
        "certfile": cert,
        "keyfile": key,
    }
