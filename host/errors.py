"""Every error that trimtab raises on purpose, split by who must act.

::

    TrimtabError
     +-- ConfigurationError    the operator: the configuration is wrong (exit code 2)
     +-- UsageError            the operator: a command or request is wrong (exit code 2)
     +-- StateError            the operator: the state folder cannot be used
     +-- PluginError           the plugin's author: a plugin cannot be loaded
     +-- ScriptError           the script's author: code that fails, with the place in the source
     +-- ExpressionError       the expression's author: text that is refused, with its place
     +-- EvaluationError       the expression's author: values of an event that an expression cannot work with
     +-- MissingField          the expression's author: a field that an event lacks
     +-- ChangeRefused         the change's author: a change set that was not committed
     +-- CodecError            the event's sender: bytes that are not valid in the codec
     +-- OutsideError          an outside system
     |    +-- SourceError
     |    +-- SinkError
     |    +-- CallError       a script's call of an outside system; scripts can catch it
     +-- LaneDied              us: a lane process ended with work in hand
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One problem of a configuration: where it is, what was expected, what came."""

    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}"


class Fault(msgspec.Struct, frozen=True):
    """What went wrong in user code, as plain data that crosses process boundaries.

    ``name`` is the kind of error (``TypeError``, ``SyntaxError``, ``TimeLimitExceeded``, ...); ``file``,
    ``line`` and ``column`` (both from 1) name the place in the user's own source, where one is known.
    """

    name: str
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        text = f"{self.name}: {self.message}" if self.message else self.name
        return f"{place}: {text}" if place else text


class TrimtabError(Exception):
    """Base of all errors that trimtab raises on purpose. ``exit_code`` is what the command line exits with."""

    exit_code = 1


class ConfigurationError(TrimtabError):
    """The configuration is wrong. ``problems`` lists everything that is wrong with it, not only the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class UsageError(TrimtabError):
    """A command or a request is wrong: an unknown name, a version that does not exist, ..."""

    exit_code = 2


class StateError(TrimtabError):
    """The state folder cannot be used: not writable, held by another host, written by a newer version, ..."""


class PluginError(TrimtabError):
    """A plugin cannot be loaded, or adds a name that is already taken."""


class ScriptError(TrimtabError):
    """User code failed while it was loaded, opened, run or closed. ``fault`` says how and where."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class ChangeRefused(TrimtabError):
    """A change set was refused; the running generation stays. ``faults`` says why, by artifact name."""

    def __init__(self, faults: dict[str, Fault]) -> None:
        super().__init__("; ".join(f"{name}: {fault}" for name, fault in faults.items()))
        self.faults = dict(faults)


class CodecError(TrimtabError):
    """Bytes are not valid in a source's codec."""


class OutsideError(TrimtabError):
    """An outside system failed. ``retryable``: the same call may succeed later."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class SourceError(OutsideError):
    """A source cannot be read."""


class SinkError(OutsideError):
    """A sink cannot be written."""


class CallError(OutsideError):
    """A call of a script to an outside system failed. Scripts can catch it; no driver's error gets past it.

    ``name`` is what scripts see as the error's name, the same in every language and binding:
    ``ConnectionError`` (refused, reset, cannot be resolved), ``TimeoutError``, ``PolicyError`` (the configuration
    does not allow it), else that of the binding (``SqlError``, ``RedisError``, ...): the other side answered with an
    error.
    ``code``: the other side's own, where it gives one (an SQLSTATE, ``WRONGTYPE``, 11000, ...).
    """

    def __init__(self, name: str, message: str, *, code: str | int | None = None, retryable: bool = False) -> None:
        super().__init__(message, retryable=retryable)
        self.name = name
        self.message = message
        self.code = code


class LaneDied(TrimtabError):
    """A lane process ended with work in hand."""
