# SPDX-License-Identifier: Apache-2.0
"""Every rule within an object, through Check over gRPC: the message of the API, the path in Pulumi's spelling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import attributes
from octavia_provider.model.validation import validate
from octavia_provider.plugin import language, property_names
from octavia_provider.plugin.resources import TOKENS
from provider_process import Provider, provider
from unit.model.bad_inputs import BAD_INPUTS, BadInput


@pytest.fixture(scope="module")
def unconfigured() -> Iterator[Provider]:
    with provider() as running:
        yield running


def in_pulumis_names(kind: type, given: Any) -> dict[str, Any]:
    """Also what is no attribute: users write such things."""
    known = {name: value for name, value in given.items() if name in attributes(kind)}
    nested = {
        attributes(kind)[n].camel: in_pulumis_names(attributes(kind)[n].nested, v)
        for n, v in known.items()
        if attributes(kind)[n].nested and isinstance(v, dict)
    }
    return {**{n: v for n, v in given.items() if n not in known}, **property_names.to_pulumi(kind, known), **nested}


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=str)
def test_check_refuses_what_the_api_refuses(unconfigured: Provider, bad: BadInput) -> None:
    kind = KINDS[bad.kind]
    given = in_pulumis_names(kind, bad.values)
    _, failures = unconfigured.check(
        TOKENS[bad.kind], "bad", {"name": "bad", **given} if "name" in attributes(kind) else given
    )
    expected: dict[str, set[str]] = {}
    for violation in validate(kind, bad.values).violations:
        expected.setdefault(property_names.pulumi_path(kind, violation.path), set()).add(
            language.translate_names(violation.message)
        )
    assert failures.keys() == expected.keys()
    assert all(
        set(reason.split("; ")) == expected[path] or reason in expected[path] for path, reason in failures.items()
    )
    assert language.translate_names(bad.says) in failures[property_names.pulumi_path(kind, bad.at)]
