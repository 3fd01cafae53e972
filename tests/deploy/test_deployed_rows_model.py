"""Whatever happens in whatever order: looking at what has changed finds what looking at everything would find."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.deploy.rows_kit import RowsHost, Shelf, drive
from trimtab.deploy.changeset import digest
from trimtab.errors import ChangeRefused, Fault, UsageError

NAMES = st.sampled_from("abc")
TEXTS = st.sampled_from([None, "1", "2", "bad", "shut", "needs work.py"])
ROWS = st.tuples(st.just("rows"), st.dictionaries(NAMES, TEXTS, min_size=1))
FILES = st.tuples(st.just("files"), st.dictionaries(NAMES, TEXTS, min_size=1))
SCRIPT = st.tuples(st.just("script"), st.sampled_from([None, "1", "2"]))
ROLLBACK = st.tuples(st.just("rollback"), NAMES)
BACK = st.tuples(st.just("generation"), st.integers(1, 9))
UNREADABLE = st.tuples(st.just("unreadable"), st.dictionaries(NAMES, st.booleans(), min_size=1))
START = st.tuples(st.just("start"), st.none())
STEPS = st.lists(st.one_of(ROWS, ROWS, FILES, SCRIPT, ROLLBACK, BACK, UNREADABLE, START), max_size=12)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_a_look_at_what_has_changed_finds_all_that_differs(steps: list[tuple[str, object]]) -> None:
    async def test(host: RowsHost) -> None:
        await host.start()
        for kind, what in steps:
            note(f"{kind} {what} -> {host.running()}")
            await take(host, kind, what)
            await host.rows()  # the table is looked at again, sooner or later
            for place in (host.folder, host.table):
                compare(host, place)

    with tempfile.TemporaryDirectory() as folder:
        drive(Path(folder), test)


async def take(host: RowsHost, kind: str, what: object) -> None:
    """One step."""
    match kind, what:
        case "rows", dict():
            await host.rows(**what)
        case "files", dict():
            await host.save({f"{name}.rule.json": text for name, text in what.items()})
        case "script", _:
            await host.save({"work.py": what if isinstance(what, str) else None})
        case "unreadable", dict():
            read_badly(host.table, what)
            await host.rows()
        case "start", _:
            await host.start()
        case _:
            with suppress(UsageError, ChangeRefused):
                await roll_back(host, what)


async def roll_back(host: RowsHost, what: object) -> None:
    """To a generation, or one rule to what ran before."""
    if isinstance(what, int):
        await host.deployer.rollback_generation(what, [host.folder, host.table])
    else:
        await host.rollback(str(what))


def read_badly(table: Shelf, rows: dict[str, bool]) -> None:
    """Have some rows be such that the place cannot take them, and others not any more."""
    for name, bad in rows.items():
        if bad:
            table.refused[f"{name}.rule.json"] = Fault("DuplicateRow", "two", name)
            table.artifacts.pop(f"{name}.rule.json", None)
        else:
            table.refused.pop(f"{name}.rule.json", None)


def compare(host: RowsHost, place: Shelf) -> None:
    """What differs, found both ways; of a table, all of it must have been refused."""
    book = host.deployer.book
    snapshot = book.places.own(place.name)
    found = book.differences(place.name, snapshot)
    told = (dict(book.errors), dict(book.refused), host.store.holds())
    del book.seen[place.name]
    assert book.differences(place.name, snapshot) == found
    assert (dict(book.errors), dict(book.refused), host.store.holds()) == told
    if place.alone:
        assert all(name in book.refused and book.refused[name] == digest(content) for name, content in found.items())
