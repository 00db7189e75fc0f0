# SPDX-License-Identifier: Apache-2.0
"""Pulumi's protocol stubs, without the cost of Pulumi's SDK.

``import pulumi`` runs the whole SDK (0.2 s here on a warm cache, four times that on a cold one) and the stubs under ``pulumi.runtime.proto`` need none of it. So
the packages above them are stood in for by empty ones while a stub loads, and taken away again: whoever imports
``pulumi`` later in the same process gets the real one, with the same stubs. Nothing else may import the stubs.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

_PROTO = "pulumi.runtime.proto"
_lock = threading.RLock()

MAX_MESSAGE = 1024 * 1024 * 400
"""Bytes; the limit that Pulumi's SDKs and engine use for one gRPC message."""

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
]


def stub(name: str) -> Any:
    """The module ``pulumi.runtime.proto.<name>``, for example ``provider_pb2_grpc``."""
    with _lock:
        loaded = sys.modules.get(f"{_PROTO}.{name}")
        if loaded is not None:
            return loaded
        with _light_parents():
            return importlib.import_module(f"{_PROTO}.{name}")


@contextmanager
def _light_parents() -> Iterator[None]:
    if "pulumi" in sys.modules:  # the real SDK is there: nothing to spare
        yield
        return
    spec = importlib.util.find_spec("pulumi")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package 'pulumi' is not installed. Try: pip install pulumi", name="pulumi")
    root = Path(next(iter(spec.submodule_search_locations)))
    stand_ins = {"pulumi": _package("pulumi", root), "pulumi.runtime": _package("pulumi.runtime", root / "runtime")}
    if _PROTO not in sys.modules:
        # the package's own __init__ imports every stub there is; its modules are all we want of it
        stand_ins[_PROTO] = _package(_PROTO, root / "runtime" / "proto")
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _package(name: str, path: Path) -> ModuleType:
    package = ModuleType(name)
    package.__path__ = [str(path)]
    return package
