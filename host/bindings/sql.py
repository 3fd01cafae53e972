"""``sql``, as Python scripts see it.

Types are those of plain handlers. In ``async def handle``, every statement and ``iterate`` is to be awaited:
``await`` gives what is declared here. A transaction, and what is done in it, is not. Rows are read with ``async
for``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypedDict, TypeVar

Result = TypeVar("Result")

Params = Sequence[Any] | Mapping[str, Any] | None
"""A list for ``?``, a dict for ``:name``. A list as a value stands for several, as in ``in (:ids)``."""
Row = dict[str, Any]
"""The columns by name; a second column ``id`` is ``id_2``."""


class Inserted(TypedDict):
    """What ``insert`` did."""

    rows: int
    key: Any
    """The key that the database made; None where it tells none."""


class Rows(Protocol):
    """Rows, read page by page. Read once."""

    def __iter__(self) -> Iterator[Row]:
        """Read them one by one."""

    def to_array(self) -> list[Row]:
        """Return all that are left."""

    def close(self) -> None:
        """Let the rest go."""


class Statements(Protocol):
    """What runs statements. Every method raises an error with ``name``, ``message``, ``code`` and ``retryable``."""

    def query(self, sql: str, params: Params = None) -> list[Row]:
        """Return all rows; none for a statement that has none."""

    def query_one(self, sql: str, params: Params = None) -> Row | None:
        """Return the first row, or None."""

    def execute(self, sql: str, params: Params = None) -> int:
        """Return the number of affected rows; of a statement that returns rows, their number."""

    def execute_many(self, sql: str, sets: Sequence[Params]) -> int:
        """Run a statement with each set of values, all or none. Returns the number of affected rows."""

    def insert(self, sql: str, params: Params = None) -> Inserted:
        """Return the number of new rows and the key that the database made."""


class Transaction(Statements, Protocol):
    """What the function of a transaction gets. Of no use when the function has ended."""

    def transaction(self, function: Callable[[Transaction], Result]) -> Result:
        """Run ``function`` in a transaction inside this one: when it raises, only that one is rolled back."""


class Database(Statements, Protocol):
    """``sql("orders")``: every statement is committed at once."""

    def iterate(self, sql: str, params: Params = None, *, page: int = 500) -> Rows:
        """Return the rows to be read one by one; only ``page`` of them are in memory."""

    def transaction(self, function: Callable[[Transaction], Result]) -> Result:
        """Commit what ``function`` runs when it returns; roll it back when it raises. Returns what it returns."""


class Sql(Protocol):
    """``sql``"""

    def __call__(self, name: str) -> Database:
        """Return what talks to ``[resources.sql.NAME]``."""
