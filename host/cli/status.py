"""``trimtab status``: asks the running host, or reads what a stopped one has left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab.cli.output import print_json, print_table
from trimtab.cli.project import open_project

REFUSED_RULES = 20
"""Of which the table says why."""
SCRIPT_COLUMNS = ("script", "seq", "version", "state", "handled", "failed", "p50 us", "p99 us", "error")
SCRIPT_FIELDS = ("name", "seq", "version", "state", "handled", "failed", "p50_us", "p99_us", "error")


def status(config: Path, *, as_json: bool) -> int:
    """Print the state of the host."""
    project = open_project(config)
    client = project.client()
    if client is not None:
        document: dict[str, Any] = client.get("/api/status")
    else:
        from trimtab.control.views import stopped_status

        with project.store() as store, project.dead_letters() as letters:
            document = stopped_status(store, letters.count() if letters else 0)
    print_json(document) if as_json else _print(document)
    return 0


def _print(document: Mapping[str, Any]) -> None:
    uptime = document["uptime_s"]
    state = f"up {uptime:.0f} s" if document["running"] else "not running"
    print(f"generation {document['generation']}, {state}, {document['dead_letters']} dead letters\n")
    scripts = [[script.get(field) for field in SCRIPT_FIELDS] for script in document["scripts"]]
    print_table(SCRIPT_COLUMNS, scripts, empty="no scripts")
    _print_rules(document["rules"])
    _print_parts("source", document["sources"])
    _print_parts("sink", document["sinks"])
    _print_parts("resource", {name: _without_scripts(part) for name, part in document["resources"].items()})
    _print_parts("settings", document["settings"])
    _print_parts("discoverer", document["discoverers"])
    lanes = [(lane["pid"], lane["state"], lane["restarts"]) for lane in document["lanes"]]
    if lanes:
        print_table(("lane", "state", "restarts"), lanes, empty="")


def _print_rules(rules: Mapping[str, Any]) -> None:
    """Print how many there are, and why some were refused."""
    if not rules["running"] and not rules["refused"]:
        return
    rolled_back = f", {rules['rolled_back']} of them rolled back" if rules["rolled_back"] else ""
    print(f"{rules['running']} rules run{rolled_back}, {rules['refused']} refused\n")
    if rules["errors"]:
        rows = list(rules["errors"].items())[:REFUSED_RULES]
        print_table(("refused rule", "error"), rows, empty="")


def _without_scripts(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    return {field: value for field, value in resource.items() if field != "scripts"}


def _print_parts(word: str, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a table of sources, sinks, ... with whatever is known of some of them."""
    if parts:
        counts = list(dict.fromkeys(count for part in parts.values() for count in part if part[count] is not None))
        rows = [[name, *(part.get(count) for count in counts)] for name, part in parts.items()]
        print_table((word, *counts), rows, empty="")
