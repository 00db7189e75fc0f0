# SPDX-License-Identifier: Apache-2.0
"""Users of a cloud under test, and OpenStack's own clients as each of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import openstack

from .project import PASSWORD, Project

PYTHON = os.environ.get("OPENSTACK_TEST_CLIENTS", "")
"""The Python of an environment with OpenStack's command line (requirements/openstack-services.txt); ``make test-openstack`` makes it."""


class Command:
    """``openstack`` as one user. ``used``: the subcommands of ``loadbalancer`` that have succeeded; ``known``: all there are."""

    def __init__(self, clouds_file: Path, cloud: str) -> None:
        assert PYTHON, "OPENSTACK_TEST_CLIENTS names no Python: run this by make test-openstack"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self._process = subprocess.Popen(
            [PYTHON, str(Path(__file__).with_name("openstack_command.py"))], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**environment, "OS_CLIENT_CONFIG_FILE": str(clouds_file), "OS_CLOUD": cloud},
        )  # fmt: skip
        self.used: set[str] = set()
        self.known: list[str] = json.loads(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def __call__(self, *words: str, fails: str | None = None) -> Any:
        """The JSON that it prints, where it prints any. ``fails``: a part of the error that is expected."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(["loadbalancer", *words]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._line())
        assert bool(answer["code"]) == (fails is not None), (words, answer)
        if fails is not None:
            assert fails in answer["err"], (words, answer)
        self._note(words)
        with contextlib.suppress(ValueError):
            return json.loads(answer["out"])
        return answer["out"]

    def _note(self, words: tuple[str, ...]) -> None:
        """The longest of the names that a command may have is what was run: ``listener stats show``."""
        names = ("_".join(("loadbalancer", *words[:count])) for count in (3, 2, 1))
        self.used.add(next(name for name in names if name in self.known))

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


@dataclass
class Users:
    """``ann`` is a member of the project under test, ``bob`` of another one, ``root`` an administrator. ``clouds_file``: how each logs on."""

    clouds_file: Path
    projects: dict[str, str] = field(default_factory=dict)

    def connect(self, name: str) -> Any:
        """openstacksdk."""
        return openstack.connect(**json.loads(self.clouds_file.read_text())["clouds"][name])

    def command(self, name: str) -> Command:
        return Command(self.clouds_file, name)


@contextlib.contextmanager
def users(project: Project, folder: Path, certificate: Path, neutron: str | None = None) -> Iterator[Users]:
    """Made, and taken away. ``certificate``: what clients trust; ``neutron``: whom they ask for networks, else the catalogue says it."""
    identity, name = project.admin.identity, f"octavia-test-{uuid.uuid4().hex[:8]}"
    roles = {role.name: role for role in identity.roles()}
    other = identity.create_project(name=name, domain_id="default")
    own = project.user.current_project_id
    made, clouds = [], {}
    try:
        for who, project_id, role in (("ann", own, "member"), ("bob", other.id, "member"), ("root", own, "admin")):
            user = identity.create_user(name=f"{name}-{who}", password=PASSWORD, domain_id="default")
            made.append(user)
            identity.assign_project_role_to_user(project_id, user, roles[role])
            auth = {
                "auth_url": project.admin.config.get_auth_args()["auth_url"], "username": user.name, "password": PASSWORD,
                "project_id": project_id, "user_domain_name": "Default",
            }  # fmt: skip
            clouds[who] = {"region_name": project.admin.config.region_name, "auth": auth, "cacert": str(certificate)}
            clouds[who] |= {"network_endpoint_override": neutron} if neutron else {}
        clouds_file = folder / "users.yaml"
        clouds_file.write_text(json.dumps({"clouds": clouds}))
        yield Users(clouds_file, {"ann": own, "bob": other.id})
    finally:
        for user in made:
            identity.delete_user(user)
        identity.delete_project(other)
