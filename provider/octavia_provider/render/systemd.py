# SPDX-License-Identifier: Apache-2.0
"""The unit file of the control plane."""

from __future__ import annotations

import re
from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9._:/@+,=-]+")
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "%": "%%", "$": "$$"})


def quote(value: object) -> str:
    """One word of a command line (systemd.service(5), systemd.syntax(7)): neither specifiers nor variables are meant."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else f'"{text.translate(_ESCAPED)}"'


def unit(
    *, python: str, home: Path, templates_dir: Path | None, database: str | None = None, name: str | None = None,
    config: Path | None = None,
) -> str:  # fmt: skip
    """``octavia.service``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("octavia_provider.render"), finalize=quote, undefined=StrictUndefined, trim_blocks=True,
        keep_trailing_newline=True, autoescape=False,  # noqa: S701 - systemd's quoting, not HTML's
    )  # fmt: skip
    template = environment.get_template("systemd/octavia.service.j2")
    return template.render(
        python=python, home=home, templates_dir=templates_dir, database=database, name=name, config=config
    )
