"""Calls of scripts to the outside: what is known of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from trimtab.api import Resource
    from trimtab.engine.resources import Resources

Result = TypeVar("Result")


class Call(msgspec.Struct, frozen=True):
    """One call of a script to a resource."""

    script: str
    resource: str
    """``sql.orders``"""
    method: str
    """As scripts in JavaScript write it: ``queryOne``."""
    arguments: tuple[Any, ...] = ()


class CallCount(msgspec.Struct):
    """What one script did with one resource."""

    script: str
    resource: str
    calls: int = 0
    failed: int = 0
    samples: list[int] = msgspec.field(default_factory=list)
    """Nanoseconds that some of the calls took."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls one resource in the name of one script. What a binding hands out holds one."""

    resources: Resources
    script: str
    resource: str
    """``sql.orders``"""
    own: Resource | None = None
    """A resource of the script alone, in place of a declared one."""

    def call(self, method: str, arguments: tuple[Any, ...], work: Callable[[Any], Result], rehearsed: Result) -> Result:
        """Have ``work`` called with the resource, in this thread, whichever it is; timed and counted.

        ``method`` and ``arguments`` are as the script wrote them, for people to see. ``rehearsed``: what the script
        gets where effects are not performed, like an answer of an empty system. Raises what ``work`` raises, and
        :class:`CallError` when the resource is not declared any more.
        """
        return self.resources.call(Call(self.script, self.resource, method, arguments), work, rehearsed, self.own)
