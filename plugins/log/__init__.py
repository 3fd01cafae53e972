"""The binding ``log``: what scripts write to the host's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.api import Binding, LogEntry, Script, ScriptHost, ScriptObject, hookimpl


class ScriptLog(ScriptObject):
    """``log`` of one version of one script. Fields come as keywords (Python) or as one object (JavaScript)."""

    methods = frozenset({"info", "warn", "error"})

    def __init__(self, script: Script, host: ScriptHost) -> None:
        self._script = script
        self._log = host.log

    def info(self, message: Any, fields: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Log what is good to know."""
        self._write("info", message, fields, more)

    def warn(self, message: Any, fields: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Log what somebody should look at."""
        self._write("warn", message, fields, more)

    def error(self, message: Any, fields: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Log what went wrong."""
        self._write("error", message, fields, more)

    def _write(self, level: str, message: Any, fields: Mapping[str, Any] | None, more: dict[str, Any]) -> None:
        if not isinstance(fields, Mapping | None):
            raise TypeError(f"expected the fields of log.{level} as an object, got {type(fields).__name__}; name them")
        text, plain = _plain((message if isinstance(message, str) else str(message), {**(fields or {}), **more}))
        self._log(LogEntry(level, self._script.name, self._script.version, text, plain))


def _plain(value: Any) -> Any:
    """Return a copy as plain JSON values, so that it can be sent: a log call must not fail for what it logs."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=repr))


class LogBinding(Binding):
    """Gives scripts ``log.info``, ``log.warn`` and ``log.error``."""

    name = "log"

    def bind(self, script: Script, host: ScriptHost) -> ScriptLog:
        """See :class:`Binding`."""
        return ScriptLog(script, host)


@hookimpl
def trimtab_bindings() -> list[Binding]:
    """Add ``log``."""
    return [LogBinding()]
