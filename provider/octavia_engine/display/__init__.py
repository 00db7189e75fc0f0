# SPDX-License-Identifier: Apache-2.0
"""Displays of a run: plain lines, a live table, JSON."""
