# SPDX-License-Identifier: Apache-2.0
"""What a server of Nova is told by its config drive, done before the agent starts: ``python -m octavia_amphora.config_drive``.

Its own files (``user_data``), its host name, and the addresses of the interface that the control plane reaches it on. The other
interfaces are the agent's. Only the standard library is imported: it runs in the middle of a boot.
"""
