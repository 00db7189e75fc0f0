# SPDX-License-Identifier: Apache-2.0
"""What the engines of all databases share: how JSON is written and read, and how many read at a time."""

from __future__ import annotations

from typing import Any

import msgspec

READERS = 2


def _dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()


SERIALIZERS: dict[str, Any] = {"json_serializer": _dumps, "json_deserializer": msgspec.json.decode}
