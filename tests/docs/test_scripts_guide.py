"""The script author's guide: its examples are run, its tables of filters evaluated."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests.docs.documents import GUIDES, sections
from tests.docs.walkthrough import Walkthrough
from trimtab.expressions import compile_expression
from trimtab.expressions.functions import FUNCTIONS
from trimtab.scripting import Context

PAGE = GUIDES / "scripts.md"
NOW = 1_700_000_000_000

_ROW = re.compile(r"^\| `(?P<expression>.+?)` \| `(?P<event>\{.*\})` \| (?P<answer>true|false) \|$", re.MULTILINE)


def filters() -> list[tuple[str, str, bool]]:
    """The rows of the tables of filters."""
    text = sections(PAGE)["Filters: `where`"]
    rows = [
        (row["expression"].replace(r"\|", "|"), row["event"], row["answer"] == "true") for row in _ROW.finditer(text)
    ]
    assert len(rows) == text.count("\n| `"), "a row of a table could not be read"
    return rows


@pytest.mark.timeout(300)
def test_every_example_does_what_the_guide_shows(tmp_path: Path) -> None:
    Walkthrough(tmp_path).follow(PAGE)


@pytest.mark.parametrize(("expression", "event", "answer"), filters())
def test_a_filter_answers_as_the_guide_says(expression: str, event: str, answer: bool) -> None:
    assert compile_expression(expression, now=lambda: NOW).test(msgspec.json.decode(event)) is answer


def test_every_function_of_filters_is_in_the_guide() -> None:
    used = {name for expression, _event, _answer in filters() for name in re.findall(r"[A-Za-z.]+(?=\()", expression)}
    assert {*FUNCTIONS, "now"} <= used


def test_every_name_of_the_context_is_in_the_guide() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", sections(PAGE)["`ctx`"], re.MULTILINE))
    assert named == {name for name, value in vars(Context).items() if isinstance(value, property)}
