# SPDX-License-Identifier: Apache-2.0
"""Messages: the object named once, attributes in one spelling, what was meant by a mistyped word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from octavia_provider.model.errors import Conflict, PermanentError
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.near import did_you_mean
from octavia_provider.plugin import failures, functions, language, servicer
from octavia_provider.plugin.inputs import Failure, Naming
from octavia_provider.plugin.resources import HANDLERS_BY_TYPE

LISTENER = HANDLERS_BY_TYPE["octavia:index:Listener"]


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    monkeypatch.chdir(tmp_path)
    language.uses_snake_case.cache_clear()
    yield
    language.uses_snake_case.cache_clear()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("listener 'http': listener http-1a2b3c4: has a pool", "has a pool"),
        ("listener 'http': port 80 is taken by listener a", "port 80 is taken by listener a"),
        ("pool 'p': is used", "pool 'p': is used"),  # another object
        ("the embedded control plane: does not run", "the embedded control plane: does not run"),
    ],
)
def test_the_object_is_named_by_the_engine_alone(text: str, told: str) -> None:
    assert failures.user_text(text, KINDS["listener"]) == told


def test_one_spelling_of_an_attribute_in_a_sentence() -> None:
    _, found = LISTENER.check(
        {"protocol": "TERMINATED_HTTPS", "protocolPort": 443, "loadbalancerId": "x"}, {}, Naming("")
    )
    (failure,) = [f for f in servicer._failures(found) if f.property == "defaultTlsContainerRef"]
    assert failure.reason.startswith("is required for TERMINATED_HTTPS, or sniContainerRefs: ")
    error = Conflict("port 80 is taken", path=("protocol_port",), subject="listener 'b'")
    assert (
        failures.user_text(failures.message(error, KINDS["listener"]), KINDS["listener"])
        == "protocolPort: port 80 is taken"
    )


@pytest.mark.usefixtures("python")
def test_a_program_in_python_reads_its_own_spelling() -> None:
    (found,) = servicer._failures([Failure("sessionPersistence.cookieName", "goes with APP_COOKIE; see tls_enabled")])
    assert (found.property, found.reason) == (
        "", "session_persistence.cookie_name: goes with APP_COOKIE; see tls_enabled",
    )  # fmt: skip
    error = Conflict("port 80 is taken", path=("protocol_port",), subject="listener 'b'")
    assert (
        failures.user_text(failures.message(error, KINDS["listener"]), KINDS["listener"])
        == "protocol_port: port 80 is taken"
    )
    _, failed = LISTENER.check({"protocolPrt": 1, "loadbalancerId": "x"}, {}, Naming(""))
    assert "is not an attribute that can be given; did you mean protocol_port?" in [f.reason for f in failed]


def test_what_was_meant_by_an_attribute_an_enum_a_resource_or_a_function() -> None:
    given = {"lbAlgorithm": "round-robin", "protocol": "HTP", "listnerId": "x"}
    _, found = HANDLERS_BY_TYPE["octavia:index:Pool"].check(given, {}, Naming(""))
    said = {f.path: f.reason for f in found}
    assert said["lbAlgorithm"].endswith("; did you mean ROUND_ROBIN?")
    assert said["protocol"].endswith("; did you mean HTTP?")
    assert said["listnerId"].endswith("; did you mean listenerId?")

    class Request:
        type = "octavia:index:Loadbalancer"
        urn = ""

    with pytest.raises(PermanentError, match=r"did you mean octavia:index:LoadBalancer\?"):
        servicer._handler(Request())
    with pytest.raises(PermanentError, match=r"did you mean octavia:index:getPool\?"):
        functions.invoke("octavia:index:getPol", {}, None, None)  # type: ignore[arg-type]


def test_nothing_is_guessed_of_what_is_like_nothing() -> None:
    assert did_you_mean("zzz", ["HTTP", "TCP"]) == ""
    assert did_you_mean("HTTP", ["HTTP"]) == ""
