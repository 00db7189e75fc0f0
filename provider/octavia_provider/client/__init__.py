# SPDX-License-Identifier: Apache-2.0
"""What the plugin, the engine and octaviactl use to reach a control plane: a synchronous client of the v2 API.

collections   where each kind lives in the API
faults        what the API answers when it refuses → ``model.errors``
waiting       a deadline that can be cancelled
client        ``Client``: get, list, create, update, delete, and the waits
embedded      where the embedded control plane lives, and starting it
"""
