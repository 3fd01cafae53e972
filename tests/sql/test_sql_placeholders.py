"""Placeholders are found where they are meant, in every syntax."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plugins.sql.placeholders import MYSQL, POSTGRESQL, SQLITE, SQLSERVER, STANDARD, Kind, Parser, Syntax
from trimtab.plugins.sql.statements import Binder

SYNTAXES = {"standard": STANDARD, "postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE, "sqlserver": SQLSERVER}


def found(statement: str, syntax: Syntax = STANDARD) -> list[str]:
    """The placeholders of a statement."""
    return [piece.text for piece in Parser(syntax).parse(statement) if piece.kind is not Kind.TEXT]


@pytest.mark.parametrize(
    ("syntax", "statement", "placeholders"),
    [
        ("standard", "a = ? and b=:b_1,:ü", ["?", "b_1", "ü"]),
        ("standard", "'? :a' ? 'it''s ?' ?", ["?", "?"]),
        ("standard", r"'\' ? '\'", ["?"]),
        ("standard", '"a?:b""?" :c', ["c"]),
        ("standard", "-- ? :a\n?", ["?"]),
        ("standard", "/* ? /* :a */ :b", ["b"]),
        ("standard", "x::int, :y::text, 12:30", ["y"]),
        ("standard", "'open ? :a", []),
        ("standard", "/* open ?", []),
        ("standard", "a ?? b", ["??"]),
        ("standard", "# ?", ["?"]),
        ("standard", "$$ ? $$", ["?"]),
        ("postgresql", "$$ ? ' $$ ? $tag$ $$ :a $tag$ :b", ["?", "b"]),
        ("postgresql", "a$$ ? $$", ["?"]),
        ("postgresql", r"E'\' ? ' e'\'' ? e'\\' ?", ["?", "?"]),
        ("postgresql", r"note'\' ?", ["?"]),
        ("postgresql", "/* /* ? */ ? */ ?", ["?"]),
        ("postgresql", "tags[1:n] @> array[:tags] and data ?? 'a' and data ??| array['b']", ["tags", "??", "??"]),
        ("mysql", r"'\'?' ? \"\\\" ?\" ?".replace('\\"', '"'), ["?", "?"]),
        ("mysql", "`a?` ? # ?\n ? -- ?\n ? 5--?", ["?", "?", "?", "?"]),
        ("mysql", "@a := :a", ["a"]),
        ("sqlite", "[a ? :b] :c", ["c"]),
        ("sqlserver", "[a ? :b] :c /* /* */ ? */ :d", ["c", "d"]),
    ],
)
def test_placeholders_are_told_from_text(syntax: str, statement: str, placeholders: list[str]) -> None:
    assert found(statement, SYNTAXES[syntax]) == placeholders


QUIET = {
    "standard": ["'{}'", '"{}"', "/*{}*/", "--{}\n"],
    "postgresql": ["'{}'", '"{}"', "/*{}*/", "--{}\n", "$${}$$", "$x${}$x$", "E'{}'", "/*/*{}*/*/"],
    "mysql": ["'{}'", '"{}"', "`{}`", "/*{}*/", "-- {}\n", "#{}\n"],
    "sqlite": ["'{}'", '"{}"', "[{}]", "/*{}*/", "--{}\n"],
    "sqlserver": ["'{}'", '"{}"', "[{}]", "/*{}*/", "--{}\n"],
}
INSIDE = st.text(st.sampled_from("?:abx %\u00fc()=;"), max_size=12)


@st.composite
def statements(draw: st.DrawFn) -> tuple[str, str, list[str]]:
    """A syntax, a statement in it and its placeholders."""
    syntax = draw(st.sampled_from(sorted(SYNTAXES)))
    parts: list[str] = []
    placeholders: list[str] = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["quiet", "position", "name", "text"]))
        if kind == "quiet":
            parts.append(draw(st.sampled_from(QUIET[syntax])).format(draw(INSIDE)))
        elif kind == "position":
            parts.append("?")
            placeholders.append("?")
        elif kind == "name":
            name = draw(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True))
            parts.append(f":{name}")
            placeholders.append(name)
        else:
            parts.append(draw(st.sampled_from(["select", "a::int", "<=", "(", ")", ",", "5", "x.y"])))
    return syntax, " ".join(parts), placeholders


@given(statements())
def test_quotes_and_comments_hide_what_they_hold(made: tuple[str, str, list[str]]) -> None:
    syntax, statement, placeholders = made
    assert found(statement, SYNTAXES[syntax]) == placeholders


@given(st.sampled_from(sorted(SYNTAXES)), st.text(st.sampled_from("?:a'\"`[]$/*-#\\\nE %"), max_size=60))
def test_the_pieces_make_up_the_statement_again(syntax: str, statement: str) -> None:
    pieces = Parser(SYNTAXES[syntax]).parse(statement)
    assert "".join(f":{piece.text}" if piece.kind is Kind.NAME else piece.text for piece in pieces) == statement


@given(st.lists(st.integers() | st.text() | st.none(), max_size=6), st.sampled_from(["qmark", "format", "named"]))
def test_values_are_bound_in_their_order(values: list[int | str | None], style: str) -> None:
    bound = Binder(STANDARD, style).bind(" ".join(["%?"] * len(values)), values)
    given_values = list(bound.values.values()) if isinstance(bound.values, dict) else list(bound.values)
    assert given_values == values
    marks = {"qmark": "%?", "format": "%%%s"}.get(style)
    assert bound.sql == " ".join([marks] * len(values) if marks else [f"%:p{n + 1}" for n in range(len(values))])


def test_a_name_may_stand_in_several_places() -> None:
    bound = Binder(STANDARD, "qmark").bind(":a :b :a", {"a": 1, "b": [2, 3]})
    assert (bound.sql, bound.values) == ("? ?, ? ?", (1, 2, 3, 1))


def test_the_operator_is_written_as_the_driver_wants_it() -> None:
    assert Binder(POSTGRESQL, "format").bind("a ?? ?", [1]).sql == "a ? %s"
    assert Binder(POSTGRESQL, "qmark", question="??").bind("a ?? ?", [1]).sql == "a ?? ?"


def test_sets_of_values_must_have_one_form() -> None:
    with pytest.raises(ValueError, match="one form"):
        Binder(STANDARD, "qmark").bind_many("in (?)", [[[1]], [[1, 2]]])


def test_a_value_that_no_database_holds_is_refused() -> None:
    with pytest.raises(TypeError, match="got set"):
        Binder(STANDARD, "qmark").bind("?", [{1}])
