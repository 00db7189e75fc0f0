# SPDX-License-Identifier: Apache-2.0
"""The rules of the policy, by Octavia's names, and who fulfils them unless an operator's file says otherwise.

Octavia has two sets of roles: Keystone's own (reader, member, admin), which are its defaults, and ``load-balancer_*``, which it
still takes where ``enforce_new_defaults`` is off. Either will do here: who has a role of one set needs none of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

PREFIX = "os_load-balancer_api:"
ROLES = (
    "load-balancer_observer", "load-balancer_global_observer", "load-balancer_member", "load-balancer_quota_admin",
    "load-balancer_admin",
)  # fmt: skip
"""Octavia's own, which a Keystone has where somebody has made them (``octaviactl register``)."""

_OWNER = "rule:load-balancer:owner"
BASE: Mapping[str, str] = {
    "load-balancer:owner": "project_id:%(project_id)s",
    "project-member": f"role:member and {_OWNER}",
    "project-reader": f"role:reader and {_OWNER}",
    "context_is_admin": "role:admin or role:load-balancer_admin",
    "load-balancer:admin": "rule:context_is_admin",
    "load-balancer:global_observer": "role:load-balancer_global_observer",
    "load-balancer:member_and_owner": f"rule:project-member or (role:load-balancer_member and {_OWNER})",
    "load-balancer:observer_and_owner": f"rule:project-reader or (role:load-balancer_observer and {_OWNER})",
    "load-balancer:quota-admin": "role:load-balancer_quota_admin",
    "load-balancer:read": "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or "
    "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    "load-balancer:read-global": "rule:load-balancer:global_observer or rule:load-balancer:admin",
    "load-balancer:write": "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    "load-balancer:read-quota": "rule:load-balancer:read or rule:load-balancer:quota-admin",
    "load-balancer:read-quota-global": "rule:load-balancer:read-global or rule:load-balancer:quota-admin",
    "load-balancer:write-quota": "rule:load-balancer:quota-admin or rule:load-balancer:admin",
}
"""What the rules of the API refer to; to change one of these in a file changes all that do."""

_READ, _WRITE, _ADMIN = "rule:load-balancer:read", "rule:load-balancer:write", "rule:load-balancer:admin"
_READ_ALL = "rule:load-balancer:read-global"
_EACH = {"get_all": _READ, "get_one": _READ, "post": _WRITE, "put": _WRITE, "delete": _WRITE}
_SEEN_BY_ALL = {"get_all": _READ, "get_one": _READ, "post": _ADMIN, "put": _ADMIN, "delete": _ADMIN}
_OPERATORS = dict.fromkeys(("get_all", "get_one", "post", "put", "delete"), _ADMIN)
_READ_QUOTA, _WRITE_QUOTA = "rule:load-balancer:read-quota", "rule:load-balancer:write-quota"

OCTAVIA: Mapping[str, Mapping[str, str]] = {
    "loadbalancer": {
        **_EACH, "get_all-global": _READ_ALL, "get_stats": _READ, "get_status": _READ, "put_failover": _ADMIN,
    },
    "listener": {**_EACH, "get_all-global": _READ_ALL, "get_stats": _READ},
    "pool": {**_EACH, "get_all-global": _READ_ALL},
    "member": _EACH,
    "healthmonitor": {**_EACH, "get_all-global": _READ_ALL},
    "l7policy": {**_EACH, "get_all-global": _READ_ALL},
    "l7rule": _EACH,
    "quota": {
        "get_all": _READ_QUOTA, "get_all-global": "rule:load-balancer:read-quota-global", "get_one": _READ_QUOTA,
        "get_defaults": _READ_QUOTA, "put": _WRITE_QUOTA, "delete": _WRITE_QUOTA,
    },
    "flavor": _SEEN_BY_ALL,
    "flavor-profile": _OPERATORS,
    "availability-zone": _SEEN_BY_ALL,
    "availability-zone-profile": _OPERATORS,
    "provider": {"get_all": _READ},
    "provider-flavor": {"get_all": _ADMIN},
    "provider-availability-zone": {"get_all": _ADMIN},
    "amphora": dict.fromkeys(("get_all", "get_one", "get_stats", "delete", "put_config", "put_failover"), _ADMIN),
}  # fmt: skip
"""The rules that Octavia has."""

OURS: Mapping[str, Mapping[str, str]] = {
    "loadbalancer": dict.fromkeys(("get_configuration", "post_configuration"), _ADMIN),
    "amphora": dict.fromkeys(("put_certificate", "put_agent", "put_drain", "delete_drain"), _ADMIN),
    "tls-container": {**_EACH, "get_all-global": _READ_ALL, "put_reread": _WRITE},
    "amphora-group": {**_EACH, "get_all-global": _READ_ALL},
    "event": {"get_all": _READ, "get_all-global": _READ_ALL},
    "local-network": _SEEN_BY_ALL,
    "local-host": _SEEN_BY_ALL,
    "network": {"get_all": _READ, "get_one": _READ},
    "control-plane": {"get_one": _READ, "post_stop": _ADMIN},
    "certificate-authority": {"post_rotation": _ADMIN},
    "status": {"get_all": _READ_ALL},
    "leftover": {"get_all": _READ_ALL, "post_confirm": _WRITE},
}
"""Those of what the API has beyond Octavia's."""


def defaults() -> Iterator[tuple[str, str]]:
    """Every rule by its whole name, with what it asks for."""
    yield from BASE.items()
    for table in (OCTAVIA, OURS):
        for what, actions in table.items():
            for action, check in actions.items():
                yield f"{PREFIX}{what}:{action}", check
