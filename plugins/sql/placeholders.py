"""Finds the placeholders of a statement: ``?`` and ``:name``, but not in text, names and comments. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

_COMMENT_EDGE = re.compile(r"/\*|\*/")


class Kind(Enum):
    """What a piece of a statement is."""

    TEXT = auto()
    """To be sent as it stands."""
    POSITION = auto()
    """``?``"""
    NAME = auto()
    """``:name``"""
    QUESTION = auto()
    """``??``: the operator ``?`` of PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a statement; ``text`` is the name alone for :attr:`Kind.NAME`."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a database writes what may hold a ``?`` or ``:`` that is no placeholder."""

    backslash: bool = False
    """A backslash escapes in text, and text may stand in double quotes (MySQL)."""
    hash_comments: bool = False
    """``#`` begins a comment; ``--`` does only with a space behind it (MySQL)."""
    dollar_quotes: bool = False
    """Text may stand in ``$tag$``, and a backslash escapes in ``E'...'`` (PostgreSQL)."""
    nested_comments: bool = False
    """Comments in ``/* */`` nest (PostgreSQL, SQL Server)."""
    brackets: bool = False
    """Names may stand in brackets (SQL Server, SQLite)."""


STANDARD = Syntax()
POSTGRESQL = Syntax(dollar_quotes=True, nested_comments=True)
MYSQL = Syntax(backslash=True, hash_comments=True)
SQLITE = Syntax(brackets=True)
SQLSERVER = Syntax(brackets=True, nested_comments=True)


class Parser:
    """Takes statements of one syntax apart."""

    def __init__(self, syntax: Syntax) -> None:
        self._nested = syntax.nested_comments
        self._next = re.compile("|".join(_patterns(syntax)), re.DOTALL)

    def parse(self, statement: str) -> list[Piece]:
        """Return the pieces in order. Never fails: what is wrong with a statement, the database says better."""
        pieces: list[Piece] = []
        start = at = 0
        while found := self._next.search(statement, at):
            at = found.end()
            piece = _placeholder(found)
            if piece is not None:
                _add_text(pieces, statement[start : found.start()])
                pieces.append(piece)
                start = at
            elif found.lastgroup == "comment":
                at = self._comment_end(statement, at)
        _add_text(pieces, statement[start:])
        return pieces

    def _comment_end(self, statement: str, at: int) -> int:
        depth = 1
        while edge := _COMMENT_EDGE.search(statement, at):
            at = edge.end()
            if edge[0] == "*/":
                depth -= 1
            elif self._nested:
                depth += 1
            if depth == 0:
                return at
        return len(statement)


def _patterns(syntax: Syntax) -> list[str]:
    """Return patterns of what matters, in the order in which they are tried. A quote that is left open ends nowhere."""
    escape = r"|\\." if syntax.backslash else ""
    plain = r"\\" if syntax.backslash else ""
    patterns = [
        rf"'(?:[^'{plain}]{escape}|'')*+(?:'|\Z)",
        rf'"(?:[^"{plain}]{escape}|"")*+(?:"|\Z)',
        r"`[^`]*+(?:`|\Z)",
        r"(?P<comment>/\*)",
        r"::|:=",
        r"(?P<question>\?\?)",
        r"(?P<position>\?)",
        r"(?<!\w):(?P<name>[^\W\d]\w*)",
    ]
    patterns.append(r"--(?=\s|\Z)[^\n]*+|#[^\n]*+" if syntax.hash_comments else r"--[^\n]*+")
    if syntax.brackets:
        patterns.append(r"\[[^\]]*+(?:\]|\Z)")
    if syntax.dollar_quotes:
        escaped = r"(?<!\w)[eE]'(?:[^'\\]|\\.|'')*+(?:'|\Z)"
        patterns = [escaped, r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)", *patterns]
    return patterns


def _placeholder(found: re.Match[str]) -> Piece | None:
    match found.lastgroup:
        case "question":
            return Piece(Kind.QUESTION, "??")
        case "position":
            return Piece(Kind.POSITION, "?")
        case "name":
            return Piece(Kind.NAME, found["name"])
    return None


def _add_text(pieces: list[Piece], text: str) -> None:
    if text:
        pieces.append(Piece(Kind.TEXT, text))
