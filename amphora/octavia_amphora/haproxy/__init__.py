# SPDX-License-Identifier: Apache-2.0
"""haproxy itself: its process, its sockets, its words. Knows nothing of stamps and pushes."""
