"""``trimtab dead-letters``: the letters are read from the database, whether a host runs or not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from trimtab.cli.output import console, moment, print_json, print_line, print_table, short
from trimtab.cli.project import Project, open_project
from trimtab.control.client import ControlClient
from trimtab.durations import parse_duration
from trimtab.errors import Fault, UsageError
from trimtab.runtime.dead_letters import ALL, DeadLetter, DeadLetters, Filters, Kind

REPLAY_PART = 500
"""Letters that are sent to the host with one request."""


def filters(script: str | None, source: str | None, kind: str | None, since: str | None) -> Filters:
    """Make the filters of a command line. Raises :class:`UsageError` for a ``since`` that is no duration."""
    return Filters(script=script, source=source, kind=cast("Kind | None", kind), since=_moment_before(since))


def choice(ids: Sequence[int], chosen: Filters, *, everything: bool) -> Sequence[int] | Filters:
    """Return what a command is about: these ids, all that match, or all. Raises :class:`UsageError` if unclear."""
    given = [bool(ids), chosen != ALL, everything]
    if sum(given) != 1:
        raise UsageError("expected either ids, or filters such as --script and --since, or --all")
    return ids or chosen


def show_list(config: Path, chosen: Filters, *, limit: int, after: int, as_json: bool) -> int:
    """Print the matching letters."""
    with open_project(config).dead_letters() as letters:
        found = letters.list(chosen, limit=limit, after=after) if letters else []
    if as_json:
        print_json([letter.document() for letter in found])
    else:
        columns = ("id", "at", "kind", "source", "script", "version", "tries", "error")
        print_table(columns, map(_row, found), empty="no dead letters")
    return 0


def show(config: Path, letter_id: int, *, as_json: bool) -> int:
    """Print one letter."""
    with open_project(config).dead_letters() as letters:
        letter = letters.get(letter_id) if letters else None
    if letter is None:
        raise UsageError(f"there is no dead letter {letter_id}; trimtab dead-letters list shows all")
    if as_json:
        print_json(letter.document())
        return 0
    for name, value in letter.document().items():
        print(f"{name + ':':<12}{_text(letter, name, value)}")
    return 0


def purge(config: Path, chosen: Sequence[int] | Filters, *, as_json: bool) -> int:
    """Delete letters and print how many."""
    with open_project(config).dead_letters() as letters:
        purged = 0
        if letters is not None and isinstance(chosen, Filters):
            purged = letters.purge(chosen)
        elif letters is not None and not isinstance(chosen, Filters):
            purged = letters.remove(chosen)
    print_json({"purged": purged}) if as_json else print(f"purged {purged}")
    return 0


def replay(config: Path, chosen: Sequence[int] | Filters, version: str | None, *, as_json: bool) -> int:
    """Replay letters: at once on a running host, else when a host starts next. 1 if some failed again.

    Raises :class:`UsageError` when none of their scripts has the version.
    """
    project = open_project(config)
    with project.dead_letters() as letters:
        ids = _ids(letters, chosen)
        if letters is None or not ids:
            return _nothing(as_json=as_json)
        if version is not None:
            _check_version(project, letters, ids, version)
        client = project.client()
        if client is None:
            letters.request_replay(ids, version)
            return _queued(ids, as_json=as_json)
    return _replayed(client, ids, version, as_json=as_json)


def _nothing(*, as_json: bool) -> int:
    if not as_json:
        print("no dead letters to replay")
    return 0


def _check_version(project: Project, letters: DeadLetters, ids: Sequence[int], version: str) -> None:
    """Raise :class:`UsageError` when the letters are of scripts, and the version is of none of these."""
    refusals: dict[str, UsageError] = {}
    with project.store() as store:
        for letter in map(letters.get, ids):
            if store is None or letter is None or letter.script is None or letter.script in refusals:
                continue
            try:
                store.resolve(letter.script, version)
            except UsageError as error:
                refusals[letter.script] = error
            else:
                return
    for refusal in refusals.values():
        raise refusal


def _queued(ids: Sequence[int], *, as_json: bool) -> int:
    if as_json:
        for letter_id in ids:
            print_line({"id": letter_id, "outcome": "queued", "error": None})
    else:
        print(f"{len(ids)} queued: they are replayed when the host starts next")
    return 0


def _replayed(client: ControlClient, ids: Sequence[int], version: str | None, *, as_json: bool) -> int:
    outcomes = _outcomes(client, ids, version)
    failed = 0
    if as_json:
        for outcome in outcomes:
            failed += outcome["outcome"] != "handled"
            print_line(outcome)
        return 1 if failed else 0
    failures = [outcome for outcome in _watched(outcomes, len(ids)) if outcome["outcome"] != "handled"]
    for failure in failures:
        print(f"{failure['id']}: {failure['error']}")
    print(f"{len(ids) - len(failures)} handled, {len(failures)} failed again")
    return 1 if failures else 0


def _watched(outcomes: Iterator[Any], total: int) -> Iterator[Any]:
    """The outcomes, with a progress bar on stderr when it is a terminal."""
    from rich.progress import track

    out = console(stderr=True)
    hidden = not out.is_terminal
    return iter(track(outcomes, "replaying", total, console=out, transient=True, disable=hidden))


def _outcomes(client: ControlClient, ids: Sequence[int], version: str | None) -> Iterator[Any]:
    for start in range(0, len(ids), REPLAY_PART):
        part = list(ids[start : start + REPLAY_PART])
        yield from client.stream("/api/dead-letters/replay", {"ids": part, "version": version})


def _ids(letters: DeadLetters | None, chosen: Sequence[int] | Filters) -> Sequence[int]:
    if isinstance(chosen, Filters):
        return letters.ids(chosen) if letters else []
    unknown = [i for i in chosen if letters is None or letters.get(i) is None]
    if unknown:
        raise UsageError(f"there is no dead letter {unknown[0]}; trimtab dead-letters list shows all")
    return chosen


def _moment_before(age: str | None) -> int | None:
    if age is None:
        return None
    try:
        return int((time.time() - parse_duration(age)) * 1000)
    except ValueError as error:
        raise UsageError(f"--since: {error}") from None


def _row(letter: DeadLetter) -> Sequence[object]:
    about = letter.sink if letter.kind == "sink" else letter.script
    return (
        *(letter.id, moment(letter.at), letter.kind, letter.source, about),
        *(short(letter.version), letter.tries, letter.fault),
    )


def _text(letter: DeadLetter, name: str, value: Any) -> str:
    if name == "at":
        return moment(letter.at)
    if name == "fault":
        return str(msgspec.convert(value, Fault))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
