"""What scripts do with a collection, the same in Python and in JavaScript, on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mongo.asking import Asker, Refusal

LETTERS = [{"n": number, "letter": letter} for number, letter in enumerate("abcde")]
OID = {"$oid": "0123456789abcdef01234567"}


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


def test_an_index_can_be_told_by_its_name_or_its_keys(letters: Asker) -> None:
    assert letters("create_index", {"n": 1, "letter": -1}) == "n_1_letter_-1"
    assert letters.found({"n": 1}, hint="n_1_letter_-1") == [LETTERS[1]]
    assert letters.found({"n": 1}, hint={"n": 1, "letter": -1}) == [LETTERS[1]]
    assert letters("find", {"n": 1}, then='.hint("n_1_letter_-1").first()')["letter"] == "b"
    assert letters.refusal("find_one", {"n": 1}, hint="none").code == 2


def test_find_one_and_first_give_one_document_or_nothing(letters: Asker) -> None:
    assert letters("find_one", {"letter": "c"})["n"] == 2
    assert letters("find_one", {}, sort={"n": -1}, projection={"_id": 0}) == LETTERS[4]
    assert letters("find_one", {"letter": "z"}) is None
    assert letters("find", {"letter": "c"}, then=".first()")["n"] == 2
    assert letters("find", {"letter": "z"}, then=".first()") is None


@pytest.mark.parametrize(("batch", "calls"), [(2, 3), (5, 2), (6, 1)])
def test_a_loop_reads_page_by_page(letters: Asker, batch: int, calls: int) -> None:
    numbers = letters.evaluate(
        python=f'[found["n"] for found in collection.find({{}}, sort={{"n": 1}}, batch={batch})]',
        javascript=f"[...collection.find({{}}, {{ sort: {{ n: 1 }}, batch: {batch} }})].map(({{ n }}) => n)",
    )
    assert numbers == [0, 1, 2, 3, 4]
    assert letters.calls == calls


def test_nothing_is_asked_before_the_first_document_is_read(letters: Asker) -> None:
    letters.evaluate(
        python='[collection.find({}, batch=1).sort("n"), 1][1]',
        javascript='[collection.find({}, { batch: 1 }).sort("n"), 1][1]',
    )
    assert letters.calls == 0


def test_more_cannot_be_said_of_a_query_that_was_asked(letters: Asker) -> None:
    with pytest.raises(Refusal) as caught:
        letters.evaluate(
            python='[found := collection.find({}), found.first(), found.sort({"n": 1})]',
            javascript="((found) => [found.first(), found.sort({ n: 1 })])(collection.find({}))",
        )
    assert "expected sort() before the first document is read" in caught.value.message


def test_count_and_distinct(letters: Asker) -> None:
    letters("insert", {"n": 9, "letter": "a"})
    assert letters("count") == 6
    assert letters("count", {"letter": "a"}) == 2
    assert sorted(letters("distinct", "letter")) == ["a", "b", "c", "d", "e"]
    assert sorted(letters("distinct", "letter", {"n": {"$gt": 3}})) == ["a", "e"]


def test_aggregate_runs_a_pipeline(letters: Asker) -> None:
    pipeline = [{"$match": {"n": {"$gt": 1}}}, {"$group": {"_id": None, "sum": {"$sum": "$n"}}}]
    assert letters("aggregate", pipeline, then=".toArray()") == [{"_id": None, "sum": 9}]
    assert letters("aggregate", [{"$sort": {"n": -1}}], then=".first()")["n"] == 4
    assert len(letters("aggregate", [], batch=2, then=".toArray()")) == 5


def test_aggregate_runs_although_nobody_reads_what_comes_of_it(letters: Asker, collection: str) -> None:
    stages = f'[{{"$match": {{"n": 0}}}}, {{"$set": {{"n": 7}}}}, {{"$merge": "{collection}"}}]'
    call = f"[collection.aggregate({stages}), 1][1]"
    letters.evaluate(python=call, javascript=call)
    assert letters("count", {"n": 7}) == 1


# --- writing ---


def test_insert_takes_one_document_or_many_and_gives_their_ids(asker: Asker) -> None:
    assert asker("insert", {"_id": 1, "n": 1}) == {"inserted": 1, "ids": [1]}
    assert asker("insert", [{"_id": OID}, {"_id": "b"}]) == {"inserted": 2, "ids": [OID, "b"]}
    assert asker("insert", []) == {"inserted": 0, "ids": []}
    (made,) = asker("insert", {"n": 2})["ids"]
    assert asker("find_one", {"_id": made}) == {"_id": made, "n": 2}


def test_update_changes_all_that_match_or_one(letters: Asker) -> None:
    changed = {"upserted": 0, "ids": []}
    assert letters("update", {"n": {"$gt": 1}}, {"$inc": {"n": 10}}) == {"matched": 3, "modified": 3, **changed}
    assert letters("update", {"n": 12}, {"$set": {"n": 12}}) == {"matched": 1, "modified": 0, **changed}
    assert letters("update", {}, {"$set": {"one": True}}, one=True) == {"matched": 1, "modified": 1, **changed}
    assert letters("count", {"one": True}) == 1


def test_update_inserts_on_request_where_nothing_matches(asker: Asker) -> None:
    result = asker("update", {"_id": "x"}, {"$inc": {"n": 1}}, upsert=True)
    assert result == {"matched": 0, "modified": 0, "upserted": 1, "ids": ["x"]}
    assert asker("update", {"_id": "y"}, {"$inc": {"n": 1}})["upserted"] == 0
    assert asker.found() == [{"n": 1}]


def test_update_takes_a_pipeline(letters: Asker) -> None:
    letters("update", {"n": 1}, [{"$set": {"twice": {"$multiply": ["$n", 2]}}}])
    assert letters.found({"n": 1}) == [{"n": 1, "letter": "b", "twice": 2}]


def test_update_operators_take_extended_json(asker: Asker) -> None:
    asker("insert", {"_id": 1, "n": 1, "tags": []})
    when = {"$date": "2024-01-02T03:04:05.678Z"}
    asker("update", {"_id": 1}, {"$set": {"at": when}, "$push": {"tags": OID}, "$unset": {"n": ""}})
    assert asker.found() == [{"tags": [OID], "at": when}]
    assert asker("count", {"at": {"$gte": when, "$lt": {"$date": "2024-01-02T03:04:06Z"}}}) == 1
    assert asker("count", {"tags": {"$in": [OID]}, "at": {"$type": "date"}}) == 1


def test_replace_puts_another_document_in_the_place_of_one(letters: Asker) -> None:
    assert letters("replace", {"n": 4}, {"n": 4, "new": True})["modified"] == 1
    assert letters.found({"n": 4}) == [{"n": 4, "new": True}]
    assert letters("replace", {"_id": 9}, {"n": 9}, upsert=True)["ids"] == [9]
    assert letters("replace", {"_id": 10}, {"n": 10})["matched"] == 0


def test_upsert_sets_fields_and_keeps_the_others(asker: Asker) -> None:
    assert asker("upsert", {"n": 1}, {"a": 1})["upserted"] == 1
    assert asker("upsert", {"n": 1}, {"b": 2}) == {"matched": 1, "modified": 1, "upserted": 0, "ids": []}
    assert asker.found() == [{"n": 1, "a": 1, "b": 2}]


def test_delete_takes_all_that_match_or_one(letters: Asker) -> None:
    assert letters("delete", {"n": {"$lt": 3}}, one=True) == {"deleted": 1}
    assert letters("delete", {"n": {"$lt": 3}}) == {"deleted": 2}
    assert letters("delete", {}) == {"deleted": 2}


def test_bulk_does_many_writes_in_one_call(letters: Asker) -> None:
    writes = [
        {"insertOne": {"document": {"n": 5}}},
        {"updateOne": {"filter": {"n": 5}, "update": {"$set": {"letter": "f"}}}},
        {"updateMany": {"filter": {"n": {"$lt": 2}}, "update": {"$set": {"low": True}}}},
        {"updateOne": {"filter": {"n": 6}, "update": {"$set": {"letter": "g"}}, "upsert": True}},
        {"replaceOne": {"filter": {"n": 4}, "replacement": {"n": 40}}},
        {"deleteOne": {"filter": {"n": 2}}},
        {"deleteMany": {"filter": {"n": 3}}},
    ]
    result = {"inserted": 1, "matched": 4, "modified": 4, "upserted": 1, "deleted": 2}
    assert letters("bulk", writes) == result
    assert letters.calls == 1
    assert [document["n"] for document in letters.found()] == [0, 1, 5, 6, 40]
    assert letters("bulk", []) == dict.fromkeys(result, 0)


# --- indexes ---


def test_indexes_are_made_listed_and_dropped(asker: Asker) -> None:
    assert asker("create_index", {"at": 1}, expire="2h", name="old") == "old"
    assert asker("create_index", "n", unique=True) == "n_1"
    assert asker("create_index", "n", unique=True) == "n_1"
    indexes = {index["name"]: index for index in asker("indexes")}
    assert indexes.keys() == {"_id_", "old", "n_1"}
    assert indexes["old"]["expireAfterSeconds"] == 7200
    assert indexes["n_1"]["key"] == {"n": 1}
    assert indexes["n_1"]["unique"] is True
    assert asker("drop_index", "old") is None
    assert [index["name"] for index in asker("indexes")] == ["_id_", "n_1"]
    assert asker.refusal("drop_index", "old").code == 27


# --- values ---


def test_values_survive_from_find_to_insert(asker: Asker) -> None:
    document = {
        "oid": OID,
        "at": {"$date": "2024-01-02T03:04:05.029Z"},
        "price": {"$numberDecimal": "1.10"},
        "big": {"$numberLong": "9007199254740993"},
        "data": {"$binary": {"base64": "AAEC", "subType": "00"}},
        "like": {"$regularExpression": {"pattern": "^a", "options": "i"}},
        "stamp": {"$timestamp": {"t": 5, "i": 6}},
        "text": 'ü\u2028 "',
        "nothing": None,
        "list": [1, 2.5, {"a": []}],
    }
    asker("insert", {"_id": 1, **document})
    call = 'collection.insert(collection.find({"_id": 1}).projection({"_id": 0}).first())'
    asker.evaluate(python=call, javascript=call)
    assert asker("find_one", {"_id": {"$ne": 1}}, projection={"_id": 0}) == document


def test_values_of_the_language_are_taken(asker: Asker) -> None:
    asker.evaluate(
        python="""[__import__("datetime"), collection.insert({"n": 2**60, "data": b"ab", "at":
            __import__("datetime").datetime(2024, 1, 2)})][1]""",
        javascript="""collection.insert({ n: 2n ** 60n, data: new Uint8Array([97, 98]),
            at: new Date(Date.UTC(2024, 0, 2)) })""",
    )
    (found,) = asker.found()
    assert found == {
        "n": {"$numberLong": str(2**60)},
        "data": {"$binary": {"base64": "YWI=", "subType": "00"}},
        "at": {"$date": "2024-01-02T00:00:00Z"},
    }


# --- errors ---


def test_a_duplicate_key_is_an_error_with_its_code(asker: Asker) -> None:
    asker("insert", {"_id": "same"})
    error = asker.refusal("insert", {"_id": "same"})
    assert (error.name, error.code, error.retryable) == ("MongoError", 11000, False)
    assert "mongo.it: expected success, got E11000 duplicate key" in error.message
    assert 'dup key: { _id: "same" }' in error.message


@pytest.mark.parametrize(("ordered", "done"), [(True, 1), (False, 3)])
def test_an_error_among_many_writes_tells_which_and_how_many_were_done(asker: Asker, ordered: bool, done: int) -> None:
    documents = [{"_id": 1}, {"_id": 1}, {"_id": 2}, {"_id": 3}]
    error = asker.refusal("insert", documents, ordered=ordered)
    assert (error.name, error.code, error.retryable) == ("MongoError", 11000, False)
    assert "got 1 that failed, the first in operation 2: E11000" in error.message
    assert error.message.endswith(f"done: {done} inserted")
    writes = [{"deleteOne": {"filter": {"_id": 1}}}, {"insertOne": {"document": {"_id": 2}}}]
    asker("upsert", {"_id": 2}, {"n": 1})
    message = asker.refusal("bulk", writes, ordered=ordered).message
    assert "the first in operation 2" in message
    assert message.endswith("done: 1 deleted")


def test_an_error_of_the_server_has_its_code(letters: Asker) -> None:
    assert letters.refusal("aggregate", [{"$nope": 1}]).code == 40324
    assert letters.refusal("update", {}, {"$inc": {"letter": 1}}).code == 14
    assert letters.refusal("count", {"n": {"$nope": 1}}).code == 2


WRONG: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("update", [{}, {"n": 1}], {}, "got the field 'n'; to put another document in its place, use replace"),
    ("update", [{}, {}], {}, "got an empty object"),
    ("update", [None, {"$set": {"n": 1}}], {}, "expected the filter as an object, got NoneType"),
    ("replace", [{}, {"$set": {"n": 1}}], {}, "got the operator '$set'; for that, use update"),
    ("delete", [None], {}, "expected the filter as an object, got NoneType"),
    ("insert", [[1]], {}, "expected a document as an object, got int"),
    ("find", ["x"], {}, "expected the filter as an object, got str"),
    ("find", [{}], {"limit": "x"}, "expected limit as an integer from 0, got 'x'"),
    ("find", [{}], {"sort": 5}, "expected sort as an object"),
    ("find", [{}], {"projection": 5}, "expected projection as an object"),
    ("find", [{}], {"batch": 0}, "expected a batch of 1 or more, got 0"),
    ("aggregate", [{}], {}, "expected the pipeline as a list of stages, got dict"),
    ("bulk", [[{"insert": {}}]], {}, "expected operation 1 to be one of insertOne"),
    ("bulk", [[{"deleteOne": {}}]], {}, "expected operation 1, deleteOne, with filter"),
    ("bulk", [[{"insertOne": {"document": 5}}]], {}, "expected document of operation 1 as an object, got int"),
    ("count", [{"_id": {"$oid": "x"}}], {}, "expected extended JSON with $oid"),
    ("insert", [{"a\0": 1}], {}, "expected what MongoDB can hold"),
    ("create_index", [{}], {}, "expected the keys as an object"),
    ("create_index", ["at"], {"expire": "soon"}, "expected a duration"),
    ("distinct", [5], {}, "expected a name, got 5"),
]


@pytest.mark.parametrize(("method", "arguments", "options", "message"), WRONG)
def test_wrong_use_is_said_so(
    asker: Asker, method: str, arguments: list[Any], options: dict[str, Any], message: str
) -> None:
    error = asker.refusal(method, *arguments, **options)
    assert error.name in {"TypeError", "ValueError"}
    assert message in error.message
