# SPDX-License-Identifier: Apache-2.0
"""What a server is given on its config drive: the files of its agent, and what its management interface is like. cloud-init's format."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import msgspec
from cryptography import x509

from octavia_amphora.wire.interfaces import Interface
from octavia_provider.model.errors import Refused

HEADER = "#cloud-config\n"
INTERFACES = "/etc/octavia-amphora/interfaces.json"
CERTIFICATE_ENDS = "octavia_certificate_ends"
"""Metadata of a server: when the certificate on its config drive ends, in the form of ISO 8601."""
MOST = 65535
"""Bytes of user_data that Nova takes, in base64."""


def encode(files: Mapping[str, tuple[int, bytes]], subject: str) -> str:
    """The user_data that writes these files; JSON is YAML, and needs no library to be read."""
    written = [
        {
            "path": path, "permissions": f"{mode:04o}", "owner": "root:root", "encoding": "b64",
            "content": base64.b64encode(content).decode(),
        }
        for path, (mode, content) in files.items()
    ]  # fmt: skip
    found = base64.b64encode((HEADER + json.dumps({"write_files": written})).encode()).decode()
    if len(found) > MOST:
        raise Refused(
            f"its files are {len(found)} bytes, and Nova takes {MOST}", subject=subject, hint="fewer authorities"
        )
    return found


def certificate_ends(files: Mapping[str, tuple[int, bytes]]) -> dict[str, str]:
    """Metadata of a server: when the certificate of its agent ends, which is in one file with its key; nothing where there is none."""
    for _, content in files.values():
        if b"PRIVATE KEY-----" in content and b"-----BEGIN CERTIFICATE-----" in content:
            return {CERTIFICATE_ENDS: x509.load_pem_x509_certificate(content).not_valid_after_utc.isoformat()}
    return {}


def decode(user_data: str) -> dict[str, tuple[int, bytes]]:
    """The files in it."""
    document = json.loads(base64.b64decode(user_data).decode().removeprefix(HEADER))
    return {
        one["path"]: (int(one["permissions"], 8), base64.b64decode(one["content"])) for one in document["write_files"]
    }


def described(interfaces: Sequence[Interface]) -> bytes:
    """The description of interfaces that an agent, and whoever brings up that of the management network before it, reads at its start."""
    return msgspec.json.format(msgspec.json.encode(interfaces), indent=1)
