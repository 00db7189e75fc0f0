# SPDX-License-Identifier: Apache-2.0
"""Users of the API as Keystone knows them (keystonemiddleware), and what they may do (oslo.policy).

The libraries come with the extra ``openstack``, and are imported when a control plane that has users starts.
"""

from __future__ import annotations
