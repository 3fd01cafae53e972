"""What holds for all expressions and all events."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.expressions import EvaluationError, Expression, ExpressionError, MissingField, compile_expression
from trimtab.expressions.functions import FUNCTIONS
from trimtab.expressions.tree import (
    Binary,
    Call,
    Comparison,
    Conditional,
    Field,
    Index,
    Literal,
    Logical,
    Match,
    Node,
    Slot,
    Unary,
)

NAMES = st.sampled_from(["a", "b", "speed", "größe", "$x"])


def printed(node: Node) -> str:
    """Write a tree as an expression, with all brackets."""
    assert not isinstance(node, Slot)
    match node:
        case Literal(value):
            return _literal(value)
        case Field(path):
            return str(path[0]) + "".join(f"[{_literal(part)}]" for part in path[1:])
        case Index(target, index):
            return f"({printed(target)})[{printed(index)}]"
        case Call(name, arguments):
            return f"{name}({', '.join(map(printed, arguments))})"
        case Unary(operator, operand):
            return f"({operator}({printed(operand)}))"
        case Binary(operator, left, right) | Comparison(operator, left, right):
            return f"({printed(left)} {operator} {printed(right)})"
        case Match(subject, pattern):
            return f"({printed(subject)} =~ {printed(pattern)})"
        case Logical(operator, operands):
            return "(" + f" {operator} ".join(map(printed, operands)) + ")"
        case Conditional(condition, then, otherwise):
            return f"({printed(condition)} ? {printed(then)} : {printed(otherwise)})"


def _literal(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("#", "\\#")
        return f"'{escaped}'"
    if value is None or type(value) is bool:
        return "nil" if value is None else str(value).lower()
    return str(value)


def _calls(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    def call(name: str) -> st.SearchStrategy[Node]:
        function = FUNCTIONS[name]
        arguments = st.lists(inner, min_size=function.least, max_size=function.most)
        return arguments.map(lambda nodes: Call(name, tuple(nodes)))

    return st.sampled_from(sorted(set(FUNCTIONS) - {"jsonpath"})).flatmap(call)


def _nodes(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    computed = inner.filter(lambda node: not isinstance(node, Literal))
    pair = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Index, computed.filter(lambda node: not isinstance(node, Field)), inner),
        st.builds(Unary, st.just("!"), inner),
        st.builds(Unary, st.just("-"), computed),
        st.builds(Binary, st.sampled_from("+-*/%"), inner, inner),
        st.builds(Comparison, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner, inner),
        st.builds(Match, inner, st.sampled_from(["a*", "[0-9]+", ""]).map(Literal)),
        st.builds(Logical, st.sampled_from(["&&", "||"]), pair),
        st.builds(Conditional, inner, inner, inner),
        _calls(inner),
    )


LITERALS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.booleans(),
    st.none(),
).map(Literal)
PATHS = st.tuples(NAMES, st.lists(NAMES | st.integers(0, 3), max_size=2)).map(lambda found: (found[0], *found[1]))
TREES: st.SearchStrategy[Node] = st.recursive(LITERALS | st.builds(Field, PATHS), _nodes, max_leaves=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
EVENTS = st.dictionaries(NAMES, JSON, min_size=3) | JSON


@settings(deadline=None)
@given(TREES)
def test_a_printed_tree_is_read_as_itself(tree: Node) -> None:
    assert repr(compile_expression(printed(tree)).tree) == repr(tree)


@settings(deadline=None, max_examples=300)
@given(TREES, st.lists(EVENTS, min_size=1, max_size=4))
def test_an_event_gives_a_value_or_a_declared_error_and_test_agrees(tree: Node, events: list[Any]) -> None:
    expression = compile_expression(printed(tree))
    for event in events:
        errors = expression.errors
        try:
            value = expression.value(event)
        except MissingField:
            assert expression.test(event) is False
            assert expression.errors == errors
        except EvaluationError:
            assert expression.test(event) is False
            assert expression.errors == errors + 1
        else:
            assert expression.test(event) is (value is True)
            assert expression.errors == errors + (type(value) is not bool)


@settings(deadline=None, max_examples=300)
@given(JSON, JSON, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
def test_a_comparison_with_a_literal_is_the_comparison_of_the_fields(left: Any, right: Any, operator: str) -> None:
    event = {"a": left, "b": right}
    fields = compile_expression(f"a {operator} b")
    expected = fields.test(event), fields.errors
    for parameter in ("a", "b"):
        expression = compile_expression(f"a {operator} b", parameters={parameter: event[parameter]})
        assert (expression.test(event), expression.errors) == expected


TEXTS = st.text() | st.lists(
    st.sampled_from(
        [
            *"abc01.()[]?:!+-*/%<>'\"\\ \n#&|=~,",
            "&&",
            "||",
            "==",
            "=~",
            "/a/",
            "nil",
            "true",
            "'x'",
            "count",
            "now",
            "1e9",
        ]
    ),
    max_size=25,
).map("".join)


@settings(deadline=None, max_examples=500)
@given(TEXTS, JSON)
@example("\ud800", None)
@example("'\ud800'", None)
@example("\x00", None)
@example("a[" * 3000, None)
@example("a?" * 4000, None)
@example("f(" * 4000 + ")" * 4000, None)
def test_any_text_is_an_expression_or_refused(text: str, event: Any) -> None:
    compiled = _compiled(text)
    if isinstance(compiled, Expression):
        assert compiled.test(event) in (True, False)
    else:
        assert 1 <= compiled.line <= text.count("\n") + 1
        assert 1 <= compiled.column <= len(text) + 1
        assert compiled.message.startswith("expected ")
        assert str(compiled).encode()


def _compiled(text: str) -> Expression | ExpressionError:
    try:
        return compile_expression(text)
    except ExpressionError as error:
        return error
