"""What scripts may reach of a script object, and how the arguments that they write become Python's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

from trimtab.api import Pages, ScriptObject
from trimtab.artifacts.names import nearest
from trimtab.engine.objects import camel_case

CALL = "__call__"
"""The method that makes an object callable."""
_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a class of script objects."""

    shown: str
    """Its name as scripts write it."""
    attribute: str
    """Its name in Python."""
    places: tuple[str, ...]
    """Parameters that are given by their place, as scripts would name them."""
    required: int
    """How many of these there must be."""
    unbounded: bool
    """More may follow; then there are no options."""
    options: Mapping[str, str]
    """Parameters that are given by name, in one object after the others: each as scripts would write it, and Python's
    name."""

    @classmethod
    def of(cls, owner: ScriptObject, attribute: str, shown: str) -> Method:
        """Look at the signature of a method."""
        parameters = signature(getattr(owner, attribute)).parameters.values()
        places = [parameter for parameter in parameters if parameter.kind in _BY_PLACE]
        unbounded = any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters)
        named = [parameter.name for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
        return cls(
            shown,
            attribute,
            tuple(camel_case(parameter.name) for parameter in places),
            sum(parameter.default is Parameter.empty for parameter in places),
            unbounded,
            {} if unbounded else {camel_case(name): name for name in named},
        )

    def call(self, owner: ScriptObject, values: list[Any]) -> Any:
        """Call the method with what a script wrote. Raises ``TypeError`` where that does not fit."""
        method = getattr(owner, self.attribute)
        count, places = len(values), len(self.places)
        if self.required <= count <= places or (self.unbounded and count >= self.required):
            return method(*values)
        if self.options and count == places + 1:
            return method(*values[:-1], **self._named(values[-1]))
        raise TypeError(self._expected(count))

    def _named(self, given: Any) -> dict[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, dict):
            expected = f"an object with options ({', '.join(self.options)}) as argument {len(self.places) + 1}"
            raise TypeError(f"{self.shown}: expected {expected}, got {type(given).__name__}")
        return {self._option(name): value for name, value in given.items()}

    def _option(self, name: str) -> str:
        if name in self.options:
            return self.options[name]
        if name in self.options.values():
            return name
        hint = nearest(name, self.options)
        message = f"{self.shown}: expected options among {', '.join(self.options)}, got {name!r}"
        raise TypeError(f"{message}; did you mean {hint!r}?" if hint else message)

    def _expected(self, count: int) -> str:
        names = [*self.places, "options"] if self.options else self.places
        most = len(names)
        if self.unbounded:
            number = f"at least {self.required}"
        else:
            number = f"{most or 'no'}" if self.required == most else f"{self.required} to {most}"
        word = "argument" if number.endswith("1") else "arguments"
        listed = f" ({', '.join(names)})" if names else ""
        return f"{self.shown}: expected {number} {word}{listed}, got {count}"


@dataclass(frozen=True, slots=True)
class Shape:
    """What is the same for all objects of one class."""

    number: int
    methods: Mapping[bytes, Method]
    """By name as scripts write it, in JSON; of a method that takes a function, the one that makes its scope."""
    description: Mapping[str, Any]
    """What objects.js has to know."""

    @classmethod
    def of(cls, owner: ScriptObject, number: int) -> Shape:
        """Look at the class of an object."""
        pages = isinstance(owner, Pages)
        plain = owner.methods - (Pages.methods if pages else frozenset())  # JavaScript has its own of these
        attributes = {name: name for name in sorted(plain)} | dict(owner.scopes)
        methods = {
            _quoted(CALL if name == CALL else camel_case(name)): Method.of(owner, attribute, _shown(name))
            for name, attribute in attributes.items()
        }
        description = {
            "methods": [_shown(name) for name in sorted(plain - {CALL})],
            "callable": CALL in plain,
            "scopes": [_shown(name) for name in owner.scopes],
            "fields": [camel_case(name) for name in owner.fields],
            "pages": pages,
            "any": owner.any_method,
        }
        return cls(number, methods, description)


def _quoted(name: str) -> bytes:
    return f'"{name}"'.encode()


def _shown(name: str) -> str:
    return "the call" if name == CALL else camel_case(name)
