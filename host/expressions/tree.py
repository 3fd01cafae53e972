"""The tree of an expression: immutable, comparable, made to be looked at.

``start`` is where the node begins in the source (characters from 0); it does not count when nodes are compared.
Names that are parameters are already replaced by their values in the tree that :attr:`Expression.tree` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias
from typing import Literal as OneOf


@dataclass(frozen=True, slots=True)
class Literal:
    """A value: number, string, boolean, None for ``nil``; a list or a dict where a parameter holds one."""

    value: Any


Kind: TypeAlias = OneOf["number", "string", "boolean"]
"""What can be known of a value before any event was seen."""


class Held(NamedTuple):
    """Events that a partial match holds, in the place of a name: ``which`` (first, last, all) of those of a stage."""

    which: str
    stage: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the event: ``a.b[0]`` is the path ``("a", "b", 0)``. It begins with a name, or with what is held."""

    path: tuple[str | int | Held, ...]
    start: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Index:
    """``target[index]`` that is not a fixed path: the index is computed, or the target is."""

    target: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a built-in function, by its full name."""

    name: str
    arguments: tuple[Node, ...]
    start: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``!`` or ``-`` before an operand. The negative of a number literal is a literal."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """``+ - * / %`` between two operands."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Comparison:
    """``== != < <= > >=`` between two operands."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Match:
    """``subject =~ pattern``. The pattern is a literal string."""

    subject: Node
    pattern: Node
    start: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Logical:
    """``&&`` or ``||`` between two or more operands."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """``condition ? then : otherwise``."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a number or a string that is put in later. Only in trees of :mod:`trimtab.expressions.templates`."""

    number: int
    kind: Kind


Node: TypeAlias = Literal | Slot | Field | Index | Call | Unary | Binary | Comparison | Match | Logical | Conditional


def subscript(target: Node, index: Node) -> Node:
    """Return ``target[index]``: a longer path where the target is a field and the index is fixed."""
    if isinstance(target, Field) and isinstance(index, Literal):
        key = index.value
        if type(key) is str or (type(key) is int and key >= 0):
            return Field((*target.path, key), target.start)
    return Index(target, index)


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below a node, in the order of the source."""
    match node:
        case Literal() | Slot() | Field():
            return ()
        case Index(target, index):
            return (target, index)
        case Call(_, arguments):
            return arguments
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right) | Comparison(_, left, right):
            return (left, right)
        case Match(subject, pattern):
            return (subject, pattern)
        case Logical(_, operands):
            return operands
        case Conditional(condition, then, otherwise):
            return (condition, then, otherwise)


def rebuilt(node: Node, replace: Callable[[Node], Node]) -> Node:
    """Return the node with each of the nodes directly below it replaced."""
    match node:
        case Literal() | Slot() | Field():
            return node
        case Index(target, index):
            return subscript(replace(target), replace(index))
        case Call(name, arguments, start):
            return Call(name, tuple(map(replace, arguments)), start)
        case Unary(operator, operand):
            return Unary(operator, replace(operand))
        case Binary(operator, left, right) | Comparison(operator, left, right):
            return type(node)(operator, replace(left), replace(right))
        case Match(subject, pattern, start):
            return Match(replace(subject), replace(pattern), start)
        case Logical(operator, operands):
            return Logical(operator, tuple(map(replace, operands)))
        case Conditional(condition, then, otherwise):
            return Conditional(replace(condition), replace(then), replace(otherwise))


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Yield a node and all below it, each with its depth (the first has 1), without recursion."""
    waiting = [(node, 1)]
    while waiting:
        current, depth = waiting.pop()
        yield current, depth
        waiting.extend((child, depth + 1) for child in children(current))
