"""What compares the documentation with reality can tell when they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.walkthrough import Walkthrough, missing

PRINTED = "name      count\na.py      12   ok\nb.py      3    failed: x.py:2:1: TypeError\n"


@pytest.mark.parametrize(
    "shown",
    [
        ["a.py 12 ok"],
        ["a.py ... ok", "b.py ... failed: ...TypeError"],
        [" name count ", "... TypeError"],
        [],
    ],
)
def test_lines_that_came_in_their_order_are_found(shown: list[str]) -> None:
    assert missing(shown, PRINTED) is None


@pytest.mark.parametrize(
    ("shown", "first"),
    [
        (["a.py 1"], "a.py 1"),
        (["a.py 12"], "a.py 12"),
        (["b.py ...", "a.py ..."], "a.py ..."),
        (["a.py ... TypeError"], "a.py ... TypeError"),
        (["a?py 12 ok"], "a?py 12 ok"),
    ],
)
def test_the_first_line_that_did_not_come_is_named(shown: list[str], first: str) -> None:
    assert missing(shown, PRINTED) == first


def test_a_page_that_is_wrong_fails_with_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('# Page\n\n```text title="a.txt"\none\n```\n\n```console\n$ sort a.txt\ntwo\n```\n')
    with pytest.raises(AssertionError, match=r"page\.md:7: \$ sort a\.txt\nwanted: two\ngot:\none"):
        Walkthrough(tmp_path).follow(page)
