"""What scripts import: ``from trimtab import emit, handler, settings, log``, and the bindings.

Inside a running script these names are bound to that script by the host. Outside (an editor, a type checker, a
test that imports the script) :func:`handler`, ``pattern`` and ``begin`` work as they do inside, and the others say that
they need a host.
"""

from __future__ import annotations

from trimtab.errors import CallError
from trimtab.scripting import (
    Context,
    begin,
    emit,
    handler,
    http,
    log,
    mongo,
    pattern,
    redis,
    settings,
    sql,
    state,
    timer,
)

__all__ = [
    "CallError",
    "Context",
    "begin",
    "emit",
    "handler",
    "http",
    "log",
    "mongo",
    "pattern",
    "redis",
    "settings",
    "sql",
    "state",
    "timer",
]
__version__ = "0.1.0"
