"""Does what a page of the documentation says, and compares what comes with what it shows.

A fenced block with a title is a file: it is written. Of a ``console`` block the lines that begin with ``$ `` are typed,
and the lines below each must be found in what it prints, in their order. A ``text host`` block shows what the running
host prints: it is waited for. In what is shown, ``...`` stands for anything and the width of gaps does not matter.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.documents import Block, blocks

PATIENCE = 60.0
"""Seconds until what is shown must have come."""
SHOWN = 4000
"""Characters of what the host printed that a failure shows."""
AGAIN = 0.2
"""Seconds after which a command that only looks is typed again."""

_LOOKING = re.compile(r"trimtab (status|history|diff|show|doctor|dead-letters (list|show))\b|grep\b|cat\b")


def environment(**more: str) -> dict[str, str]:
    """The environment of a user who has trimtab on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "COLUMNS": "200", "NO_COLOR": "", **more}


@dataclass
class Walkthrough:
    """One reader, in one folder. ``printed``: everything that the running host has printed so far."""

    folder: Path
    printed: Callable[[], str] = str
    environment: dict[str, str] = field(default_factory=environment)
    _seen: int = 0

    def follow(self, page: Path) -> None:
        """Go through a page. Raises ``AssertionError`` that names the line of the page."""
        for block in blocks(page):
            if block.title is not None:
                self._save(block.title, block)
            elif block.language == "console":
                for command, shown in commands(block):
                    self._type(command, shown, block.place)
            elif block.language == "text" and "host" in block.words:
                self._watch(block)

    def _save(self, title: str, block: Block) -> None:
        path = self.folder / title
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"..{path.name}")
        temporary.write_text(block.text)
        temporary.replace(path)

    def _type(self, command: str, shown: list[str], place: str) -> None:
        deadline = time.monotonic() + (PATIENCE if _LOOKING.match(command) else 0)
        while True:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            wanted = missing(shown, done.stdout)
            if wanted is None:
                return
            assert time.monotonic() < deadline, f"{place}: $ {command}\nwanted: {wanted}\ngot:\n{done.stdout}"
            time.sleep(AGAIN)

    def _watch(self, block: Block) -> None:
        deadline = time.monotonic() + PATIENCE
        for line in block.text.splitlines():
            while (match := pattern(line).search(self.printed(), self._seen)) is None:
                came = self.printed()[self._seen :][-SHOWN:]
                assert time.monotonic() < deadline, f"{block.place}: the host did not print: {line}\nbut:\n{came}"
                time.sleep(0.01)
            self._seen = match.end()


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a block with the lines that are shown below it."""
    command, shown = "", list[str]()
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line.removeprefix("$ "), []
        else:
            shown.append(line)
    if command:
        yield command, shown


def missing(shown: list[str], printed: str) -> str | None:
    """Return the first line that was not printed behind those before it, None if there is none."""
    at = 0
    for line in shown:
        match = pattern(line).search(printed, at)
        if match is None:
            return line
        at = match.end()
    return None


def pattern(line: str) -> re.Pattern[str]:
    """Return what finds a line that is shown: a whole one, but for space at its ends."""
    parts = (r"\s+".join(map(re.escape, part.split(" "))) for part in re.sub(" +", " ", line.strip()).split("..."))
    text = ".*".join(parts).replace(r"\s+", "[ ]+")
    return re.compile(rf"^[ ]*{text}[ ]*\r?$", re.MULTILINE)
