# SPDX-License-Identifier: Apache-2.0
"""A Pulumi project: ``Pulumi.yaml``, ``Pulumi.<stack>.yaml`` and the Python that runs the program."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavia_engine.secrets import Secrets
from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import Invalid, NotFound, Violation

_STACK_NAME = re.compile(r"^[A-Za-z0-9_.-]{1,100}$")
SALT = "encryptionsalt"


@dataclass(frozen=True)
class Project:
    """``Pulumi.yaml``. ``python`` is the interpreter that runs the program, ``program`` the file or folder."""

    name: str
    folder: Path
    program: Path
    python: Path
    description: str = ""
    plugins: dict[str, Path] = field(default_factory=dict)
    """Package → folder with its executable (``plugins.providers`` of Pulumi.yaml)."""
    config: dict[str, Any] = field(default_factory=dict)
    """Defaults of ``config:``."""

    @classmethod
    def load(cls, start: Path) -> Project:
        """The project in ``start`` or the nearest folder above. Raises NotFound and Invalid."""
        folder = find(start)
        data = _load_yaml(folder / "Pulumi.yaml")
        name = data.get("name")
        runtime, options = _runtime(data)
        if wrong := [*_wrong_name(name), *_wrong_runtime(data, runtime)]:
            raise Invalid(wrong, subject=str(folder / "Pulumi.yaml"))
        name = str(name)
        main = (folder / str(data.get("main") or ".")).resolve()
        return cls(
            name=name,
            folder=folder,
            program=main,
            python=_python(folder, options),
            description=str(data.get("description") or ""),
            plugins=_plugins(data, folder),
            config={_qualified_key(name, key): value for key, value in _defaults(data).items()},
        )

    @property
    def state_dir(self) -> Path:
        """Where stacks are kept: ``$OCTAVIA_STATE``, or ``.octavia/state`` in the project."""
        given = os.environ.get("OCTAVIA_STATE")
        return Path(given).expanduser().resolve() if given else self.folder / ".octavia" / "state"

    @property
    def working_dir(self) -> Path:
        """Where the program runs."""
        return self.program if self.program.is_dir() else self.program.parent


def find(start: Path) -> Path:
    """The folder of the nearest ``Pulumi.yaml``."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / "Pulumi.yaml").is_file():
            return folder
    raise NotFound(f"no Pulumi.yaml in {start} or above", hint="go to a Pulumi project, or name one with --cwd")


def check_stack_name(stack: str) -> str:
    """The name itself. Raises Invalid."""
    if not _STACK_NAME.match(stack):
        problem = f"{stack!r}: use letters, digits, hyphens, underscores and periods, at most 100"
        raise Invalid([Violation(("stack",), problem)])
    return stack


def _load_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise Invalid([Violation((), f"is not UTF-8: {error}")], subject=str(path)) from None
    except yaml.YAMLError as error:
        raise Invalid([Violation((), f"is not YAML: {' '.join(str(error).split())}")], subject=str(path)) from error
    if not isinstance(data, dict):
        raise Invalid([Violation((), "is not a mapping")], subject=str(path))
    if not isinstance(data.get("config") or {}, dict):
        raise Invalid([Violation(("config",), "is not a mapping")], subject=str(path))
    return data


