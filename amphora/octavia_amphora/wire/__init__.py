# SPDX-License-Identifier: Apache-2.0
"""What control plane and agent say to each other: configurations, pushes, answers, heartbeats. Types and codecs only."""
