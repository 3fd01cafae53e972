"""From rows and documents to artifacts: names, versions, canonical bytes, and what is wrong with a row alone."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.api import Snapshot, is_ignored, name_problem
from trimtab.artifacts.names import is_rule
from trimtab.cep.rule import FIELDS as PARSED
from trimtab.plugins.rules.catalogue import Catalogue
from trimtab.plugins.rules.documents import DELETED, FIELDS, REQUIRED, document_entry, entry
from trimtab.plugins.rules.names import rule_name, without_id

Fields = dict[str, Any]


def row(**fields: Any) -> Fields:
    return {"id": "a", "version": 1, "pattern": '{"nodes": []}', "function": "", **fields}


def document(**fields: Any) -> Any:
    return json.loads(entry(row(**fields)).content)


# --- names ---


@pytest.mark.parametrize(
    ("rule_id", "name"),
    [
        ("overheat", "overheat.rule.json"),
        ("Über heat-1.2", "Über heat-1.2.rule.json"),
        ("a/b", "a%2Fb.rule.json"),
        ("100%", "100%25.rule.json"),
        ("_draft", "%5Fdraft.rule.json"),
        (".hidden", "%2Ehidden.rule.json"),
        ("..", "%2E..rule.json"),
        ("a.test.b", "a%2Etest%2Eb.rule.json"),
        ("a\nb", "a%0Ab.rule.json"),
        ("settings:a", "settings:a.rule.json"),
        ("x.d.ts", "x.d.ts.rule.json"),
        ("resources", "%72esources.rule.json"),
    ],
)
def test_the_name_is_the_id_with_what_names_do_not_allow_encoded(rule_id: str, name: str) -> None:
    assert rule_name(rule_id) == name


@given(st.text(st.characters(exclude_categories=[]), min_size=1, max_size=300))
def test_every_id_has_a_good_name(rule_id: str) -> None:
    name = rule_name(rule_id)
    assert name_problem(name) is None
    assert not is_ignored(name)
    assert is_rule(name)
    assert name != without_id("a")
    if "%-" not in name:
        assert unquote(name.removesuffix(".rule.json"), errors="surrogatepass") == rule_id


def test_very_long_ids_have_short_names_that_differ() -> None:
    names = {rule_name("x" * 1000 + end) for end in "ab"}
    assert len(names) == 2
    assert max(map(len, names)) <= 255


# --- documents ---


def test_the_fields_are_those_that_rules_have() -> None:
    assert FIELDS == PARSED
    assert DELETED not in FIELDS


def test_text_that_is_json_becomes_its_value_where_a_field_is_json() -> None:
    found = document(
        pattern='{"nodes": [{"a": 1.50}]}', parameters='{"limit": 5}', libs="[]", binding_keys='["7"]', function="7"
    )
    assert found["pattern"] == {"nodes": [{"a": 1.5}]}
    assert (found["parameters"], found["libs"], found["binding_keys"]) == ({"limit": 5}, [], ["7"])
    assert found["function"] == "7"


def test_a_pattern_that_is_no_json_stays_the_text_that_it_was() -> None:
    for text in ("{nodes", '{"a": 1e999}', "[" * 100_000, '"\\ud800"'):
        assert document(pattern=text)["pattern"] == text
    assert document(pattern=None)["pattern"] is None
    assert document(pattern=b'{"nodes": []}')["pattern"] == {"nodes": []}
    assert document(pattern=b"\xff")["pattern"] == "\\xff"


def test_columns_that_are_empty_are_not_there() -> None:
    found = entry(row(parameters=None, libs="", binding_keys=" ", rule_type="", effective_at=None, function=None))
    assert found.content == entry(row()).content
    assert set(json.loads(found.content)) == {"id", "version", "pattern"}


def test_the_same_meaning_is_the_same_bytes() -> None:
    one = row(pattern='{"edges": [], "nodes": [1, 2]}', version=3, function="emit:a")
    same = {"function": "emit:a", "pattern": {"nodes": [1, 2], "edges": []}, "version": "3", "id": "a", DELETED: 0}
    assert entry(one).content == entry(same).content
    assert entry(one).content != entry({**one, "version": 4}).content


@pytest.mark.parametrize("version", [3, "3", " 3 ", Decimal(3), Decimal("3.0"), 3.0, b"3"])
def test_a_whole_number_is_a_version_however_a_column_holds_it(version: Any) -> None:
    found = entry(row(version=version))
    assert (found.rank, json.loads(found.content)["version"]) == ((0, 3), 3)


@pytest.mark.parametrize(
    ("version", "kept"),
    [("v3", "v3"), (3.5, 3.5), (None, ""), ("", ""), (Decimal("NaN"), "NaN"), ("9" * 5000, "9" * 5000), ("٣", "٣")],
)
def test_any_other_version_stays_what_it_was_and_stands_above_all(version: Any, kept: Any) -> None:
    found = entry(row(version=version))
    assert (found.rank, json.loads(found.content)["version"]) == ((1, 0), kept)


def test_dates_become_text_and_numbers_stay_numbers() -> None:
    at = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert document(effective_at=at)["effective_at"] == "2024-05-06T07:08:09+00:00"
    assert document(effective_at=date(2024, 5, 6))["effective_at"] == "2024-05-06"
    assert document(effective_at=Decimal(17))["effective_at"] == 17
    assert document(partial_matches=float("inf"))["partial_matches"] == "inf"


def test_what_no_json_can_hold_is_told_by_whoever_reads_the_rule() -> None:
    assert json.loads(entry(row(id="\ud800")).content)["id"] == "\ud800"
    assert document(pattern="[123456789012345678901234567890]")["pattern"] == [123456789012345678901234567890]


@pytest.mark.parametrize("flag", [True, 1, "true", "T", "yes", "1", b"\x01", Decimal(1)])
def test_a_row_may_say_that_its_rule_is_deleted(flag: Any) -> None:
    assert entry(row(is_deleted=flag)).deleted


@pytest.mark.parametrize("flag", [None, False, 0, "", "false", "No", b"\x00"])
def test_or_that_it_is_not(flag: Any) -> None:
    found = entry(row(is_deleted=flag))
    assert not found.deleted
    assert found.content == entry(row()).content


def test_a_bare_pattern_is_that_of_the_id_by_which_the_place_knows_it() -> None:
    found = document_entry({"nodes": [], "version": 1}, "a/b")
    assert found.name == "a%2Fb.rule.json"
    assert json.loads(found.content) == {"id": "a/b", "pattern": {"nodes": [], "version": 1}}
    assert json.loads(document_entry(["no", "rule"], "a").content) == {"id": "a", "pattern": ["no", "rule"]}


def test_a_document_of_another_id_than_the_place_says_is_refused() -> None:
    found = document_entry({"id": "b", "pattern": {}}, "a")
    assert found.name == "a.rule.json"
    assert found.fault is not None
    assert found.fault.message == "$.id: expected 'a', by which the place knows it, got 'b'"
    assert document_entry({"id": 7, "pattern": {}}, "7").fault is None


# --- catalogues ---


def taken(*rows: Fields) -> Snapshot:
    return Catalogue("rules", entry).take(enumerate(rows))


def versions(snapshot: Snapshot) -> dict[str, Any]:
    return {name: json.loads(content)["version"] for name, content in snapshot.artifacts.items()}


def test_the_highest_version_counts() -> None:
    assert versions(taken(row(version=9), row(version=10), row(version=2), row(id="b", version=1))) == {
        "a.rule.json": 10,
        "b.rule.json": 1,
    }


def test_a_flag_counts_where_it_stands_at_the_highest_version() -> None:
    assert versions(taken(row(version=1), row(version=2, is_deleted=True))) == {}
    assert versions(taken(row(version=1, is_deleted=True), row(version=2))) == {"a.rule.json": 2}


def test_a_version_that_is_no_number_counts_so_that_it_is_refused() -> None:
    assert versions(taken(row(version=7), row(version="v8"))) == {"a.rule.json": "v8"}


def test_rows_that_differ_with_the_same_version_are_refused() -> None:
    found = taken(row(version=2), row(version=2, function="emit:a"), row(version=1), row(id="b"), row(id="b"))
    assert versions(found) == {"b.rule.json": 1}
    assert found.refused["a.rule.json"].message.startswith("expected one row of the highest version, got several")
    found = taken(row(version=2), row(version=2, function="emit:a"), row(version=3))
    assert (versions(found), found.refused) == ({"a.rule.json": 3}, {})


def test_a_flag_that_is_none_refuses_the_row_if_it_counts() -> None:
    found = taken(row(version=2, is_deleted="maybe"), row(version=1))
    assert versions(found) == {}
    assert found.refused["a.rule.json"].message == "is_deleted: expected true or false, got 'maybe'"
    assert versions(taken(row(version=2, is_deleted="maybe"), row(version=3))) == {"a.rule.json": 3}


@pytest.mark.parametrize("rule_id", [None, "", True, 1.5, ["a"]])
def test_rows_without_an_id_are_told_together_and_the_others_taken(rule_id: Any) -> None:
    found = taken(row(), row(id=rule_id), row(id=rule_id))
    assert versions(found) == {"a.rule.json": 1}
    ((name, fault),) = found.refused.items()
    assert name == "%without id (rules).rule.json"
    assert fault.message.startswith("expected an id in every row, got 2 without one; the first of them has ")


def test_what_has_not_changed_is_the_very_same_object() -> None:
    catalogue = Catalogue("rules", entry)
    rows = [row(id=name, pattern=json.dumps({"nodes": [name]})) for name in "abc"]
    first = catalogue.take(enumerate(rows))
    again = catalogue.take(enumerate(dict(each) for each in rows))
    assert again.artifacts is first.artifacts
    rows[1]["version"] = 2
    changed = catalogue.take((each["id"], each) for each in rows)
    assert changed.artifacts is not first.artifacts
    changed_again = catalogue.take((each["id"], dict(each)) for each in rows)
    assert changed_again.artifacts is changed.artifacts
    gone = catalogue.take([("a", rows[0])])
    assert gone.artifacts["a.rule.json"] is changed.artifacts["a.rule.json"]
    assert len(gone.artifacts) == 1


def test_required_fields_come_first() -> None:
    assert FIELDS[: len(REQUIRED)] == REQUIRED
