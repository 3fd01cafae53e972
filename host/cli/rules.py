"""``trimtab rules``: how each rule does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trimtab.cli.output import print_json, print_table
from trimtab.cli.project import open_project

COLUMNS = (
    "rule",
    "seq",
    "version",
    "state",
    "keys",
    "open",
    "matches",
    "time-outs",
    "errors",
    "p50 us",
    "p99 us",
    "refused because",
)
FIELDS = (
    "name",
    "seq",
    "version",
    "state",
    "bound_keys",
    "open",
    "matches",
    "timeouts",
    "condition_errors",
    "p50_us",
    "p99_us",
    "error",
)


def rules(config: Path, name: str | None, *, after: str, limit: int, as_json: bool) -> int:
    """Print the rules of a host, whether it runs or not."""
    project = open_project(config)
    client = project.client()
    if client is not None:
        found: list[dict[str, Any]] = client.get("/api/rules", name=name, after=after, limit=limit)
    else:
        from trimtab.control.rules import choice, stopped_rules

        with project.existing_store() as store:
            found = stopped_rules(store, choice(name, after, limit))
    if as_json:
        print_json(found)
        return 0
    print_table(COLUMNS, [_row(rule) for rule in found], empty="no rules")
    for rule in found:
        if rule["last_condition_error"]:
            print(f"{rule['name']}: a condition failed: {rule['last_condition_error']}")
    return 0


def _row(rule: dict[str, Any]) -> list[Any]:
    keys = "all" if rule["bound_keys"] is None else rule["bound_keys"]
    return [keys if field == "bound_keys" else rule[field] for field in FIELDS]
