# SPDX-License-Identifier: Apache-2.0
"""The loops of the control plane: reconcile, listen to heartbeats, keep house.

Level-triggered: a loop compares what should be with what is. It is written against ``ports`` and names no cloud, no
database and no agent.
"""
