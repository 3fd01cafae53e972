"""Values on their way between Python and Java's drivers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import jpype
import msgspec

_LONG = range(-(2**63), 2**63)


class Setter:
    """Gives parameters to a ``PreparedStatement``. Needs a running JVM."""

    def __init__(self) -> None:
        java_time = {
            datetime: "java.time.LocalDateTime",
            date: "java.time.LocalDate",
            time: "java.time.LocalTime",
        }
        self._times = {python: jpype.JClass(java) for python, java in java_time.items()}
        self._aware = jpype.JClass("java.time.OffsetDateTime")
        self._decimal = jpype.JClass("java.math.BigDecimal")
        self._bytes = jpype.JArray(jpype.JByte)
        self._null = jpype.JClass("java.sql.Types").NULL

    def set(self, statement: Any, column: int, value: Any) -> None:
        """Set one parameter."""
        match value:
            case None:
                statement.setNull(column, self._null)
            case bool():
                statement.setBoolean(column, value)
            case int() if value in _LONG:
                statement.setLong(column, value)
            case float():
                statement.setDouble(column, value)
            case int() | Decimal():
                statement.setBigDecimal(column, self._decimal(str(value)))
            case bytes():
                statement.setBytes(column, self._bytes(value))
            case datetime() | date() | time():
                statement.setObject(column, self._time(value))
            case _:
                statement.setString(column, str(value))

    def _time(self, value: datetime | date | time) -> Any:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return self._aware.parse(value.isoformat())
        kind = next(kind for python, kind in self._times.items() if isinstance(value, python))
        return kind.parse(value.isoformat())


class Getter:
    """Finds how the values of a column are read. Needs a running JVM."""

    def __init__(self) -> None:
        types = jpype.JClass("java.sql.Types")
        text = _Column(lambda rows, column: rows.getString(column), str)
        raw = _Column(lambda rows, column: rows.getBytes(column), bytes)
        self._boolean = jpype.JClass("java.lang.Boolean")
        self._decimal = jpype.JClass("java.math.BigDecimal")
        self._aware = _typed("java.time.OffsetDateTime", datetime.fromisoformat)
        self._json = _Column(lambda rows, column: rows.getString(column), lambda value: msgspec.json.decode(str(value)))
        self._other = _Column(lambda rows, column: rows.getObject(column), self._plain)
        self._by_type: dict[int, _Column] = {
            types.DATE: _typed("java.time.LocalDate", date.fromisoformat),
            types.TIME: _typed("java.time.LocalTime", time.fromisoformat),
            types.TIMESTAMP: _typed("java.time.LocalDateTime", datetime.fromisoformat),
            types.TIMESTAMP_WITH_TIMEZONE: self._aware,
            types.ARRAY: _Column(
                lambda rows, column: rows.getArray(column), lambda array: self._plain(array.getArray())
            ),
            **dict.fromkeys((types.CLOB, types.NCLOB, types.SQLXML, types.LONGVARCHAR, types.LONGNVARCHAR), text),
            **dict.fromkeys((types.BLOB, types.BINARY, types.VARBINARY, types.LONGVARBINARY), raw),
        }

    def of(self, meta: Any, index: int) -> _Column:
        """Return what reads the column, counted from 0."""
        name = str(meta.getColumnTypeName(index + 1)).lower()
        if name == "timestamptz":  # PostgreSQL's driver gives both kinds one number
            return self._aware
        if name in {"json", "jsonb"}:
            return self._json
        return self._by_type.get(int(meta.getColumnType(index + 1)), self._other)

    def _plain(self, value: Any) -> Any:
        """Return a Java object as the plain value that it stands for, else as text."""
        match value:
            case None:
                return None
            case self._boolean():
                return bool(value)
            case int():
                return int(value)
            case float():
                return float(value)
            case self._decimal():
                return Decimal(str(value.toPlainString()))
            case jpype.JArray():
                return [self._plain(inner) for inner in value]
        return str(value)


class _Column:
    def __init__(self, read: Callable[[Any, int], Any], convert: Callable[[Any], Any]) -> None:
        self._read = read
        self._convert = convert

    def get(self, rows: Any, column: int, _is_call: bool) -> Any:
        value = self._read(rows, column)
        return None if value is None else self._convert(value)


def _typed(java: str, parse: Callable[[str], Any]) -> _Column:
    kind = jpype.JClass(java)

    def convert(value: Any) -> Any:
        text = str(value.toString())
        try:
            return parse(text)
        except ValueError:  # infinity, or a year beyond Python's
            return text

    return _Column(lambda rows, column: rows.getObject(column, kind.class_), convert)
