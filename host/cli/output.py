"""How commands print: tables for people, JSON for machines. Colours only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200
"""Columns of a table that does not go to a terminal."""
MOST_NAMED = 20
"""Of what there may be very much: rules of one generation."""


def console(*, stderr: bool = False) -> Console:
    """Return where to print for people. Text is printed as it is: what users write is never taken for markup."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def print_line(value: Any) -> None:
    """Print one line of JSON Lines, at once."""
    print(msgspec.json.encode(value).decode(), flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table, or the text ``empty`` when it has no rows. None is printed as nothing."""
    from rich import box
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    if table.rows:
        console().print(table)
    else:
        print(empty)


def first_of(texts: Iterable[str], count: int, most: int = MOST_NAMED) -> list[str]:
    """Return some of ``count`` texts, and how many there are beside them."""
    shown = list(islice(texts, most))
    return shown if count <= most else [*shown, f"and {count - most} more"]


def moment(at: int) -> str:
    """Return a time in ms since the epoch as local time."""
    return datetime.fromtimestamp(at / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short(version: str | None) -> str | None:
    """Return the first 12 digits of a version."""
    return version[:12] if version else None
