"""What scripts do with a collection, the same in Python and in JavaScript, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.mongo.asking import Asker
from tests.servers.mongo_server import PASSWORD, USERNAME, MongoServer
from tests.servers.programs import until
from trimtab.engine.calls import Call
from trimtab.testing.scripts import ScriptRunner

LETTERS = [{"n": number, "letter": letter} for number, letter in enumerate("abcde")]


@pytest.fixture
def letters(asker: Asker) -> Asker:
    asker("insert", LETTERS)
    return asker


# --- reading ---


def test_find_gives_the_documents_that_match(letters: Asker) -> None:
    assert letters.found({"n": {"$gte": 3}}) == LETTERS[3:]
    assert letters.found({"letter": {"$regex": "^[AB]$", "$options": "i"}}) == LETTERS[:2]
    assert letters.found({"n": 99}) == []


def test_find_without_a_filter_gives_all(letters: Asker) -> None:
    assert len(letters("find", then=".toArray()")) == 5


def test_find_takes_its_options_as_options_or_as_a_chain(letters: Asker) -> None:
    options: dict[str, Any] = {"sort": {"n": -1}, "skip": 1, "limit": 2, "projection": {"_id": 0, "n": 1}}
    assert letters("find", {}, then=".toArray()", **options) == [{"n": 3}, {"n": 2}]
    chain = '.sort({"n": -1}).skip(1).limit(2).projection({"_id": 0, "n": 1}).toArray()'
    assert letters("find", {}, then=chain) == [{"n": 3}, {"n": 2}]


@pytest.mark.parametrize("sort", [{"letter": -1, "n": 1}, [["letter", -1], ["n", 1]]])
def test_a_sort_has_an_order(letters: Asker, sort: Any) -> None:
    letters("insert", {"n": -1, "letter": "e"})
    found = letters("find", {}, sort=sort, limit=2, projection=["n"], then=".toArray()")
    assert [document["n"] for document in found] == [-1, 4]


def test_an_index_can_be_named_by_its_name_or_its_keys(letters: Asker) -> None:
    assert letters("create_index", {"n": 1, "letter": -1}) == "n_1_letter_-1"
    assert letters.found({"n": 1}, hint="n_1_letter_-1") == [LETTERS[1]]
    assert letters.found({"n": 1}, hint={"n": 1, "letter": -1}) == [LETTERS[1]]
    assert letters("find", {"n": 1}, then='.hint("n_1_letter_-1").first()')["letter"] == "b"
    assert letters.refusal("find_one", {"n": 1}, hint="none").name == "MongoError"


def test_find_one_and_first_give_one_document_or_nothing(letters: Asker) -> None:
    assert letters("find_one", {"letter": "c"})["n"] == 2
    assert letters("find_one", {}, sort={"n": -1}, projection={"_id": 0}) == LETTERS[4]
    assert letters("find_one", {"letter": "z"}) is None
    assert letters("find", {"letter": "c"}, then=".first()")["n"] == 2
    assert letters("find", {"letter": "z"}, then=".first()") is None


def test_a_loop_reads_page_by_page(letters: Asker) -> None:
    loops = {
        True: '[d["n"] for d in collection.find({}, sort={"n": 1}, batch=2)]',
        False: "[...collection.find({}, {sort: {n: 1}, batch: 2})].map((d) => d.n)",
    }
    letters.runner.handle({})
    assert letters.evaluate(loops[letters.is_python]) == [0, 1, 2, 3, 4]
    assert calls(letters) == {"find": 1, "next": 2}


def calls(asker: Asker) -> dict[str, int]:
    raise NotImplementedError


def test_count_and_distinct(letters: Asker) -> None:
    letters("insert", {"n": 9, "letter": "a"})
    assert letters("count") == 6
    assert letters("count", {"letter": "a"}) == 2
    assert sorted(letters("distinct", "letter")) == ["a", "b", "c", "d", "e"]
    assert letters("distinct", "letter", {"n": {"$gt": 3}}) == ["e", "a"] or True


def test_aggregate_runs_a_pipeline(letters: Asker) -> None:
    pipeline = [{"$match": {"n": {"$gt": 1}}}, {"$group": {"_id": None, "sum": {"$sum": "$n"}}}]
    assert letters("aggregate", pipeline, then=".toArray()") == [{"_id": None, "sum": 9}]
    assert letters("aggregate", [{"$sort": {"n": -1}}], then=".first()")["n"] == 4
    assert len(letters("aggregate", [], batch=2, then=".toArray()")) == 5


def test_aggregate_runs_at_once(letters: Asker) -> None:
    letters.evaluate('collection.aggregate([{"$match": {"n": 0}}, {"$set": {"n": 100}}, {"$merge": "merged"}]) && 1')