def _runtime(data: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    runtime = data.get("runtime")
    if isinstance(runtime, dict):
        return runtime.get("name"), runtime.get("options") or {}
    return runtime, {}


def _wrong_name(name: Any) -> Iterator[Violation]:
    if name is None or name == "":
        yield Violation(("name",), "a project needs a name")
    elif not isinstance(name, str):
        yield Violation(("name",), f"must be text, and is {quoted(name)}")


def _wrong_runtime(data: dict[str, Any], runtime: Any) -> Iterator[Violation]:
    at = ("runtime", "name") if isinstance(data.get("runtime"), dict) else ("runtime",)
    if runtime is None:
        yield Violation(("runtime",), "is missing; write `runtime: python`")
    elif not isinstance(runtime, str):
        yield Violation(at, f"must be text, as `python` is, and is {quoted(runtime)}")
    elif runtime != "python":
        yield Violation(at, f"{runtime!r}: the embedded engine runs Python programs; use pulumi for others")


def _python(folder: Path, options: dict[str, Any]) -> Path:
    """The virtualenv's Python, or the one that runs this engine."""
    venv = options.get("virtualenv")
    if not venv:
        return Path(sys.executable)
    python = folder / Path(str(venv)).expanduser() / "bin" / "python"
    if not python.parent.parent.is_dir():
        raise NotFound(
            f"the virtualenv {venv} does not exist", subject="Pulumi.yaml", hint=f"python3 -m venv {venv} and install"
        )
    if not python.exists():
        raise NotFound(
            f"the virtualenv {venv} has no Python", subject="Pulumi.yaml", hint=f"python3 -m venv {venv} and install"
        )
    return python


def _plugins(data: dict[str, Any], folder: Path) -> dict[str, Path]:
    providers = (data.get("plugins") or {}).get("providers") or []
    return {entry["name"]: (folder / entry["path"]).resolve() for entry in providers if "path" in entry}


def _defaults(data: dict[str, Any]) -> dict[str, Any]:
    """``config:`` of Pulumi.yaml: plain values, ``{value: …}`` or ``{type: …, default: …}``."""
    found: dict[str, Any] = {}
    for key, entry in (data.get("config") or {}).items():
        if not isinstance(entry, dict):
            found[key] = entry
        elif "value" in entry or "default" in entry:
            found[key] = entry.get("value", entry.get("default"))
    return found


def _qualified_key(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


@dataclass
class Config:
    """A stack's configuration: ``project:key`` → string, as programs and providers get it."""

    values: dict[str, str] = field(default_factory=dict)
    secret_keys: set[str] = field(default_factory=set)

    def of_package(self, package: str) -> dict[str, tuple[str, bool]]:
        """Key → (value, secret) of one namespace: the inputs of that package's default provider."""
        prefix = f"{package}:"
        return {
            key.removeprefix(prefix): (value, key in self.secret_keys)
            for key, value in self.values.items()
            if key.startswith(prefix)
        }


class StackSettings:
    """``Pulumi.<stack>.yaml``: configuration and the passphrase's salt."""

    def __init__(self, project: Project, stack: str) -> None:
        self.project = project
        self.path = project.folder / f"Pulumi.{stack}.yaml"
        self._data = _load_yaml(self.path)

    @property
    def salt(self) -> str | None:
        """``encryptionsalt``."""
        return self._data.get(SALT)

    def save_salt(self, salt: str) -> None:
        """Write ``encryptionsalt`` where there is none; the rest of the file, comments too, is left alone."""
        text = self.path.read_text() if self.path.exists() else ""
        if text and not text.endswith("\n"):
            text += "\n"
        self.path.write_text(f"{text}{SALT}: {salt}\n")
        self._data[SALT] = salt

    def has_secrets(self) -> bool:
        """Whether any value is encrypted."""
        return '"secure":' in json.dumps(self._data.get("config") or {})

    def config(self, secrets: Secrets | None, overrides: dict[str, str]) -> Config:
        """Everything in force: the project's defaults, the stack's values, then the overrides."""
        found = Config()
        for key, value in (self.project.config | self._stack_values()).items():
            plain, hidden = _decrypt(value, secrets)
            found.values[key] = plain if isinstance(plain, str) else json.dumps(plain)
            if hidden:
                found.secret_keys.add(key)
        for key, value in overrides.items():
            found.values[_qualified_key(self.project.name, key)] = value
        return found

    def _stack_values(self) -> dict[str, Any]:
        values = self._data.get("config") or {}
        return {_qualified_key(self.project.name, key): value for key, value in values.items()}


def _decrypt(value: Any, secrets: Secrets | None) -> tuple[Any, bool]:
    """The value with what is ``secure`` decrypted, and whether anything was."""
    if isinstance(value, dict) and set(value) == {"secure"}:
        return (secrets.decrypt(value["secure"]) if secrets else ""), True
    if isinstance(value, dict):
        entries = {key: _decrypt(item, secrets) for key, item in value.items()}
        return {key: item for key, (item, _) in entries.items()}, any(hidden for _, hidden in entries.values())
    if isinstance(value, list):
        items = [_decrypt(item, secrets) for item in value]
        return [item for item, _ in items], any(hidden for _, hidden in items)
    return value, False
