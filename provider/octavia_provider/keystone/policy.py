# SPDX-License-Identifier: Apache-2.0
"""What callers may do, by oslo.policy: our defaults, and over them an operator's file, which is read again when it changes."""

from __future__ import annotations

from pathlib import Path

from octavia_provider.model.errors import Refused
from octavia_provider.ports import Caller

from .library import needed
from .rules import PREFIX, defaults


class OsloPolicy:
    """The rules in force."""

    def __init__(self, file: Path | None = None) -> None:
        """``Refused`` where the file cannot be read, or names no rule that there is."""
        with needed():
            from oslo_config import cfg
            from oslo_policy import policy
        conf = cfg.ConfigOpts()
        conf([], project="octavia", default_config_files=[], default_config_dirs=[])
        self._enforcer = policy.Enforcer(conf, policy_file=str(file) if file else None)
        # Of its own accord the library looks into /etc for files that stock Octavia has.
        conf.set_override("policy_file", str(file) if file else "/nonexistent", group="oslo_policy")
        conf.set_override("policy_dirs", [], group="oslo_policy")
        self._enforcer.register_defaults([policy.RuleDefault(name, check) for name, check in defaults()])
        if file is not None:
            self._check(file)

    def allows(self, rule: str, caller: Caller, project_id: str | None) -> bool:
        """As ``ports.Policy``."""
        target = {} if project_id is None else {"project_id": project_id, "tenant_id": project_id}
        return bool(self._enforcer.authorize(rule, target, dict(caller.credentials), do_raise=False))

    def _check(self, file: Path) -> None:
        known = {name for name, _ in defaults()}
        try:
            with file.open(encoding="utf-8"):
                pass
            self._enforcer.load_rules(force_reload=True)
        except Exception as error:  # noqa: BLE001 - the library's words say what is wrong with it
            raise Refused(
                str(error), subject=f"policy file {file}", hint="octaviactl serve --policy-file FILE"
            ) from None
        strangers = [name for name in self._enforcer.file_rules if name.startswith(PREFIX) and name not in known]
        if strangers:
            raise Refused(
                f"there is no rule {', '.join(sorted(strangers))}", subject=f"policy file {file}",
                hint="docs/reference/policies.md lists them",
            )  # fmt: skip
