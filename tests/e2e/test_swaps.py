"""Promise 1: one generation per event, in every lane, by every handler, with its libraries; a commit is one cut."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Project, eventually, running

SWAPS = 1000
EVENTS_PER_TICK = 20
TICK = 0.005
KEYS = 16

PYTHON = """
from trimtab import emit
from _version import VERSION as LIBRARY

VERSION = {version}

def handle(event, ctx):
    emit("out", ["py", event["n"], event["key"], VERSION, LIBRARY, ctx.generation])
"""
JAVASCRIPT = """
import {{ emit }} from "trimtab";
import {{ VERSION as LIBRARY }} from "./_version.js";

const VERSION = {version};

export function handle(event, ctx) {{
  emit("out", ["js", event.n, event.key, VERSION, LIBRARY, ctx.generation]);
}}
"""


class Load(threading.Thread):
    """Sends numbered events at a steady rate until it is stopped."""

    def __init__(self, project: Project) -> None:
        super().__init__()
        self._project = project
        self._stopped = threading.Event()
        self.sent = 0

    def run(self) -> None:
        while not self._stopped.wait(TICK):
            numbers = range(self.sent, self.sent + EVENTS_PER_TICK)
            self._project.send(*({"n": n, "key": f"k{n % KEYS}"} for n in numbers))
            self.sent += EVENTS_PER_TICK

    def stop(self) -> None:
        self._stopped.set()
        self.join()


class Output:
    """Reads the file of the sink as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.rows: list[list[Any]] = []
        self.newest = -1

    def seen(self, version: int) -> bool:
        """Whether some event was handled by this version."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offset += len(whole)
            rows = [json.loads(line) for line in whole.splitlines()]
            self.rows += rows
            self.newest = max([self.newest, *(row[3] for row in rows)])
        return self.newest >= version


def save(project: Project, version: int) -> None:
    """Save four files that belong together."""
    project.save("_version.py", f"VERSION = {version}\n")
    project.save("_version.js", f"export const VERSION = {version};\n")
    project.save("work.py", PYTHON.format(version=version))
    project.save("work.js", JAVASCRIPT.format(version=version))


@pytest.mark.timeout(400)
def test_a_thousand_swaps_under_load_lose_mix_and_repeat_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path, lanes=2, source='key = "key"')
    save(project, 0)
    output = Output(tmp_path / "out.jsonl")
    with running(project):
        load = Load(project)
        load.start()
        try:
            for version in range(SWAPS + 1):
                if version:
                    save(project, version)
                eventually(partial(output.seen, version), f"an event handled by version {version}")
        finally:
            load.stop()
        eventually(lambda: output.seen(SWAPS) and len(output.rows) >= 2 * load.sent, "every event came out")
        assert project.stop() == 0
    output.seen(SWAPS)
    check(output.rows, load.sent)


def check(rows: list[list[Any]], sent: int) -> None:
    """No loss, no duplicate, no mix, one cut, order per key."""
    by_language: dict[str, dict[int, list[Any]]] = defaultdict(dict)
    last_of_key: dict[tuple[str, str], int] = defaultdict(lambda: -1)
    for language, n, key, version, library, generation in rows:
        assert n not in by_language[language], f"event {n} was handled twice by {language}"
        by_language[language][n] = [version, generation]
        assert version == library, f"event {n}: script version {version} ran with library version {library}"
        assert last_of_key[language, key] < n, f"event {n} of key {key} came out of order"
        last_of_key[language, key] = n
    assert set(by_language["py"]) == set(range(sent)), "events were lost"
    assert by_language["py"] == by_language["js"], "two scripts of one change set disagree on an event"
    generations = [by_language["py"][n][1] for n in range(sent)]
    assert generations == sorted(generations), "the cut between generations is not one point in the order of events"
    assert len(set(generations)) >= SWAPS
