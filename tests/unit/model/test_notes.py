# SPDX-License-Identifier: Apache-2.0
"""What Octavia takes and what has no effect is taken here too, and said."""

from __future__ import annotations

from typing import Any

import pytest

from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validation import notes, validate
from unit.model.bad_inputs import GOOD, ID, TLS

PLAIN_TLS = (("tls_ciphers", "AES128-SHA"), ("tls_versions", ["TLSv1.2"]), ("tls_versions", []),
             ("tls_versions", ["TLSv1", "TLSv1.3"]), ("alpn_protocols", ["h2"]), ("alpn_protocols", []))  # fmt: skip
# kind, what is given beside the good inputs, where the note is (None: none), words of it
TAKEN: tuple[tuple[str, dict[str, Any], str | None, str], ...] = (
    *(
        ("listener", {"protocol": protocol, name: value}, name, "no TLS ends at this listener")
        for protocol in ("HTTP", "TCP", "HTTPS", "UDP", "PROMETHEUS") for name, value in PLAIN_TLS
    ),
    ("listener", {**TLS, "tls_versions": ["TLSv1.2"], "tls_ciphers": "AES128-SHA", "alpn_protocols": ["h2", "h2"]}, None, ""),
    ("listener", {**TLS, "protocol": "PROMETHEUS", "tls_versions": ["TLSv1.3"]}, None, ""),
    ("listener", {"insert_headers": {"X-Forwarded-For": "yes"}}, "insert_headers", "X-Forwarded-For ('yes')"),
    ("listener", {"insert_headers": {"X-Forwarded-For": "True", "X-Forwarded-Port": "FALSE"}}, None, ""),
    *(("pool", {name: value}, name, "tls_enabled is false") for name, value in PLAIN_TLS),
    *(("pool", {name: ID}, name, "tls_enabled is false") for name in ("tls_container_ref", "ca_tls_container_ref")),
    ("pool", {"tls_enabled": True, "tls_container_ref": ID, "alpn_protocols": ["http/1.1"]}, None, ""),
    ("health_monitor", {"delay": 5, "timeout": 6}, "timeout", "is longer than delay (5 s)"),
    ("health_monitor", {"delay": 5, "timeout": 5}, None, ""),
    ("health_monitor", {"delay": 24 * 24 * 3600, "timeout": 100_000}, None, ""),
    *(
        ("health_monitor", {"type": sort, "http_version": "1.1", "domain_name": "a.example"}, name, f"a {sort} monitor makes none")
        for sort in ("PING", "TCP", "TLS-HELLO", "UDP-CONNECT") for name in ("http_version", "domain_name")
    ),
    ("health_monitor", {"http_version": "1.1", "domain_name": "a.example."}, None, ""),
    ("health_monitor", {"expected_codes": "200 , 202"}, None, ""),
    *(
        ("l7_rule", {"type": sort, "compare_type": "EQUAL_TO", "value": value, "key": "x"}, "key", f"no effect with {sort}")
        for sort, value in (("PATH", "/a"), ("HOST_NAME", "a.example"), ("FILE_TYPE", "jpg"))
    ),
    ("l7_rule", {"key": ""}, None, ""),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "at", "says"), TAKEN)
def test_it_is_taken_and_said(kind: str, change: dict[str, Any], at: str | None, says: str) -> None:
    values = {**GOOD[kind], **change}
    assert validate(KINDS[kind], values).violations == []
    found = notes(KINDS[kind], values)
    if at is None:
        assert found == []
    else:
        assert any(note.path == (at,) and says in note.message for note in found), found


@pytest.mark.parametrize("kind", KINDS)
def test_of_good_inputs_nothing_is_said(kind: str) -> None:
    assert notes(KINDS[kind], GOOD[kind]) == []
