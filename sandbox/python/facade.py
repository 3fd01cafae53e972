"""What a Python script gets when it imports ``trimtab``: the public names, bound to this script."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from types import ModuleType
from typing import Any, ClassVar

import msgspec

import trimtab
from trimtab.engine.batch import Events
from trimtab.engine.run import Hand
from trimtab.engine.script import Script, ScriptHost, Settings
from trimtab.scripting import Context, handler

NEWLINE = ord("\n")
"""As a number: to look for a byte in bytes is ten times as fast as to look for bytes."""

# In msgspec 0.22 it crashes the process when memory runs out inside; encode_into does not, at half the speed. A lane
# that dies is started again, so speed wins.
_encode = msgspec.json.Encoder().encode


class Emitter:
    """``emit`` of one script."""

    __slots__ = ("_hand",)

    def __init__(self, hand: Hand) -> None:
        self._hand = hand

    def emit(self, sink: str, value: Any) -> None:
        """Send a value to a sink; see ``trimtab.emit``."""
        run = self._hand.run or self._hand.current("emit()")
        try:
            line = _encode(value)
        except (TypeError, UnicodeEncodeError) as error:
            raise TypeError(f"expected a value that JSON can hold, got one it cannot: {error}") from None
        if NEWLINE in line:
            raise TypeError("expected a value that JSON can hold, got msgspec.Raw with a newline")
        run.emit(sink, line)


class SettingsView:
    """``settings`` of a script: it can look, and what it gets is its own."""

    __slots__ = ("_settings",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at a dotted path, or ``default`` where there is none."""
        value = self._settings.get(path, default)
        return deepcopy(value) if isinstance(value, dict | list) and value is not default else value


class EventContext(msgspec.Struct, frozen=True, gc=False):
    """``ctx``: one is made for each call of a handler, so it holds next to nothing and looks up what it is asked."""

    _events: Events
    _index: int
    script: ClassVar[str]
    version: ClassVar[str]

    @property
    def id(self) -> str:
        """See ``trimtab.Context``, also for the others."""
        return self._events.id(self._index)

    @property
    def source(self) -> str:
        return self._events.source

    @property
    def key(self) -> Any:
        return self._events.key(self._index)

    @property
    def timestamp(self) -> int:
        return self._events.timestamp(self._index)

    @property
    def generation(self) -> int:
        return self._events.generation

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self._events.parameters(self._index)

    def __repr__(self) -> str:
        return f"Context(id={self.id!r}, script={self.script!r}, version={self.version!r})"


def context_type(script: Script) -> type[EventContext]:
    """Make the type of ``ctx`` for one version of a script."""
    namespace = {"script": script.name, "version": script.version[:12]}
    made = msgspec.defstruct("Context", [], bases=(EventContext,), namespace=namespace, frozen=True, gc=False)
    assert issubclass(made, EventContext)  # noqa: S101 - tells the type checker
    return made


def facade(script: Script, host: ScriptHost) -> ModuleType:
    """Make the module ``trimtab`` of one script. What it lacks comes from the installed package."""
    names = {
        "Context": Context,
        "emit": Emitter(host.hand).emit,
        "handler": handler,
        "settings": SettingsView(host.settings),
        **{binding.name: binding.bind(script, host) for binding in host.bindings},
    }
    module = ModuleType(trimtab.__name__, trimtab.__doc__)
    vars(module).update(names, __all__=sorted(names), __getattr__=partial(getattr, trimtab))
    return module
