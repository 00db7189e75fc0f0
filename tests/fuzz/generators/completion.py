# SPDX-License-Identifier: Apache-2.0
"""What an object needs beside what was drawn for it: too rare, were it left to chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from octavia_provider.model import l7_policy, l7_rule, listener, tls
from octavia_provider.model.pool import SEES_REQUESTS

from . import containers, strings
from .chance import Draw

Found = dict[str, Any]


def complete(draw: Draw, kind: str, found: Found) -> None:
    """Make the object whole."""
    if (one := _COMPLETIONS.get(kind)) is not None:
        one(draw, found)


def _listener(draw: Draw, found: Found) -> None:
    if found.get("protocol") == "PROMETHEUS":
        _metrics(draw, found)
    elif found.get("protocol") != "TERMINATED_HTTPS":
        found["client_authentication"] = "NONE"
        for name in set(found.get("insert_headers") or ()) if isinstance(found.get("insert_headers"), dict) else ():
            if str(name).startswith("X-SSL"):
                del found["insert_headers"][name]
        return
    if not found.get("sni_container_refs"):
        found["default_tls_container_ref"] = containers.reference(draw, "certificate")
    if found.get("client_authentication", "NONE") != "NONE":
        found["client_ca_tls_container_ref"] = containers.reference(draw, "ca_certificates")
    _lists_of_all(draw, found, "client_crl_container_ref")
    if found.get("hsts_include_subdomains") or found.get("hsts_preload"):
        found.setdefault("hsts_max_age", draw.choice((0, 1, 31_536_000)))


def _metrics(draw: Draw, found: Found) -> None:
    """By TLS or in the clear; what belongs to requests goes."""
    for name in ("insert_headers", "rate_limit", "hsts_max_age", "hsts_include_subdomains", "hsts_preload"):
        found.pop(name, None)
    if draw.happens(40):
        for name in (*listener.CERTIFICATES, *listener.CLIENTS, *tls.TERMS):
            found.pop(name, None)


def _lists_of_all(draw: Draw, found: Found, name: str) -> None:
    """Lists of some authorities alone are refused with others."""
    if found.get(name) and draw.happens(90):
        found[name] = containers.LISTS_OF_ALL


def _pool(draw: Draw, found: Found) -> None:
    _lists_of_all(draw, found, "crl_container_ref")
    protocol, persistence = found.get("protocol"), found.get("session_persistence")
    if isinstance(persistence, dict) and protocol not in SEES_REQUESTS:
        persistence["type"] = "SOURCE_IP"
        for name in ("cookie_name", *_OWN_COOKIE):
            persistence.pop(name, None)
    if isinstance(persistence, dict) and protocol != "UDP":
        for name in ("persistence_timeout", "persistence_granularity"):
            persistence.pop(name, None)
    if protocol not in SEES_REQUESTS:
        found.pop("protocol_version", None)
    if (version := found.get("protocol_version")) and found.get("alpn_protocols"):
        found["alpn_protocols"] = ["h2"] if version == "HTTP2" else ["http/1.1"]
    if protocol in ("UDP", "HTTPS"):
        found["tls_enabled"] = False
    if protocol == "UDP":
        found["lb_algorithm"] = draw.choice(("ROUND_ROBIN", "SOURCE_IP", "SOURCE_IP_PORT"))


_OWN_COOKIE = ("cookie_secure", "cookie_http_only", "cookie_same_site")


def _persistence(draw: Draw, found: Found) -> None:
    if found.get("type") != "HTTP_COOKIE":
        for name in _OWN_COOKIE:
            found.pop(name, None)
    elif found.get("cookie_same_site") == "NONE" and found.get("cookie_secure") is False:
        found["cookie_secure"] = True
    if found.get("type") == "APP_COOKIE":
        found["cookie_name"] = strings.token(draw)


def _monitor(draw: Draw, found: Found) -> None:
    if found.get("domain_name"):
        found["http_version"] = "1.1"


def _policy(draw: Draw, found: Found) -> None:
    action = found.get("action")
    for target in ("redirect_url", "redirect_prefix"):
        found.pop(target, None)
    if action == "REDIRECT_TO_URL":
        found["redirect_url"] = strings.url(draw)
    if action == "REDIRECT_PREFIX":
        found["redirect_prefix"] = strings.prefix(draw)
    changes = found.get("header_changes")
    if action in l7_policy.ANSWERS and isinstance(changes, list):
        found["header_changes"] = [{**one, "message": "RESPONSE"} for one in changes if isinstance(one, dict)]
    if action == "CHANGE_HEADERS" and not changes:
        found["header_changes"] = [{"operation": "SET", "name": strings.token(draw), "value": "x" + strings.line(draw)}]


def _change(draw: Draw, found: Found) -> None:
    operation = found.get("operation")
    found.pop("pattern", None)
    if operation == "REWRITE":
        found["pattern"] = strings.expression(draw)
    if operation == "REMOVE":
        found.pop("value", None)
    elif not found.get("value"):
        found["value"] = draw.choice(("\\1", "x", "if", "%[src]", '"'))
    if operation == "REWRITE":
        literal = str(found["value"]).replace("\\", "\\\\")
        found["value"] = draw.choice((literal, literal, "\\0", "<\\1>"))


def _rule(draw: Draw, found: Found) -> None:
    sort = str(found.get("type"))
    allowed = l7_rule.COMPARISONS.get(sort)
    if allowed and found.get("compare_type") not in allowed:
        found["compare_type"] = draw.choice(allowed)
    found.pop("key", None)
    if sort in l7_rule.KEYED:
        found["key"] = strings.field_of_name(draw) if sort == "SSL_DN_FIELD" else strings.token(draw)
    if found.get("compare_type") == "REGEX":
        found["value"] = strings.expression(draw)
    elif sort in _VALUES:
        found["value"] = _VALUES[sort](draw)


_VALUES: Mapping[str, Callable[[Draw], str]] = {
    "HOST_NAME": lambda draw: draw.choice((strings.host(draw), strings.token(draw), "a b", '"', "#", "-f", "*.example", "a.", ".")),
    "FILE_TYPE": lambda draw: draw.choice(("jpg", ".jpg", ".", "tar.gz", strings.line(draw).translate({46: None, 47: None}))),
    "PATH": lambda draw: draw.choice(("/", strings.path(draw), f"/{strings.line(draw)}"[:255])),
    "COOKIE": lambda draw: strings.line(draw).replace(";", "").strip(),
    "METHOD": strings.token,
    "SOURCE_IP": strings.cidr,
    "SSL_CONN_HAS_CERT": lambda draw: draw.choice(("true", "True", "TRUE")),
    "SSL_VERIFY_RESULT": lambda draw: draw.choice(("0", "10", "007", "999999999", str(draw.randint(0, 99)))),
}  # fmt: skip
_COMPLETIONS: Mapping[str, Callable[[Draw, Found], None]] = {
    "listener": _listener, "pool": _pool, "SessionPersistence": _persistence, "health_monitor": _monitor, "l7_policy": _policy,
    "HeaderChange": _change, "l7_rule": _rule,
}  # fmt: skip
