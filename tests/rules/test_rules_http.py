"""Rules in a document on a web server: lists and lines, what is not sent again, and what is no list of rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.discovery.held_places import context
from tests.discovery.web_shelf import Answer, Shelf
from tests.rules.rules_kit import Looks, documents, looking, outage_of, rules_of, snapshot_of
from trimtab.api import Discoverer
from trimtab.plugins.rules import create_http
from trimtab.plugins.rules.options import HttpRulesOptions

PATTERN: dict[str, Any] = {"nodes": [], "edges": []}


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as found:
        yield found


def discoverer(shelf: Shelf, **options: Any) -> Discoverer:
    given: dict[str, Any] = {"url": shelf.url("/rules.json"), "poll": "1h", "timeout": "10s", **options}
    return create_http(HttpRulesOptions(**given), "central", context(Path("/")))


def publish(shelf: Shelf, *rules: Any) -> None:
    shelf.documents["/rules.json"] = json.dumps(rules).encode()


def rule(name: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": name, "version": version, "pattern": PATTERN, **fields}


def test_an_entry_of_a_list_is_a_rule_and_the_highest_version_counts(shelf: Shelf) -> None:
    publish(shelf, rule("a", 1), rule("a", 2, parameters={"limit": 5}), rule("b", 9), rule("c", 1, is_deleted=True))
    assert rules_of(discoverer(shelf)) == {
        "a.rule.json": rule("a", 2, parameters={"limit": 5}),
        "b.rule.json": rule("b", 9),
    }


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n"])
def test_so_is_a_line(shelf: Shelf, end: str) -> None:
    for count in (1, 3):
        lines = [json.dumps(rule(str(number))) for number in range(count)]
        shelf.documents["/rules.json"] = ("\r\n".join(lines) + end).encode()
        assert set(rules_of(discoverer(shelf))) == {f"{number}.rule.json" for number in range(count)}


def test_an_empty_list_is_no_rules(shelf: Shelf) -> None:
    publish(shelf, rule("a"))

    async def work(looks: Looks) -> None:
        assert set(await looks.rules()) == {"a.rule.json"}
        publish(shelf)
        assert await looks.rules() == {}

    looking(discoverer(shelf), work)


def test_a_document_that_has_not_changed_is_asked_for_but_not_sent_again(shelf: Shelf) -> None:
    publish(shelf, rule("a"))

    async def work(looks: Looks) -> None:
        first = await looks.snapshot()
        assert await looks.snapshot() is first  # nor read again
        publish(shelf, rule("a", 2))
        assert (await looks.rules())["a.rule.json"]["version"] == 2

    looking(discoverer(shelf), work)
    assert [request.status for request in shelf.requests] == [200, 304, 200]


def test_a_bad_entry_is_handed_on_for_its_reason_to_be_told_and_keeps_no_other_one_back(shelf: Shelf) -> None:
    publish(
        shelf,
        rule("good"),
        {"id": "none"},
        {**rule("text"), "pattern": "{nodes"},
        {**rule("word"), "version": "v1"},
        7,
        {},
    )
    found = snapshot_of(discoverer(shelf))
    assert documents(found) == {
        "good.rule.json": rule("good"),
        "none.rule.json": {"id": "none", "pattern": None},
        "text.rule.json": {**rule("text"), "pattern": "{nodes"},
        "word.rule.json": {**rule("word"), "version": "v1"},
    }
    assert {name: fault.message for name, fault in found.refused.items()} == {
        "%without id (discoverers.central).rule.json": (
            "expected an id in every row, got 2 without one; the first of them has nothing"
        )
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a JSON list of rules, or one a line, got nothing; [] is a list of none"),
        ("<html>", "expected a JSON list of rules, or one a line, got: JSON is malformed"),
        ('[{"id": "a"}', "got: Input data was truncated"),
        ('{"error": "try again"}', "got in line 1 no object with an id"),
        ('{"id": "a"}\n{"id": "b"', "got in line 2: Input data was truncated"),
        ('{"id": "a"}\n7', "got in line 2 no object with an id"),
        ("7", "got: Expected `array`, got `int`"),
        ("null", "got: Expected `array`, got `null`"),
    ],
)
def test_what_is_no_list_of_rules_changes_nothing(shelf: Shelf, text: str, message: str) -> None:
    shelf.documents["/rules.json"] = text.encode()
    said = outage_of(discoverer(shelf))
    assert said.startswith("discoverers.central: ")
    assert message in said


def test_a_document_that_cannot_be_had_changes_nothing(shelf: Shelf) -> None:
    publish(shelf, rule("a"))

    async def work(looks: Looks) -> None:
        before = await looks.snapshot()
        shelf.answers["/rules.json"] = Answer(503, {}, b"later")
        assert "expected a status of 200, got 503 'later'" in await looks.outage()
        shelf.answers.clear()
        assert (await looks.snapshot()).artifacts is before.artifacts

    looking(discoverer(shelf), work)


def test_a_token_goes_with_the_question(shelf: Shelf) -> None:
    publish(shelf, rule("a"))
    rules_of(discoverer(shelf, token="sesame"))
    assert shelf.requests[0].headers["authorization"] == "Bearer sesame"
