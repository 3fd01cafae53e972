"""Rules that come as rows stand each for itself: what is refused is refused alone, whatever it came with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.rows_kit import RowsHost, drive
from trimtab.api import Fault, OutsideError
from trimtab.errors import ChangeRefused

MANY = 300


def test_of_many_rows_at_a_first_start_the_good_ones_are_one_generation_and_the_bad_ones_refused(
    tmp_path: Path,
) -> None:
    async def test(host: RowsHost) -> None:
        host.folder.artifacts["work.py"] = b"1"
        for number in range(MANY):
            text = f"bad {number}" if number % 100 == 7 else f"good {number}"
            host.table.artifacts[f"r{number}.rule.json"] = text.encode()
        await host.start()
        assert len(host.running()) == MANY - 3
        assert [(outcome, len(changes)) for outcome, changes in host.generations()] == [
            ("committed", 1),
            ("committed", MANY - 3),
            ("refused", 3),
        ]
        assert len(host.lanes.checked) == 2  # one process for the script, one for all rows
        (version,) = host.store.versions("r107.rule.json")
        assert version.fault == Fault("RuleError", "expected a good rule, got bad 107", "r107.rule.json")
        assert [hook for hook, _ in host.notices] == [
            "trimtab_generation_committed",
            "trimtab_generation_committed",
            "trimtab_change_refused",
        ]
        assert set(host.notices[-1][1].faults) == {"r7.rule.json", "r107.rule.json", "r207.rule.json"}

    drive(tmp_path, test)


def test_a_bad_row_keeps_neither_other_rows_nor_files_from_going_live(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1", b="bad", c="3")
        assert host.running() == {"a": "1", "c": "3"}
        await host.rows(a="2")
        await host.save({"work.py": "1"})
        assert host.running() == {"a": "2", "c": "3"}
        assert host.refusals() == {"b": "RuleError"}
        await host.rows(b="2")
        assert host.running() == {"a": "2", "b": "2", "c": "3"}
        assert host.refusals() == {}

    drive(tmp_path, test)


def test_a_row_that_was_refused_is_told_once_and_not_tried_with_every_other(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="bad", b="1")
        await host.rows(b="2")
        assert host.lanes.checked[-1].reload == ["b.rule.json"]
        await host.rows()
        assert [outcome for outcome, _ in host.generations()] == ["committed", "refused", "committed"]

    drive(tmp_path, test)


def test_what_runs_goes_on_while_newer_bytes_of_it_are_refused(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1")
        await host.rows(a="bad")
        assert (host.running(), host.refusals()) == ({"a": "1"}, {"a": "RuleError"})
        await host.rows(a="1")
        assert (host.running(), host.refusals()) == ({"a": "1"}, {})
        await host.rows(a=None)
        assert host.running() == {}

    drive(tmp_path, test)


def test_a_row_that_cannot_be_prepared_is_refused_alone_without_another_check(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1", b="shut", c="shut too", d="4")
        assert host.running() == {"a": "1", "d": "4"}
        assert host.refusals() == {"b": "OpenError", "c": "OpenError"}
        assert (len(host.lanes.checked), len(host.lanes.prepared)) == (1, 2)

    drive(tmp_path, test)


def test_a_row_that_lanes_die_of_is_found_by_halves(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(**{f"r{number}": "deadly" if number == 11 else "1" for number in range(32)})
        assert host.running() == {f"r{number}": "1" for number in range(32) if number != 11}
        assert host.refusals() == {"r11": "LaneDied"}
        assert len(host.lanes.prepared) <= 11

    drive(tmp_path, test)


def test_what_a_place_cannot_take_is_refused_alone_too(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        host.table.refused["x.rule.json"] = Fault("DuplicateRow", "expected one row, got two", "x.rule.json")
        await host.rows(a="1")
        assert (host.running(), host.refusals()) == ({"a": "1"}, {"x": "DuplicateRow"})
        await host.rows(b="1")
        assert [outcome for outcome, _ in host.generations()] == ["committed", "refused", "committed"]
        del host.table.refused["x.rule.json"]
        await host.rows(x="1")
        assert (set(host.running()), host.refusals()) == ({"a", "b", "x"}, {})

    drive(tmp_path, test)


def test_a_rollback_holds_until_the_row_changes_again(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1", b="1")
        await host.rows(a="2")
        await host.rollback("a")
        await host.rows(b="2")
        assert host.running() == {"a": "1", "b": "2"}
        await host.start()
        assert host.running() == {"a": "1", "b": "2"}
        await host.rows(a="3")
        assert host.running() == {"a": "3", "b": "2"}

    drive(tmp_path, test)


def test_a_rollback_to_what_a_row_says_lets_it_be_changed_again(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1")
        await host.rows(a="2")
        await host.rollback("a")
        await host.rollback("a")
        assert host.running() == {"a": "2"}
        await host.rows(a="1")
        assert host.running() == {"a": "1"}

    drive(tmp_path, test)


def test_a_rule_that_was_deleted_comes_back_by_a_rollback_and_stays(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1")
        await host.rows(a=None)
        await host.rollback("a", "1")
        await host.rows(b="1")
        assert host.running() == {"a": "1", "b": "1"}
        await host.rows(a="2")
        assert host.running() == {"a": "2", "b": "1"}

    drive(tmp_path, test)


def test_a_refused_rollback_changes_nothing(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="bad", b="1")
        await host.rows(a="1")
        with pytest.raises(ChangeRefused):
            await host.rollback("a", "#1")
        await host.rows(b="2")
        assert host.running() == {"a": "1", "b": "2"}

    drive(tmp_path, test)


def test_a_refused_rule_gets_another_chance_with_a_new_script_and_is_not_told_twice(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="needs work.py", b="needs other.py")
        await host.save({"work.py": "1"})
        assert (host.running(), host.refusals()) == ({"a": "needs work.py"}, {"b": "UnknownScript"})
        assert [outcome for outcome, _ in host.generations()] == ["refused", "committed", "committed"]

    drive(tmp_path, test)


def test_a_start_tries_refused_rows_again_and_tells_only_what_is_new(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="bad", b="1")
        before = host.generations()
        await host.start()
        assert (host.generations(), host.refusals()) == (before, {"a": "RuleError"})
        host.table.artifacts["b.rule.json"] = b"2"
        await host.start()
        assert host.running() == {"b": "2"}
        assert host.generations()[len(before) :] == [("committed", {"b": "changed"})]
        host.table.artifacts["a.rule.json"] = b"1"
        await host.start()
        assert (host.running(), host.refusals()) == ({"a": "1", "b": "2"}, {})

    drive(tmp_path, test)


def test_a_bad_row_does_not_keep_a_start_from_taking_files_nor_a_bad_file_from_taking_rows(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.save({"work.py": "1"})
        host.table.artifacts |= {"a.rule.json": b"bad", "b.rule.json": b"1"}
        host.folder.artifacts["work.py"] = b"2"
        await host.start()
        assert (host.running(), host.refusals()) == ({"b": "1"}, {"a": "RuleError"})
        host.table.artifacts["b.rule.json"] = b"2"
        host.folder.artifacts["work.py"] = b"bad"
        await host.start()
        assert host.running() == {"b": "2"}
        assert host.refusals() == {"a": "RuleError", "work.py": "RuleError"}

    drive(tmp_path, test)


def test_an_outage_keeps_the_rules_also_at_a_start(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1", b="bad")
        host.table.outage = OutsideError("table: refused", retryable=True)
        with pytest.raises(OutsideError):
            await host.rows()
        await host.start()
        assert host.running() == {"a": "1"}
        assert host.deployer.book.places.outages == {"discoverers.table": "table: refused"}
        host.table.outage = None
        await host.rows(a="2")
        assert host.running() == {"a": "2"}

    drive(tmp_path, test)


def test_a_changed_rule_is_loaded_alone_with_the_libraries(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        host.folder.artifacts |= {"work.py": b"1", "_lib.py": b"1", "own.rule.json": b"1"}
        await host.start()
        await host.rows(a="1", b="1")
        await host.rows(a="2")
        checked, prepared = host.lanes.checked[-1], host.lanes.prepared[-1]
        assert (checked.reload, checked.upserts) == (["a.rule.json"], {"a.rule.json": b"2", "_lib.py": b"1"})
        assert (prepared.reload, prepared.upserts, prepared.deletes) == (["a.rule.json"], {"a.rule.json": b"2"}, [])
        await host.rows(a=None)
        assert (host.lanes.prepared[-1].reload, host.lanes.prepared[-1].deletes) == ([], ["a.rule.json"])

    drive(tmp_path, test)


def test_a_changed_script_or_library_reloads_no_rule(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1")
        await host.save({"work.py": "1", "_lib.py": "1"})
        await host.save({"work.py": "2"})
        await host.save({"_lib.py": "2"})
        assert [plan.reload for plan in host.lanes.prepared] == [["a.rule.json"], ["work.py"], ["work.py"], []]

    drive(tmp_path, test)


def test_rules_of_a_folder_are_taken_with_their_files_as_a_whole(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.save({"work.py": "1", "a.rule.json": "1"})
        await host.save({"work.py": "2", "a.rule.json": "bad", "b.rule.json": "1"})
        assert host.running() == {"a": "1"}
        assert host.refusals() == {"a": "RuleError", "b": "ChangeRefused", "work.py": "ChangeRefused"}
        await host.save({"a.rule.json": "2"})
        assert host.running() == {"a": "2", "b": "1"}

    drive(tmp_path, test)


def test_a_rule_that_two_places_have_stays_that_of_the_first_until_it_is_gone(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.save({"a.rule.json": "of the folder"})
        await host.rows(a="of the table", b="1")
        assert host.running() == {"a": "of the folder", "b": "1"}
        fault = host.deployer.book.error("a.rule.json")
        assert fault is not None
        assert "which folder has too" in fault.message
        await host.save({"a.rule.json": None})
        assert host.running() == {"a": "of the table", "b": "1"}

    drive(tmp_path, test)


def test_a_rule_that_moves_to_another_place_with_the_same_bytes_belongs_to_that(tmp_path: Path) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        await host.rows(a="1")
        await host.rows(a=None)
        await host.save({"a.rule.json": "1"})
        await host.rows(b="1")
        assert host.running() == {"a": "1", "b": "1"}

    drive(tmp_path, test)
