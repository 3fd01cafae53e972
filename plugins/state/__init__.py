"""The bindings ``state`` and ``timer``: what scripts keep from one event of a key to the next."""

from __future__ import annotations

from trimtab.api import Binding, hookimpl
from trimtab.plugins.state.binding import StateBinding
from trimtab.plugins.state.timers import TimerBinding


@hookimpl
def trimtab_bindings() -> list[Binding]:
    """Add ``state`` and ``timer``."""
    return [StateBinding(), TimerBinding()]
