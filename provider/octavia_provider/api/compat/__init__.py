# SPDX-License-Identifier: Apache-2.0
"""What OpenStack's own clients need and ours do not: Neutron's and Keystone's look-ups, providers, version discovery,
loosely typed bodies."""
