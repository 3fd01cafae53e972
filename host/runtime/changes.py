"""What has changed in the state of a lane's keys."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.engine.state import StateRow


class Changes:
    """Rows in the order in which they came, each value once: as it is in the end."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], StateRow] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, rows: Iterable[StateRow]) -> None:
        """Take further rows."""
        known = self._rows
        for row in rows:
            if not row.name:
                self._forget(row.script)
            known[row.script, row.key, row.name] = row

    def rows(self) -> list[StateRow]:
        """Return all of them; those of a script come after the row that says that nothing was left of it."""
        return list(self._rows.values())

    def _forget(self, script: str) -> None:
        for key in [key for key in self._rows if key[0] == script]:
            del self._rows[key]
