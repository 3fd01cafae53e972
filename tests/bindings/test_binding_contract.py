"""What every binding must hold in both languages, whichever it is, while its server is well."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.bindings.binding_cases import CASES, SERVED, Case, Place
from tests.bindings.talking import Talk

pytestmark = pytest.mark.parametrize("language", ["python", "javascript"])
every_case = pytest.mark.parametrize("case", CASES, ids=str, indirect=True)
served_cases = pytest.mark.parametrize("case", SERVED, ids=str, indirect=True)

_numbers = itertools.count()


def marker() -> str:
    """A text that no other test writes."""
    return f"m{next(_numbers)}"


@pytest.fixture
def talk(case: Case, place: Place, language: str) -> Iterator[Talk]:
    with Talk(case, language, case.at(place)) as talking:
        yield talking


@every_case
def test_what_is_written_is_read(case: Case, talk: Talk) -> None:
    mine = marker()
    assert talk.ask("read", mine) is None
    talk.ask("write", mine)
    assert talk.ask("read", mine) == case.kept(mine)
