# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: watching what haproxy says of listeners and servers, and telling the control planes."""
