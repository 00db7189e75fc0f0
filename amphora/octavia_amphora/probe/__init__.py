# SPDX-License-Identifier: Apache-2.0
"""Checks that the agent makes itself, for what haproxy cannot check: and what it has found out by them."""
