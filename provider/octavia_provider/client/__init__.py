# SPDX-License-Identifier: Apache-2.0
"""What the plugin, the engine and octaviactl use to reach a control plane: a synchronous client of the v2 API.

collections   URLs and body keys of each kind
errors        HTTP error responses → ``model.errors``
deadline      a deadline that can be cancelled
client        ``Client``: get, list, create, update, delete, and the waits
events        what control planes decided: the latest, and what comes
embedded      find and start the embedded control plane
"""
