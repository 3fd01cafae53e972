"""Values of databases as the text that JDBC's ``getString`` gives for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any


def rows_as_text(cursor: Any) -> Iterator[Sequence[str | None]]:
    """Yield the rows of a DB-API cursor with every value as text; NULL stays ``None``.

    PostgreSQL sends text for everything; that is what its JDBC driver shows, so it is taken as it came.
    """
    sent = getattr(cursor, "pgresult", None)
    if sent is None:
        for row in cursor:
            yield [as_text(value) for value in row]
        return
    for row in range(sent.ntuples):
        values = [sent.get_value(row, column) for column in range(sent.nfields)]
        yield [None if value is None else value.decode() for value in values]


def as_text(value: Any) -> str | None:
    """Return one value as text, or ``None`` for NULL."""
    match value:
        case None | str():
            return value
        case bool():
            return "1" if value else "0"
        case datetime():
            return _timestamp(value)
        case Decimal():
            return f"{value:f}"
        case timedelta():
            return _time(value)
        case bytes() | bytearray() | memoryview():
            return _bytes(bytes(value))
        case dict() | list():
            return json.dumps(value)
    return str(value)


def _timestamp(value: datetime) -> str:
    whole, point, fraction = value.isoformat(" ").partition(".")
    return f"{whole}{point}{fraction.rstrip('0')}" if value.tzinfo is None else value.isoformat(" ")


def _time(value: timedelta) -> str:
    """A TIME of MySQL, which may be negative or longer than a day."""
    sign, rest = ("-", -value) if value < timedelta() else ("", value)
    minutes, seconds = divmod(rest.days * 86400 + rest.seconds, 60)
    fraction = f".{rest.microseconds:06}".rstrip("0") if rest.microseconds else ""
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{fraction}"


def _bytes(value: bytes) -> str:
    """Bits as the number they are, other bytes as the text they hold."""
    if len(value) == 1 and value < b"\x02":
        return str(value[0])
    return value.decode("utf-8", "replace")
