# SPDX-License-Identifier: Apache-2.0
"""What a PROMETHEUS listener serves: haproxy's metrics in Octavia's words, and what haproxy does not count."""
