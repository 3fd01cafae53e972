"""Errors of the driver, as what trimtab's own errors say."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redis import exceptions
from redis.sentinel import MasterNotFoundError

_CODES: dict[type[Exception], str] = {
    exceptions.NoScriptError: "NOSCRIPT",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ExecAbortError: "EXECABORT",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.SlotNotCoveredError: "CLUSTERDOWN",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.ClusterCrossSlotError: "CROSSSLOT",
    exceptions.CrossSlotTransactionError: "CROSSSLOT",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.AskError: "TRYAGAIN",  # redirected more often than the driver follows: the cluster is being changed
    exceptions.ClusterError: "TRYAGAIN",
}
"""The driver cuts the code off messages for which it has a class. The first class that fits counts."""

_PASSING = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "BUSY", "NOREPLICAS"})
"""Codes of states that end by themselves."""

_IN_PIPELINE = re.compile(r"Command # (\d+) \(.*\) of pipeline caused error: ", re.DOTALL)
"""How the driver tells which command of a transaction was refused, and with it all others."""

_LOGIN = frozenset({"NOAUTH", "WRONGPASS"})
_CODE = re.compile(r"[A-Z][A-Z0-9]+(?= |$)")

_HINTS = {
    "CROSSSLOT": "; keys of one command or transaction must share a hash tag: {user1}:a, {user1}:b",
    "LOADING": "; the server is reading its data",
    "BUSY": "; a script of the server's runs",
}


DRIVER = (exceptions.RedisError, exceptions.RedisClusterException, OSError, IndexError)
"""What the driver raises for a Redis that does not do as it should; :func:`failure` knows them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What happened. ``name``, ``code`` and ``retryable`` are as in :class:`trimtab.api.CallError`."""

    name: str
    text: str
    code: str | None = None
    retryable: bool = False


def failure(error: Exception) -> Failure:
    """Tell what an error of the driver, or of the system below it, means."""
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthenticationWrongNumberOfArgsError):
        return Failure(
            "AuthenticationError", f"{error}; see `user` and `password`", getattr(error, "status_code", None)
        )
    if isinstance(error, IndexError):  # the driver takes for granted that there is a node
        return Failure("RedisError", "no node that serves slots", "CLUSTERDOWN", retryable=True)
    if isinstance(error, MasterNotFoundError):  # it names its reasons in words alone
        name = "TimeoutError" if str(error).endswith("TimeoutError") else "ConnectionError"
        return Failure(name, "no Sentinel that knows the master", retryable=True)
    code = _code(error)
    if code in _LOGIN:
        return Failure("AuthenticationError", f"{error}; see `user` and `password`", code)
    if isinstance(error, exceptions.ConnectionError | OSError) and code is None:
        return Failure("ConnectionError", _text(error), retryable=True)
    if isinstance(error, exceptions.TimeoutError):
        return Failure("TimeoutError", "no answer in time", retryable=True)
    if isinstance(error, exceptions.RedisClusterException) and code is None:
        return _no_cluster(error)
    return Failure("RedisError", f"{_text(error)}{_HINTS.get(code or '', '')}", code or "ERR", code in _PASSING)


def _no_cluster(error: exceptions.RedisClusterException) -> Failure:
    """No node of the cluster would tell how it is laid out; the cause says why the last one would not."""
    cause = error.__cause__
    if isinstance(cause, exceptions.RedisError | OSError):
        return failure(cause)
    if cause is None:
        return Failure("RedisError", _text(error), "ERR")
    return Failure("ConnectionError", f"{cause}; for one server that is no cluster use redis://")


def _code(error: Exception) -> str | None:
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    if isinstance(error, exceptions.ResponseError) and (found := _CODE.match(_IN_PIPELINE.sub("", str(error)))):
        return found[0]
    return None


def _text(error: Exception) -> str:
    """The first line; the rest is advice for users of the driver."""
    line = _IN_PIPELINE.sub(r"for command \1 of it: ", str(error)).strip().partition("\n")[0]
    return line.rstrip(".")
