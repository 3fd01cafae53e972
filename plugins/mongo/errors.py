"""The driver's errors as what scripts can catch. Nothing of the driver's gets past it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    CursorNotFound,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.topology_description import TopologyDescription

from trimtab.api import CallError

_AUTHENTICATION_FAILED = 18
_LABELS = ("RetryableWriteError", "TransientTransactionError")
_CONFIGURED = re.compile(r"\s*\(configured timeouts:[^)]*\)")
_DONE = {"nInserted": "inserted", "nMatched": "matched", "nUpserted": "upserted", "nRemoved": "deleted"}
_LONGEST = 300
"""Characters of the driver's words that a message shows."""


def call_error(error: PyMongoError, resource: str, timeout: float, servers: TopologyDescription) -> CallError:
    """Return what a script gets for an error of the driver's.

    ``resource``: full name, such as ``mongo.logs``. ``timeout``: of a call, in seconds. ``servers``: as last seen.
    """
    if isinstance(error, ServerSelectionTimeoutError):
        return _no_server(resource, timeout, servers)
    if error.timeout:
        return CallError(
            "TimeoutError", f"{resource}: expected an answer within {timeout:g} s, got none", retryable=True
        )
    if isinstance(error, OperationFailure | NotPrimaryError):
        return _refused(error, resource)
    if isinstance(error, ConnectionFailure | ConfigurationError | InvalidOperation):
        # Those who misuse the driver are told before it is called. What is left: names that cannot be resolved, and
        # cursors whose connections were closed.
        return CallError("ConnectionError", f"{resource}: expected an answer, got {_words(error)}", retryable=True)
    return CallError("MongoError", f"{resource}: expected success, got {_words(error)}")


def _no_server(resource: str, timeout: float, servers: TopologyDescription) -> CallError:
    """No server could be reached at all: say what came of each."""
    descriptions = servers.server_descriptions()
    failed = {address: server.error for address, server in descriptions.items() if server.error}
    refused = {address: error for address, error in failed.items() if not isinstance(error, NetworkTimeout)}
    if refused:
        came = "; ".join(sorted({_words(error) for error in refused.values()}))
        hint = "; is the server running, and `url` right?"
        return CallError("ConnectionError", f"{resource}: expected a connection, got {came}{hint}", retryable=True)
    hosts = ", ".join(f"{host}:{port}" for host, port in sorted(descriptions))
    message = f"{resource}: expected a server that takes the call within {timeout:g} s, got none of {hosts}"
    return CallError("TimeoutError", message, retryable=True)


def _refused(error: OperationFailure | NotPrimaryError, resource: str) -> CallError:
    """The server has answered with an error."""
    details = error.details if isinstance(error.details, Mapping) else {}
    code = details.get("code", getattr(error, "code", None))
    labelled = any(error.has_error_label(label) for label in _LABELS)
    retryable = labelled or isinstance(error, NotPrimaryError | CursorNotFound)
    if code == _AUTHENTICATION_FAILED:
        message = f"{resource}: expected to log in, got {_words(error)}; check `user`, `password` and `authSource`"
        return CallError("AuthenticationError", message, code=code)
    if isinstance(error, BulkWriteError):
        return _partly(error.details, resource, retryable=retryable)
    return CallError("MongoError", f"{resource}: expected success, got {_words(error)}", code=code, retryable=retryable)


def _partly(details: Mapping[str, Any], resource: str, *, retryable: bool) -> CallError:
    """Some of many writes have failed: name the first, and say how many were done."""
    failures = details["writeErrors"] or details["writeConcernErrors"]
    done = ", ".join(f"{details[name]} {word}" for name, word in _DONE.items() if details[name]) or "none"
    place = f"operation {failures[0]['index'] + 1}" if "index" in failures[0] else "an operation"
    message = (
        f"{resource}: expected every write to succeed, got {len(failures)} that failed, "
        f"the first in {place}: {failures[0]['errmsg'][:_LONGEST]}; done: {done}"
    )
    return CallError("MongoError", message, code=failures[0].get("code"), retryable=retryable)


def _words(error: BaseException) -> str:
    details = getattr(error, "details", None)
    text = details.get("errmsg") if isinstance(details, Mapping) else None
    return _CONFIGURED.sub("", str(text or error)).strip()[:_LONGEST]
