# SPDX-License-Identifier: Apache-2.0
"""Being one of a pair: keepalived, kept running and told whether haproxy serves."""
