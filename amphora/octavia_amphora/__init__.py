# SPDX-License-Identifier: Apache-2.0
"""The agent of an amphora: applies configurations to haproxy and tells how it goes.

It knows nothing of Pulumi, of the store or of other amphorae. ``wire`` is all that the control plane shares with it.
"""

__version__ = "0.1.0"
