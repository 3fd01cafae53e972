"""The guide to pattern rules: its examples are run, and nothing of the formats is missing from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from tests.docs.documents import GUIDES, prose, sections
from tests.docs.walkthrough import Walkthrough
from trimtab.cep import PatternBuilder
from trimtab.cep.rule import FIELDS
from trimtab.cep.steps import What, Why
from trimtab.engine.matches import Match
from trimtab.engine.objects import camel_case

PAGE = GUIDES / "cep.md"


@pytest.mark.timeout(300)
def test_every_example_does_what_the_guide_shows(tmp_path: Path) -> None:
    Walkthrough(tmp_path).follow(PAGE)


def first_column(section: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", sections(PAGE)[section], re.MULTILINE))


def test_every_field_of_a_rules_document_is_in_the_guide() -> None:
    assert first_column("The rule's document") == set(FIELDS)


def test_every_field_of_a_match_is_in_the_guide() -> None:
    assert first_column("What a match is") == {field.name for field in msgspec.structs.fields(Match)}


def test_every_step_and_reason_of_explain_is_in_the_guide() -> None:
    section = sections(PAGE)["Why does it not fire?"]
    assert first_column("Why does it not fire?") - {"what"} == set(get_args(What))
    assert all(f"`{why}`" in section for why in get_args(Why) if why != "skip")


def test_every_method_of_the_builder_is_in_the_guide_in_both_languages() -> None:
    text = prose(PAGE)
    for name in vars(PatternBuilder):
        if not name.startswith("_") and name != "build":
            assert re.search(rf"`{name}\b", text), name
            assert re.search(rf"`{camel_case(name.rstrip('_'))}\b", text), name
