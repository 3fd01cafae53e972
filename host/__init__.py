"""What scripts import: ``from trimtab import emit, handler, settings, log``, and the bindings.

Inside a running script these names are bound to that script by the host. Outside (an editor, a type checker, a
test that imports the script) :func:`handler` works as it does inside, and the others say that they need a host.
"""

from __future__ import annotations

from trimtab.errors import CallError
from trimtab.scripting import Context, emit, handler, http, log, mongo, redis, settings, sql, state, timer

__all__ = [
    "CallError",
    "Context",
    "emit",
    "handler",
    "http",
    "log",
    "mongo",
    "redis",
    "settings",
    "sql",
    "state",
    "timer",
]
__version__ = "0.1.0"
