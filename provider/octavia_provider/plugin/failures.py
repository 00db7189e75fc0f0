# SPDX-License-Identifier: Apache-2.0
"""Errors as gRPC statuses: a code, one line of text and, when the object exists in part, its id."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage

from octavia_provider.kit import logs, terminal
from octavia_provider.model import errors
from octavia_provider.pulumirpc import proto

from . import language, property_names, values

log = logs.Logger()


class InitFailed(Exception):
    """The object exists but its create or update did not complete. The engine keeps it; the next run calls Update.

    ``properties`` and ``inputs`` in Pulumi's names; ``reasons`` are lines for people.
    """

    def __init__(
        self, id: str, properties: Mapping[str, Any], inputs: Mapping[str, Any], reasons: Sequence[str]  # noqa: A002
    ) -> None:  # fmt: skip
        super().__init__("; ".join(reasons))
        self.id = id
        self.properties = properties
        self.inputs = inputs
        self.reasons = list(reasons)


# The engine distinguishes codes that mean "refused, nothing was done" from UNKNOWN, "it may have been done"
# (pulumi: sdk/go/common/util/rpcutil/rpcerror).
_CODES: Sequence[tuple[type[BaseException], grpc.StatusCode]] = (
    (errors.Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (errors.PermanentError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.OctaviaError, grpc.StatusCode.UNKNOWN),
)


def abort(context: grpc.ServicerContext, error: Exception, kind: type | None = None) -> NoReturn:
    """End the call with this error; does not return. ``kind`` is the resource's, to spell property paths."""
    if isinstance(error, InitFailed):
        error.reasons = [user_text(reason, kind) for reason in error.reasons]
        context.set_trailing_metadata((("grpc-status-details-bin", _details(error)),))
        context.abort(grpc.StatusCode.UNKNOWN, terminal.escape_text("; ".join(error.reasons)))
    for error_type, code in _CODES:
        if isinstance(error, error_type):
            context.abort(code, terminal.escape_text(user_text(message(error, kind), kind)))
    log.debug("unexpected", error=repr(error), trace="".join(traceback.format_exception(error)))
    line = terminal.escape_line(" ".join(str(error).split()))
    context.abort(
        grpc.StatusCode.INTERNAL,
        f"the provider failed: {type(error).__name__}: {line}. This is a defect of pulumi-resource-octavia; please report "
        "it with the output of the same command and OCTAVIA_LOG=debug.",
    )
    raise AssertionError("abort does not return")


def user_text(text: str, kind: type | None = None) -> str:
    """The text for users: attribute names as the program spells them, without the object's name as a prefix, because
    engines print the resource's name before every message."""
    label = getattr(kind, "LABEL", "")
    while label and (prefix := re.match(rf"{re.escape(label)} (?:'[^']*'|\"[^\"]*\"|\S+): ", text)):
        text = text[prefix.end() :]
    return language.translate_names(text)


def message(error: Exception, kind: type | None = None) -> str:
    """The error in one line, property paths in Pulumi's spelling."""
    if kind is None:
        return str(error)
    prefix = f"{error.subject}: " if isinstance(error, errors.OctaviaError) and error.subject else ""
    if isinstance(error, errors.Invalid):
        return prefix + "; ".join(_with_path(kind, v.path, v.message) for v in error.violations)
    if isinstance(error, (errors.Conflict, errors.NotFound)) and error.path:
        return prefix + _with_path(kind, error.path, error.message)
    return str(error)


def _with_path(kind: type, path: errors.Path, text: str) -> str:
    return f"{property_names.pulumi_path(kind, path)}: {text}" if path else text


def _details(error: InitFailed) -> bytes:
    """``google.rpc.Status`` with an ``ErrorResourceInitFailed`` (pulumi: proto/pulumi/provider.proto)."""
    detail = AnyMessage()
    detail.Pack(
        proto.stub("provider_pb2").ErrorResourceInitFailed(
            id=error.id,
            properties=values.encode(error.properties),
            inputs=values.encode(error.inputs),
            reasons=[terminal.escape_text(reason) for reason in error.reasons],
        )
    )
    status = proto.stub("status_pb2").Status(
        code=grpc.StatusCode.UNKNOWN.value[0], message=terminal.escape_text("; ".join(error.reasons)), details=[detail]
    )
    return bytes(status.SerializeToString())
