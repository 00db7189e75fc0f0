# SPDX-License-Identifier: Apache-2.0
"""ignoreChanges that names what is no input is told of, with what was probably meant."""

from __future__ import annotations

import pytest

from octavia_provider.model.ignoring import problems
from octavia_provider.model.kinds import KINDS


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("listener", "protocolPort"), ("listener", "*"), ("listener", 'insertHeaders["X-Forwarded-For"]'),
        ("listener", "insertHeaders.X"), ("listener", "insertHeaders[*]"), ("listener", "tags[0]"), ("listener", "tags[*]"),
        ("listener", '["tags"][0]'), ("listener", "rateLimit.requests"), ("pool", "sessionPersistence.cookieName"),
        ("load_balancer", "additionalVips[*].ipAddress"), ("load_balancer", "additionalVips[0]"),
    ],
)  # fmt: skip
def test_paths_of_inputs(kind: str, path: str) -> None:
    assert list(problems(KINDS[kind], [path])) == []


@pytest.mark.parametrize(
    ("kind", "path", "why", "meant"),
    [
        ("member", "wieght", "is no input", "weight"),
        ("listener", "protocol_port", "is no input", "protocolPort"),
        ("listener", "colour", "is no input", ""),
        ("listener", "operatingStatus", "is an output, not an input", ""),
        ("listener", "rate_limit.requests", "is no input", "rateLimit.requests"),
        ("listener", "rateLimit.request", "is no input", "rateLimit.requests"),
        ("listener", "sni_container_refs[0]", "is no input", "sniContainerRefs[0]"),
        ("load_balancer", "additionalVips[*].ip_address", "is no input", "additionalVips[*].ipAddress"),
        ("listener", "name.first", "is no input: name has no parts", ""),
        ("listener", "name[0]", "is no input: name is no list", ""),
        ("listener", "[0]", "is no input: the resource is no list", ""),
        ("listener", "a..b", "is not a property path, such as sessionPersistence.type or tags[0]", ""),
        ("listener", "", "is not a property path, such as sessionPersistence.type or tags[0]", ""),
    ],
)  # fmt: skip
def test_paths_of_none(kind: str, path: str, why: str, meant: str) -> None:
    asked = f"; did you mean {meant}?" if meant else ""
    assert list(problems(KINDS[kind], [path])) == [
        f"ignoreChanges: {path} {why}, so nothing is ignored by it{asked}",
    ]  # fmt: skip


def test_a_program_in_python_is_answered_in_its_spelling() -> None:
    (line,) = problems(KINDS["listener"], ["protocolprt"], underscores=True)
    assert line == "ignore_changes: protocolprt is no input, so nothing is ignored by it; did you mean protocol_port?"
    (line,) = problems(
        KINDS["pool"], ["sessionPersistence.cookie_name"], underscores=True
    )  # which the SDK does not translate
    assert line.endswith("did you mean sessionPersistence.cookieName?")
