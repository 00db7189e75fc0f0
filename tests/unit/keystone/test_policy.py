# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

import pytest

from octavia_provider.keystone.policy import OsloPolicy
from octavia_provider.keystone.rules import OCTAVIA, OURS, PREFIX, ROLES, defaults
from octavia_provider.model.errors import Refused
from octavia_provider.ports import Caller

OWN, OTHER = "a" * 32, "b" * 32
POLICY = OsloPolicy()
READ = {"get_all", "get_one", "get_stats", "get_status"}
WRITE = {"post", "put", "delete"}
BALANCERS = (
    "loadbalancer",
    "listener",
    "pool",
    "member",
    "healthmonitor",
    "l7policy",
    "l7rule",
    "tls-container",
    "amphora-group",
)
SEEN_BY_ALL = ("flavor", "availability-zone")


def caller(*roles: str, project: str | None = OWN) -> Caller:
    credentials = {"user_id": "u", "project_id": project, "roles": list(roles), "is_admin": False}
    return Caller(user_id="u", project_id=project, credentials=credentials)


def may(role: str, project: str | None) -> set[str]:
    """All that somebody with one role in their project may do to what this project owns."""
    who = caller(role)
    rules = (name for name, _ in defaults() if name.startswith(PREFIX))
    return {rule.removeprefix(PREFIX) for rule in rules if POLICY.allows(rule, who, project)}


EVERYTHING = {f"{what}:{action}" for table in (OCTAVIA, OURS) for what, actions in table.items() for action in actions}
READS = (
    {f"{what}:{action}" for what in BALANCERS for action in READ}
    | {f"{what}:{action}" for what in (*SEEN_BY_ALL, "local-network", "local-host", "network") for action in READ}
    | {"provider:get_all", "event:get_all", "control-plane:get_one"}
    | {f"quota:{action}" for action in ("get_all", "get_one", "get_defaults")}
) & EVERYTHING
WRITES = (
    READS
    | {f"{what}:{action}" for what in BALANCERS for action in WRITE}
    | {"leftover:post_confirm", "tls-container:put_reread"}
)
GLOBAL = {rule for rule in EVERYTHING if rule.endswith(":get_all-global")} - {"quota:get_all-global"}
READS_ALL = READS | GLOBAL | {"quota:get_all-global", "status:get_all", "leftover:get_all"}
QUOTAS = {rule for rule in EVERYTHING if rule.startswith("quota:")}

ROWS = [
    ("reader", READS, set()),
    ("load-balancer_observer", READS, set()),
    ("member", WRITES, set()),
    ("load-balancer_member", WRITES, set()),
    ("load-balancer_global_observer", READS_ALL, READS_ALL),
    ("load-balancer_quota_admin", QUOTAS, QUOTAS),
    ("load-balancer_admin", EVERYTHING, EVERYTHING),
    ("admin", EVERYTHING, EVERYTHING),
    ("service", set(), set()),
]


@pytest.mark.parametrize(("role", "own", "others"), ROWS, ids=[row[0] for row in ROWS])
def test_what_each_role_may_do_in_its_project_and_in_others(role: str, own: set[str], others: set[str]) -> None:
    assert (may(role, OWN), may(role, OTHER)) == (own, others)


def test_every_role_of_octavia_has_a_row() -> None:
    assert {row[0] for row in ROWS} >= {*ROLES, "reader", "member", "admin"}


def test_a_token_of_no_project_owns_nothing() -> None:
    for project in (None, OWN):
        assert not POLICY.allows(f"{PREFIX}loadbalancer:get_one", caller("member", "reader", project=None), project)


def test_a_file_changes_rules_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"load-balancer:member_and_owner": "role:load-balancer_member and rule:load-balancer:owner"\n')
    policy = OsloPolicy(file)
    rule = f"{PREFIX}loadbalancer:post"
    assert not policy.allows(rule, caller("member"), OWN)
    assert policy.allows(rule, caller("load-balancer_member"), OWN)
    file.write_text(f'"{rule}": "role:builder"\n"mine": "role:x"\n')
    assert policy.allows(rule, caller("builder"), OTHER)
    assert not policy.allows(rule, caller("load-balancer_member"), OWN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        (
            '"os_load-balancer_api:loadbalancer:pots": "role:x"',
            "there is no rule os_load-balancer_api:loadbalancer:pots",
        ),
        ("- a\n- list", "policy.yaml"),
        ('"x: [', "policy.yaml"),
    ],
)
def test_a_file_that_means_nothing_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Refused, match=re.escape(said)):
        OsloPolicy(file)
