"""From the text of a regular expression to its parts: what an automaton can do, and nothing else."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TypeAlias

MAX_PATTERN = 500
"""Characters that a pattern may have."""

_QUANTIFIER = re.compile(r"([*+?]|\{\d*,?\d*\}(?<!\{\}))(\+?)\??")
_ATOM = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|0[0-7]{0,2}|[^bBAZ1-9])"
    r"|\[\^?\]?(?:[^\]\\]|\\.)*\]"
    r"|[^()|\\]",
    re.DOTALL,
)
_FLAGS = re.compile(r"\(\?[is]+\)")
_OPENING = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
_BEGIN, _END = ("^", r"\A"), ("$", r"\Z")
_ANCHOR = re.compile(r"\^|\$|\\A|\\Z")
_ANY = re.compile("[^\n\r\u0085\u2028\u2029]")


class PatternError(ValueError):
    """The text is no regular expression, or one that could take forever."""


@dataclass(frozen=True, slots=True)
class Atom:
    """One character of those that ``chars`` matches."""

    chars: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The beginning or the end of the string. As patterns match as a whole, it may only stand there."""

    text: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other."""

    items: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several parts."""

    options: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part several times; ``most`` None: without end."""

    body: Part
    least: int
    most: int | None


Part: TypeAlias = Atom | Anchor | Sequence | Choice | Repeat


def read_pattern(pattern: str) -> Part:
    """Return the parts of a pattern. Raises :class:`PatternError` with the reason."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"expected a pattern of at most {MAX_PATTERN} characters, got {len(pattern)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # [a&&b], which Java understands and Python takes for a plain class
            flags = re.compile(pattern, re.ASCII).flags
        part = _Reader(pattern, flags).read()
        _check_anchors(part, first=True, last=True)
    except (re.error, ValueError, OverflowError, RecursionError, Warning) as error:
        raise PatternError(f"expected a regular expression, got /{pattern}/: {error}") from None
    return part


class _Reader:
    """Reads a pattern that ``re`` has already accepted."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._text = pattern
        self._flags = flags
        found = _FLAGS.match(pattern)
        self._at = found.end() if found else 0
        self._atoms: dict[str, Atom] = {}

    def read(self) -> Part:
        """Read up to the end, or to the bracket that closes a group."""
        options = [self._sequence()]
        while self._text.startswith("|", self._at):
            self._at += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Part:
        items = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            items.append(self._repeated(self._single()))
        return Sequence(tuple(items))

    def _repeated(self, body: Part) -> Part:
        found = _QUANTIFIER.match(self._text, self._at)
        if found is None:
            return body
        if found[2]:
            raise PatternError(f"possessive {found[0]} is not supported; use {found[1]}")
        self._at = found.end()
        return Repeat(body, *_times(found[1]))

    def _single(self) -> Part:
        if self._text[self._at] == "(":
            return self._group()
        found = _ANCHOR.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
            return Anchor(found[0])
        found = _ATOM.match(self._text, self._at)
        if found is None:
            raise self._unsupported(r"\b and back references are not supported; use [^a-z] or several =~")
        self._at = found.end()
        return self._atom(found[0])

    def _group(self) -> Part:
        found = _OPENING.match(self._text, self._at)
        if found is None:
            raise self._unsupported(
                "look-around, flags but (?i) (?s) at the start, ... are not supported; use ! and &&"
            )
        self._at = found.end()
        part = self.read()
        self._at += 1  # the closing bracket
        return part

    def _atom(self, text: str) -> Atom:
        if text == "." and not self._flags & re.DOTALL:
            return Atom(_ANY)  # as in Java
        if text not in self._atoms:
            self._atoms[text] = Atom(re.compile(text, self._flags))
        return self._atoms[text]

    def _unsupported(self, reason: str) -> PatternError:
        return PatternError(f"at {self._text[self._at : self._at + 8]!r}: {reason}")


def _times(quantifier: str) -> tuple[int, int | None]:
    match quantifier:
        case "*":
            return 0, None
        case "+":
            return 1, None
        case "?":
            return 0, 1
    least, comma, most = quantifier[1:-1].partition(",")
    if not comma:
        return int(least), int(least)
    return int(least or 0), int(most) if most else None


def _check_anchors(part: Part, *, first: bool, last: bool) -> None:
    match part:
        case Anchor(text):
            if not (first if text in _BEGIN else last):
                raise PatternError(f"{text} can only stand at the {'beginning' if text in _BEGIN else 'end'}")
        case Sequence(items):
            for at, item in enumerate(items):
                leads = all(isinstance(other, Anchor) for other in items[:at])
                trails = all(isinstance(other, Anchor) for other in items[at + 1 :])
                _check_anchors(item, first=first and leads, last=last and trails)
        case Choice(options):
            for option in options:
                _check_anchors(option, first=first, last=last)
        case Repeat(body, _, most):
            _check_anchors(body, first=first and most == 1, last=last and most == 1)
