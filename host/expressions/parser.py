"""From the text of an expression to its tree."""

from __future__ import annotations

import math
import re
from functools import cache

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from trimtab.expressions.errors import ExpressionError
from trimtab.expressions.tree import (
    Binary,
    Call,
    Comparison,
    Conditional,
    Field,
    Literal,
    Logical,
    Match,
    Node,
    Unary,
    subscript,
    walk,
)

MAX_LENGTH = 10_000
"""Characters that an expression may have."""
MAX_DEPTH = 100
"""Levels of an expression's tree. ``a + b + c`` has one more than ``a + b``; ``a && b && c`` and ``((a))`` have not."""

_MAX_DIGITS = 400
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"} | {sign: sign for sign in "\\'\"#/"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_INTERPOLATION = re.compile(r"(?<!\\)#\{")
_HINTS = {"=": "==", "&": "&&", "|": "||", "and": "&&", "or": "||", "not": "!", "in": "include(list, value)"}
_CLOSING = {"RPAR": "')'", "RSQB": "']'", "COLON": "':'"}


def parse(source: str) -> Node:
    """Return the tree of an expression. Raises :class:`ExpressionError` with the place of the mistake."""
    if len(source) > MAX_LENGTH:
        message = f"expected at most {MAX_LENGTH} characters, got {len(source)}; split the expression"
        raise ExpressionError(message, source, 0)
    try:
        # The builder is the parser's transformer: what comes back is a node, not a lark tree.
        node: Node = _parser().parse(source)  # type: ignore[assignment]
    except UnexpectedInput as error:
        raise _syntax_error(error, source) from None
    except _Mistake as mistake:
        raise ExpressionError(mistake.message, source, mistake.offset) from None
    depth = max(level + (len(part.path) - 1 if isinstance(part, Field) else 0) for part, level in walk(node))
    if depth > MAX_DEPTH:
        message = f"expected at most {MAX_DEPTH} levels of nesting, got {depth}; split the expression"
        raise ExpressionError(message, source, 0)
    return node


@cache
def _parser() -> Lark:
    return Lark.open(
        "expression.lark",
        rel_to=__file__,
        parser="lalr",
        maybe_placeholders=False,
        transformer=_Builder(),
    )


class _Mistake(Exception):
    """Something that the grammar takes and the language does not."""

    def __init__(self, message: str, offset: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset or 0


@v_args(inline=True)
class _Builder(Transformer[Token, Node]):
    """Builds a node when the parser has seen a whole rule, from inside to outside."""

    def number(self, token: Token) -> Node:
        if len(token) > _MAX_DIGITS:
            raise _Mistake(f"expected a number of at most {_MAX_DIGITS} digits, got {len(token)}", token.start_pos)
        if token.isdigit():
            return Literal(int(token))
        value = float(token)
        if not math.isfinite(value):
            raise _Mistake(f"expected a number below 1.8e308, got {token}", token.start_pos)
        return Literal(value)

    def string(self, token: Token) -> Node:
        if _INTERPOLATION.search(token):
            raise _Mistake(
                "expected a plain string, got '#{'; use + to join strings, \\# for a plain #", token.start_pos
            )
        return Literal(_ESCAPE.sub(lambda found: _unescape(found, token), token[1:-1]))

    def true(self, _token: Token) -> Node:
        return Literal(True)

    def false(self, _token: Token) -> Node:
        return Literal(False)

    def nil(self, _token: Token) -> Node:
        return Literal(None)

    def group(self, _bracket: Token, node: Node) -> Node:
        return node

    def name(self, token: Token) -> Node:
        return Field((str(token),), token.start_pos or 0)

    def member(self, target: Node, token: Token) -> Node:
        return subscript(target, Literal(str(token)))

    def subscript(self, target: Node, index: Node) -> Node:
        return subscript(target, index)

    def call(self, target: Node, bracket: Token, *arguments: Node) -> Node:
        if not isinstance(target, Field):
            raise _Mistake("expected the name of a function before '('", bracket.start_pos)
        return Call(".".join(str(part) for part in target.path), arguments, target.start)

    def prefix(self, operator: Token, operand: Node) -> Node:
        if operator == "-" and isinstance(operand, Literal) and type(operand.value) in (int, float):
            return Literal(-operand.value)
        return Unary(str(operator), operand)

    def binary(self, left: Node, operator: Token, right: Node) -> Node:
        return Binary(str(operator), left, right)

    def comparison(self, left: Node, operator: Token, right: Node) -> Node:
        return Comparison(str(operator), left, right)

    def match(self, subject: Node, operator: Token, pattern: Node | Token) -> Node:
        if isinstance(pattern, Token):
            return Match(subject, Literal(pattern[1:-1]), pattern.start_pos or 0)
        return Match(subject, pattern, operator.end_pos or 0)

    def disjunction(self, *operands: Node) -> Node:
        return Logical("||", operands)

    def conjunction(self, *operands: Node) -> Node:
        return Logical("&&", operands)

    def conditional(self, condition: Node, then: Node, otherwise: Node) -> Node:
        return Conditional(condition, then, otherwise)


def _unescape(found: re.Match[str], token: Token) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    if found[2] not in _ESCAPES:
        message = f"expected an escape such as \\n, \\t, \\\\ or \\u0041, got {found[0]}; a backslash is written \\\\"
        raise _Mistake(message, (token.start_pos or 0) + 1 + found.start())
    return _ESCAPES[found[2]]


def _syntax_error(error: UnexpectedInput, source: str) -> ExpressionError:
    if isinstance(error, UnexpectedToken):
        wanted, got = _wanted(error.accepts or error.expected), str(error.token)
        offset = len(source) if error.token.type == "$END" else error.token.start_pos or 0
    elif isinstance(error, UnexpectedCharacters):
        offset = error.pos_in_stream or 0
        wanted, got = _wanted((error.allowed or set()) - _CLOSING.keys()), source[offset]
    else:
        wanted, got, offset = "an expression", "", len(source)
    if got in ("'", '"') or (got == "/" and source[:offset].rstrip().endswith("=~")):
        return ExpressionError(f"expected a closing {got}, got the end of the expression", source, offset)
    came = f"'{got}'" if got else "the end of the expression" if source.strip() else "nothing"
    hint = f"; use {_HINTS[got]}" if got in _HINTS else ""
    return ExpressionError(f"expected {wanted}, got {came}{hint}", source, offset)


def _wanted(terminals: set[str]) -> str:
    """Say in the reader's words what could have come: ``terminals`` are the grammar's names."""
    if "NUMBER" in terminals:
        return "a value"
    if terminals == {"NAME"}:
        return "a name"
    closing = [text for name, text in _CLOSING.items() if name in terminals]
    return " or ".join(["an operator", *closing])
