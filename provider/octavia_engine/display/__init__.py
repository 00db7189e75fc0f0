# SPDX-License-Identifier: Apache-2.0
"""What people and programs read of a run: plain lines, a live table, JSON."""
