# SPDX-License-Identifier: Apache-2.0
"""What the kernel does beside haproxy: UDP, and who may send packets to a listener. nftables and connection tracking."""
