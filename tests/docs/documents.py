"""Reads the documentation: its sections, its fenced blocks, its links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = ROOT / "docs"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)\s]+)\)")
_HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. ``place`` is its file and line, for messages."""

    place: str
    language: str
    words: frozenset[str]
    """What follows the language in the fence's first line, but for the title."""
    title: str | None
    text: str


def documents() -> list[Path]:
    """All pages of the documentation."""
    return [*sorted(ROOT.glob("*.md")), *sorted(GUIDES.rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    content = page.read_text()
    for match in _FENCE.finditer(content):
        title = _TITLE.search(match["info"])
        language, *words = _TITLE.sub("", match["info"]).split() or [""]
        place = f"{page.name}:{content.count(chr(10), 0, match.start()) + 1}"
        yield Block(place, language, frozenset(words), title[1] if title else None, match["text"])


@dataclass(frozen=True, slots=True)
class Example:
    """One script of a page, and the JSON that it emits, as text."""

    title: str
    script: str
    emitted: str


def examples(page: Path) -> Iterator[Example]:
    """Yield each script of a page with the JSON that is shown below it, and below its twin in another language."""
    waiting: list[Block] = []
    for block in blocks(page):
        if block.title is not None:
            waiting.append(block)
        elif block.language == "json":
            yield from (Example(script.title or "", script.text, block.text) for script in waiting)
            waiting = []
    assert not waiting, f"nothing is shown below {[script.place for script in waiting]}"


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def sections(page: Path) -> dict[str, str]:
    """The text below each heading, up to the next heading of the same or a higher level, by heading."""
    content = page.read_text()
    fences = [match.span() for match in _FENCE.finditer(content)]
    headings = [m for m in _HEADING.finditer(content) if not any(a < m.start() < b for a, b in fences)]
    found: dict[str, str] = {}
    for number, heading in enumerate(headings):
        ends = (other.start() for other in headings[number + 1 :] if len(other[1]) <= len(heading[1]))
        found[heading[2].strip()] = content[heading.end() : next(ends, len(content))]
    return found


def anchors(page: Path) -> set[str]:
    """What a link may have behind its ``#``."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in sections(page)}


def links(page: Path) -> list[str]:
    """The targets of the links of a page that stay in the repository."""
    return _LINK.findall(prose(page))
