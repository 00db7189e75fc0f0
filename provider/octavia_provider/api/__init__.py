# SPDX-License-Identifier: Apache-2.0
"""Octavia's v2 API with our additions (docs/reference/api.md), on aiohttp.

A request is parsed and validated in the event loop; what it reads or writes is one transaction of the store.
"""

from __future__ import annotations

from .app import create_app
from .context import Callbacks, Settings, Users
from .serve import Server, TcpPort, serve_tcp, serve_unix

__all__ = ["Callbacks", "Server", "Settings", "TcpPort", "Users", "create_app", "serve_tcp", "serve_unix"]
