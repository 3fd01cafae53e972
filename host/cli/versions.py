"""``trimtab history``, ``show`` and ``diff``: read from the store, whether a host runs or not."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab.cli.output import console, first_of, moment, print_json, print_table, short
from trimtab.cli.project import open_project
from trimtab.control import views

STYLES = {"+": "green", "-": "red", "@": "cyan"}
"""Of the lines of a diff, by their first character."""


def history(config: Path, name: str | None, *, limit: int, as_json: bool) -> int:
    """Print the generations, and the versions of ``name``."""
    with open_project(config).existing_store() as store:
        document = views.history(store, name, limit)
    if as_json:
        print_json(document)
        return 0
    if name is not None:
        rows = [_version_row(version) for version in document["versions"]]
        print_table(("seq", "version", "staged", "origin", "", "refused because"), rows, empty="no versions")
    generations = [_generation_row(generation) for generation in document["generations"]]
    print_table(("generation", "at", "reason", "outcome", "changes"), generations, empty="no generations")
    return 0


def show(config: Path, name: str, version: str | None, *, as_json: bool) -> int:
    """Print the bytes of a version."""
    with open_project(config).existing_store() as store:
        if as_json:
            print_json(views.show(store, name, version))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(store.content(store.resolve(name, version).hash))
    return 0


def diff(config: Path, name: str, a: str | None, b: str | None, *, as_json: bool) -> int:
    """Print a unified diff."""
    with open_project(config).existing_store() as store:
        document = views.diff(store, name, a, b)
    if as_json:
        print_json(document)
    elif not document["lines"]:
        print("no difference")
    elif sys.stdout.isatty():
        out = console()
        for number, line in enumerate(document["lines"]):
            out.print(line, style="bold" if number < 2 else STYLES.get(line[:1]), soft_wrap=True)
    else:
        print("\n".join(document["lines"]))
    return 0


def _version_row(version: Mapping[str, Any]) -> list[object]:
    state = "active" if version["active"] else None
    fault = version["fault"] and views.fault_text(version["fault"])
    return [version["seq"], short(version["hash"]), moment(version["staged_at"]), version["origin"], state, fault]


def _generation_row(generation: Mapping[str, Any]) -> list[object]:
    found = generation["changes"]
    changes = "\n".join(first_of((_change(name, change) for name, change in found.items()), len(found)))
    return [generation["number"], moment(generation["at"]), generation["reason"], generation["outcome"], changes]


def _change(name: str, change: Mapping[str, Any]) -> str:
    seq = f" #{change['seq']}" if change["seq"] is not None else ""
    fault = f": {views.fault_text(change['fault'])}" if change["fault"] else ""
    return f"{name}{seq} {change['kind']}{fault}"
